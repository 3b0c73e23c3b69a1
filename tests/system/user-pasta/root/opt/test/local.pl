# Answers on the loopback, and nowhere else.
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 8083, Listen => 5, ReuseAddr => 1) or die;
while (my $client = $socket->accept) {
    print $client "HTTP/1.0 200 OK\r\n\r\nlocal\n";
}
