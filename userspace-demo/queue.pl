#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# A full backlog: the next caller is parked and can be polled. Plain perl.
use strict;
use warnings;
use Errno qw(EINPROGRESS);
use Socket qw(:DEFAULT SOCK_NONBLOCK);

my $name = pack("S a*", 18, shift // die "usage: queue.pl NAME\n");

sub writable {
	my ($s) = @_;
	my $set = "";
	vec($set, fileno($s), 1) = 1;
	return select(undef, $set, undef, 0) == 1;
}

sub call {
	socket(my $s, 18, SOCK_STREAM | SOCK_NONBLOCK, 0) or die "socket: $!\n";
	my $error = connect($s, $name) ? 0 : $! + 0;
	return ($s, $error);
}

socket(my $server, 18, SOCK_STREAM, 0) or die "socket: $!\n";
bind($server, $name) or die "bind: $!\n";
listen($server, 0) or die "listen: $!\n";	# room for one, as with AF_UNIX

my ($first, $error) = call();
$error == 0 or die "the first call did not get in\n";
my ($second, $parked) = call();
$parked == EINPROGRESS or die "the second call was not parked: ", ($! = $parked), "\n";
!writable($second) or die "a parked call must not be writable\n";
print "backlog full: the second caller gets EINPROGRESS and is not writable\n";

accept(my $c1, $server) or die "accept: $!\n";
writable($second) or die "there is room, but the parked call is not writable\n";
unpack("i", getsockopt($second, SOL_SOCKET, SO_ERROR)) == 0 or die "SO_ERROR\n";
print "one accept() later: it is writable, SO_ERROR is 0\n";

syswrite($second, "in turn\n");
accept(my $c2, $server) or die "accept: $!\n";
print "and it is served: ", scalar <$c2>;
