#!/usr/bin/perl
# SPDX-License-Identifier: GPL-2.0
# What each call does with a socket in each state: the tables that the page
# reference/calls.rst shows, made again and compared.
#
# Usage: states.pl [--print TABLE]     (stream, seqpacket, dgram or names)
#
# A table has a row for each call and a column for each state; that of names, a row
# for what the name is and a column for who calls it. No call is to block. "ok" is
# success, "end" is the end of the stream; a name is "none", ":" (chosen by the
# kernel) or the one that the socket was given. Of poll() it is the events. Prints
# TAP.
use strict;
use warnings;
use Cwd qw(abs_path);
use Errno;
use File::Basename;
use IO::Handle;
use IO::Poll qw(POLLIN POLLOUT POLLERR POLLHUP);
use Socket;

my $here = dirname(abs_path($0));
my %type = (stream => SOCK_STREAM, seqpacket => SOCK_SEQPACKET, dgram => SOCK_DGRAM);
my @events = ([POLLIN, "IN"], [POLLOUT, "OUT"], [POLLERR, "ERR"], [POLLHUP, "HUP"],
	[0x2000, "RDHUP"]);
use constant { AF_NYM => 18, SOL_NYM => 28281, NYM_WAIT => 1, NYM_LINGER => 3, NONBLOCK => 2048,
	SIOCINQ => 0x541b };
our $type;
my @kept;

sub address { return pack("S a*", AF_NYM, @_) }
sub must { $_[0] or die "$_[1]: $!\n" }

# A new socket; it stays until the next cell.
sub fresh {
	socket(my $s, AF_NYM, $type | NONBLOCK, 0) or die "socket: $!\n";
	push @kept, $s;
	return $s;
}

sub named {
	my ($which) = @_;
	my $s = fresh();
	must(bind($s, address($which)), "bind");
	return $s;
}

sub listening {
	my ($which, $room) = @_;
	my $s = named($which);
	must(listen($s, $room - 1), "listen");
	return $s;
}

sub called {
	my ($which) = @_;
	my $s = fresh();
	connect($s, address($which)) or $!{EINPROGRESS} or die "connect: $!\n";
	return $s;
}

sub accepted {
	my ($listener) = @_;
	accept(my $s, $listener) or die "accept: $!\n";
	push @kept, $s;
	return $s;
}

sub drop {
	my ($s) = @_;
	@kept = grep { $_ != $s } @kept;
	close($s);
}

# The states: each gives a socket that is in it.
my @conn_states = (
	["new" => sub { fresh() }],
	["bound" => sub { named("mine") }],
	["listening" => sub { listening("mine", 2) }],
	["parked" => sub { listening("full", 1); called("full"); called("full") }],
	["pending" => sub { listening("room", 2); called("room") }],
	["connected" => sub { my $l = listening("room", 2); my $s = called("room"); accepted($l); $s }],
	["peer closed" => sub {
		my $l = listening("room", 2);
		my $s = called("room");
		drop(accepted($l));
		$s;
	}],
	["reset" => sub {
		my $l = listening("room", 2);
		my $s = called("room");
		must(defined(send($s, "unread", 0)), "send");
		drop(accepted($l));
		$s;
	}],
	["refused" => sub {
		my $l = listening("full", 1);
		called("full");
		my $s = called("full");
		drop($l);
		$s;
	}],
);

sub to {
	my ($which) = @_;
	my $s = fresh();
	must(connect($s, address($which)), "connect");
	return $s;
}

my @dgram_states = (
	["new" => sub { fresh() }],
	["bound" => sub { named("mine") }],
	["connected" => sub { named("peer"); to("peer") }],
	["peer gone" => sub { my $p = named("peer"); my $s = to("peer"); drop($p); $s }],
	["peer's name lingers" => sub {
		my $p = named("peer");
		must(setsockopt($p, SOL_NYM, NYM_LINGER, pack("i", 10)), "NYM_LINGER");
		my $s = to("peer");
		setsockopt($p, SOL_NYM, NYM_LINGER, pack("i", 60000));
		drop($p);
		$s;
	}],
	["shut down" => sub { named("peer"); my $s = to("peer"); shutdown($s, 2); $s }],
);

# The calls: each gives what the page says.
sub outcome {
	return "ok" if $_[0];
	my ($error) = grep { $!{$_} } qw(EAGAIN EALREADY ECONNREFUSED ECONNRESET EINPROGRESS EINVAL EISCONN
		ENOTCONN EOPNOTSUPP EPIPE EADDRINUSE EACCES EPERM EPROTOTYPE EMSGSIZE);
	return $error // "$!";
}

sub name_of {
	my ($packed) = @_;
	return outcome(0) if !defined $packed;
	my (undef, $n) = unpack("S Z*", $packed);
	return !length($n) ? "none" : $n =~ /^:/ ? ":" : $n;
}

sub received {
	my ($s) = @_;
	return outcome(0) if !defined recv($s, my $text, 100, 0);
	return length($text) ? "ok" : "end";
}

sub polled {
	my ($s) = @_;
	my $poll = IO::Poll->new;
	$poll->mask($s => POLLIN | POLLOUT | 0x2000);
	$poll->poll(0);
	my $got = $poll->events($s);
	my @got = map { $got & $_->[0] ? $_->[1] : () } @events;
	return join(" ", @got) || "nothing";
}

sub waiting {
	my ($s) = @_;
	my $n = pack("i", -1);
	return ioctl($s, SIOCINQ, $n) ? unpack("i", $n) : outcome(0);
}

my @conn_calls = (
	["bind() to a name" => sub { outcome(bind($_[0], address("free"))) }],
	["bind() to none" => sub { outcome(bind($_[0], address())) }],
	["listen()" => sub { outcome(listen($_[0], 5)) }],
	["connect()" => sub { listening("other", 2); outcome(connect($_[0], address("other"))) }],
	["accept()" => sub { outcome(accept(my $new, $_[0])) }],
	["send()" => sub { outcome(defined send($_[0], "x", 0x4000)) }],
	["recv()" => sub { received($_[0]) }],
	["shutdown()" => sub { outcome(shutdown($_[0], 1)) }],
	["getsockname()" => sub { name_of(getsockname($_[0])) }],
	["getpeername()" => sub { name_of(getpeername($_[0])) }],
	["poll()" => sub { polled($_[0]) }],
	["SIOCINQ" => sub { waiting($_[0]) }],
);

my @dgram_calls = (
	["bind() to a name" => $conn_calls[0][1]],
	["bind() to none" => $conn_calls[1][1]],
	["listen()" => $conn_calls[2][1]],
	["connect()" => sub { named("other"); outcome(connect($_[0], address("other"))) }],
	["connect() to nobody" => sub { outcome(connect($_[0], address("nobody"))) }],
	["connect() to AF_UNSPEC" => sub { outcome(connect($_[0], pack("S", 0))) }],
	["send()" => sub { outcome(defined send($_[0], "x", 0x4000)) }],
	["sendto()" => sub { named("other"); outcome(defined send($_[0], "x", 0, address("other"))) }],
	["sendto() to nobody" => sub { outcome(defined send($_[0], "x", 0, address("nobody"))) }],
	["recv()" => sub { received($_[0]) }],
	["shutdown()" => $conn_calls[7][1]],
	["getsockname()" => $conn_calls[8][1]],
	["getpeername()" => $conn_calls[9][1]],
	["poll()" => $conn_calls[10][1]],
);

# What a name may be; each is told the type that its caller has.
sub conn_only { return $type == SOCK_DGRAM ? undef : $_[0]->() }
sub dgram_only { return $type == SOCK_DGRAM ? $_[0]->() : undef }

# A socket that takes calls, or datagrams.
sub serving {
	return $type == SOCK_DGRAM ? named("peer") : listening("peer", $_[0] // 2);
}

my @names = (
	["nobody has it" => sub { 1 }],
	["bound but does not listen" => sub { conn_only(sub { named("peer") }) }],
	["there is room" => sub { serving() }],
	["there is no room" => sub {
		my $s = serving(1);
		if ($type == SOCK_DGRAM) {
			# One sender may have half of what is left; the next one half of that.
			my ($one, $sent);
			do {
				($one, $sent) = (fresh(), 0);
				$sent++ while defined send($one, "x" x 1000, 0, address("peer"));
			} while ($sent);
		} else {
			called("peer");
		}
		$s;
	}],
	["shut down for reading" => sub { shutdown(serving(), 0) }],
	["of another type" => sub {
		local $type = $type == SOCK_DGRAM ? SOCK_STREAM : SOCK_DGRAM;
		serving();
	}],
	["without permission" => sub { my $s = serving(); chmod_socket($s, 0700); $s }],
	["connected to another" => sub {
		dgram_only(sub { my $s = serving(); named("another"); connect($s, address("another")) });
	}],
	["lingers" => sub {
		my $s = serving();
		must(setsockopt($s, SOL_NYM, NYM_LINGER, pack("i", 60000)), "NYM_LINGER");
		drop($s);
		1;
	}],
);

sub chmod_socket {
	my ($s, $mode) = @_;
	must(chmod($mode, $s), "chmod");
}

# Who calls: another user, to whom permissions apply.
my @callers = (
	["stream connect()" => SOCK_STREAM, 0, \&connects],
	["with NYM_WAIT" => SOCK_STREAM, 1, \&connects],
	["dgram connect()" => SOCK_DGRAM, 0, \&connects],
	["with NYM_WAIT" => SOCK_DGRAM, 1, \&connects],
	["sendto()" => SOCK_DGRAM, 0, \&sends],
	["with NYM_WAIT" => SOCK_DGRAM, 1, \&sends],
);

sub connects { return outcome(connect($_[0], address("peer"))) }
sub sends { return outcome(defined send($_[0], "x" x 1000, 0, address("peer"))) }

sub call_of {
	my ($name, $caller) = @_;
	(undef, $type, my $waits, my $call) = @$caller;
	umask(0);
	return "" if !$name->[1]->();
	my $s = fresh();
	must(setsockopt($s, SOL_NYM, NYM_WAIT, pack("i", $waits)), "NYM_WAIT");
	local $> = 1001;
	return $call->($s);
}

sub names_table {
	my @lines = join(",", "", map { $_->[0] } @callers);
	for my $name (@names) {
		my @cells = $name->[0];
		for my $caller (@callers) {
			push @cells, call_of($name, $caller);
			forget();
		}
		push @lines, join(",", @cells);
	}
	return @lines;
}

# Close all; a name that lingers is taken by its owner and given up.
sub forget {
	@kept = ();
	for my $t (SOCK_STREAM, SOCK_DGRAM) {
		local $type = $t;
		my $s = fresh();
		bind($s, address("peer")) && $t == SOCK_STREAM && listen($s, 1);
		@kept = ();
	}
}

# A table, as it is in the page: lines of cells.
sub table {
	my ($which) = @_;
	return names_table() if $which eq "names";
	my ($states, $calls) = $which eq "dgram" ? (\@dgram_states, \@dgram_calls) :
		(\@conn_states, \@conn_calls);
	my @lines = join(",", "", map { $_->[0] } @$states);
	$type = $type{$which};
	for my $call (@$calls) {
		my @cells = $call->[0];
		for my $state (@$states) {
			push @cells, $call->[1]->($state->[1]->());
			forget();
		}
		push @lines, join(",", @cells);
	}
	return @lines;
}

if (@ARGV == 2 && $ARGV[0] eq "--print") {
	print "$_\n" for table($ARGV[1]);
	exit 0;
}
my $protocols = do { local (@ARGV, $/) = "/proc/net/protocols"; <> };
if ($protocols !~ /^NYM /m) {
	print "1..0 # SKIP the module is not loaded\n";
	exit 4;
}
my ($number, $failed) = (0, 0);
my @tables = qw(stream seqpacket dgram names);
print "TAP version 13\n1..", scalar(@tables), "\n";
for my $which (@tables) {
	open(my $in, "<", "$here/calls-$which.csv") or die "calls-$which.csv: $!\n";
	chomp(my @shown = <$in>);
	my @found = table($which);
	my $last = @shown > @found ? $#shown : $#found;
	my @wrong = grep { ($shown[$_] // "") ne ($found[$_] // "") } 0 .. $last;
	$number++;
	print "# shown: ", $shown[$_] // "", "\n# found: ", $found[$_] // "", "\n" for @wrong;
	print @wrong ? "not ok" : "ok", " $number $which: ", scalar(@found), " lines\n";
	$failed ||= @wrong;
}
exit(!!$failed);
