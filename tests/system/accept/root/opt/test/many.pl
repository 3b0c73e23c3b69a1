# many.pl PORT|PATH COUNT: opens so many connections, and prints how many of them answer. With COUNTx each is closed at once.
use strict; use IO::Socket::INET; use IO::Socket::UNIX;
my ($where, $count) = @ARGV;
$SIG{PIPE} = 'IGNORE';
sub connection {
    my $one = $where =~ m{^/} ? IO::Socket::UNIX->new(Peer => $where) : IO::Socket::INET->new(PeerAddr => "127.0.0.1:$where", Timeout => 60);
    return $one || die "connecting: $!\n";
}
if ($count =~ s/x$//) {
    close connection() for 1 .. $count;
    exit;
}
my @all = map { connection() } 1 .. $count;
my $lives = 0;
for my $one (@all) {
    alarm 60;
    syswrite $one, "x\n";
    $lives++ if sysread $one, my $byte, 1;
}
print "lives $lives\n";
