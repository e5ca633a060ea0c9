#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# Serve the socket that was handed over as descriptor 3: each line that a caller
# sends goes back in capitals. It knows nothing of the family.
use strict;
use warnings;

my $pid = $ENV{LISTEN_PID} // 0;
my $fds = $ENV{LISTEN_FDS} // 0;

die "No socket was handed over: start this with nym-activate.\n"
	unless $pid eq $$ && $fds eq 1;
open(my $listener, '+<&=', 3) or die "descriptor 3: $!\n";
$SIG{CHLD} = 'IGNORE';

while (accept(my $caller, $listener)) {
	my $child = fork // die "fork: $!\n";
	next if $child;
	$caller->autoflush;
	print $caller uc while <$caller>;
	exit;
}
die "accept: $!\n";
