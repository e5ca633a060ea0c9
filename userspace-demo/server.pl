#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Serve a name: tell each caller who the kernel says they are. Plain perl.
use strict;
use warnings;
use Socket;

my $name = shift // die "usage: server.pl NAME\n";

socket(my $s, 18, SOCK_STREAM, 0) or die "socket: $!\n";
bind($s, pack("S a*", 18, $name)) or die "bind $name: $!\n";
listen($s, 16) or die "listen: $!\n";
while (my $peer = accept(my $c, $s)) {
	my ($family, $from) = unpack("S Z*", $peer);
	my ($pid, $uid, $gid) = unpack("iII", getsockopt($c, SOL_SOCKET, 17)); # SO_PEERCRED
	print $c "you are uid $uid gid $gid, calling from a socket named '$from'\n";
	close($c);
}
