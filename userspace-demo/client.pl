#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Call a name: send standard input, print the answer. Plain perl, no module of ours.
use strict;
use warnings;
use Socket;

my $name = shift // die "usage: client.pl NAME\n";

socket(my $s, 18, SOCK_STREAM, 0) or die "socket: $!\n";
connect($s, pack("S a*", 18, $name)) or die "connect: $!\n";
syswrite($s, $_) while <STDIN>;
shutdown($s, SHUT_WR);
print while <$s>;
