#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Echo in Perl. "echo.pl -l NAME" sends everybody back what they say; "echo.pl NAME"
# says its standard input there and prints what comes back.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IO::Socket::Nym;

# Until end of file.
sub copy {
    my ($from, $to) = @_;
    while (my $size = sysread($from, my $data, 65536) // die "read: $!\n") {
        for (my $done = 0; $done < $size;) {
            $done += syswrite($to, $data, $size - $done, $done) // die "write: $!\n";
        }
    }
}

sub serve {
    my ($name) = @_;
    my $server = IO::Socket::Nym->new(Local => $name, Listen => 64, Mode => 0666)
        or die "$name: $!\n";
    local $SIG{CHLD} = 'IGNORE';
    while (my $client = $server->accept) {
        next if fork() // die "fork: $!\n";
        close($server);    # the name is the parent's alone
        copy($client, $client);
        exit 0;
    }
    die "accept: $!\n";
}

# One process says, the other one listens.
sub call {
    my ($name) = @_;
    my $sock = IO::Socket::Nym->new(Peer => $name, Timeout => 10) or die "$name: $!\n";
    if (!(fork() // die "fork: $!\n")) {
        copy(\*STDIN, $sock);
        $sock->shutdown(1);
        exit 0;
    }
    copy($sock, \*STDOUT);
}

my $listens = @ARGV == 2 && $ARGV[0] eq '-l';
if (@ARGV != 1 + $listens) {
    print STDERR "usage: echo.pl [-l] NAME\n";
    exit 2;
}
# What dies leaves 1, whatever the error's number.
eval { $listens ? serve($ARGV[1]) : call($ARGV[0]); 1 } and exit 0;
print STDERR "echo.pl: $@";
exit 1;
