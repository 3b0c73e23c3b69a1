# echo.pl PORT COUNT: so many connections at once, of which each must get back what it sends. Prints how many did, and the longest wait.
use strict; use IO::Socket::INET;
my ($port, $count) = @ARGV;
my %began;
for my $number (1 .. $count) {
    my $pid = fork;
    if ($pid) { $began{$pid} = time; next }
    my $one = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => 60) or exit 1;
    my $text = "$number " x 1000;
    print $one $text;
    $one->flush;
    alarm 60;
    read $one, my $got, length $text;
    exit($got eq $text ? 0 : 2);
}
my ($done, $longest) = (0, 0);
while ((my $pid = wait) > 0) {
    my $took = time - $began{$pid};
    $longest = $took if $took > $longest;
    $done++ if $? == 0;
}
printf "echoed %d of %d, longest %d s\n", $done, $count, $longest;
