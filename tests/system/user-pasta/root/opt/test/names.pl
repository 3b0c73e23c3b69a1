# Answers every question for a name with 198.51.100.2.
use IO::Socket::INET;
my $socket = IO::Socket::INET->new(LocalAddr => '198.51.100.2', LocalPort => 53, Proto => 'udp') or die;
while ($socket->recv(my $question, 512)) {
    my ($name) = substr($question, 12) =~ /^((?:[^\0][^\0]*)*\0....)/s;
    my $is_address = substr($name, -4, 2) eq "\0\1";
    my $answer = substr($question, 0, 2) . pack('n5', 0x8180, 1, $is_address, 0, 0) . $name;
    $answer .= pack('nnnNnC4', 0xc00c, 1, 1, 60, 4, 198, 51, 100, 2) if $is_address;
    $socket->send($answer);
}
