#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Many clients of one echo server at once: a process each, held until end of input.
use strict;
use warnings;
use Socket;

my ($name, $clients) = @ARGV;
$clients or die "usage: crowd.pl NAME CLIENTS\n";

# Connect and have 20 lines echoed; the caller keeps the connection.
sub talk {
	my ($who) = @_;
	socket(my $s, 18, SOCK_STREAM, 0) or die "socket: $!\n";
	connect($s, pack("S a*", 18, $name)) or die "connect: $!\n";
	for my $line (1 .. 20) {
		my $text = "client $who line $line\n";
		syswrite($s, $text);
		(<$s> // "") eq $text or die "line $line came back wrong\n";
	}
	return $s;
}

pipe(my $results, my $report) or die "pipe: $!\n";
pipe(my $hold, my $release) or die "pipe: $!\n";
for my $i (1 .. $clients) {
	next if fork() // die "fork: $!\n";
	close($_) for $results, $release;
	my $s = eval { talk($i) };
	print STDERR "client $i: $@" if !$s;
	syswrite($report, $s ? "+" : "-");
	sysread($hold, my $byte, 1);	# until the parent lets go
	exit 0;
}

my $answered = 0;
for (1 .. $clients) {
	sysread($results, my $result, 1) or last;
	$answered++ if $result eq "+";
}
$| = 1;
print "$answered of $clients clients are connected and have all their lines back\n";
1 while <STDIN>;
close($release);
1 while wait() > 0;
exit($answered != $clients);
