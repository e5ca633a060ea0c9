#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module itself: who may unload it, its parameter, and names that linger,
# which no socket has any more. Prints TAP. It ends with the module loaded as it
# was.
# The checks are called by name.
# shellcheck disable=SC2317

if [ -z "$NYM_MODULE" ]; then
	echo "1..0 # SKIP NYM_MODULE does not tell where the module is"
	exit 4
fi

count=0
failed=0

# check NAME COMMAND...: one test, passed if the command succeeds.
check() {
	name=$1
	shift
	count=$((count + 1))
	if "$@"; then
		echo "ok $count $name"
	else
		echo "not ok $count $name"
		failed=1
	fi
}

has_family() {
	perl -e 'exit !socket(my $s, $ARGV[0], 1, 0)' "$1"
}

has_no_family() {
	perl -e 'exit !(!socket(my $s, $ARGV[0], 1, 0) && $!{EAFNOSUPPORT})' "$1"
}

stays_while_in_use() {
	perl -e 'socket(my $s, 18, 1, 0) or exit 1;
		exit !system("rmmod nym 2>/dev/null")' && has_family 18
}

# The last sockets are freed some time after they are closed.
unload() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		rmmod nym 2>/dev/null && return 0
		sleep 0.2
	done
	return 1
}

load() {
	insmod "$NYM_MODULE" "$@" 2>/dev/null
}

does_not_load() {
	! load "$@"
}

# leave TYPE NAME: binds the name and leaves it lingering for an hour.
leave() {
	perl -e 'my ($type, $name) = @ARGV;
		socket(my $s, 18, $type, 0) or exit 1;
		setsockopt($s, 28281, 3, pack("i", 3600000)) or exit 2;
		bind($s, pack("S a*", 18, $name)) or exit 3;
		$type == 2 or listen($s, 5) or exit 4' "$1" "$2"
}

# Likewise, with a call whose client has gone, too.
leave_call() {
	perl -e 'my $at = pack("S a*", 18, "t/linger/call");
		socket(my $s, 18, 1, 0) or exit 1;
		setsockopt($s, 28281, 3, pack("i", 3600000)) or exit 2;
		bind($s, $at) && listen($s, 5) or exit 3;
		socket(my $c, 18, 1, 0) or exit 4;
		connect($c, $at) && syswrite($c, "x") or exit 5;
		close($s);
		close($c)'
}

# What a failure leaves behind is nothing for the tests that follow.
end_call() {
	perl -e 'socket(my $s, 18, 1, 0) or exit 1;
		bind($s, pack("S a*", 18, "t/linger/call")) && listen($s, 5)'
}

# The name is another user's as long as it lingers.
is_kept() {
	perl -e '($<, $>) = (65534, 65534);
		socket(my $s, 18, 1, 0) or exit 1;
		exit !(!bind($s, pack("S a*", 18, $ARGV[0])) && $!{EADDRINUSE})' "$1"
}

leave_many() {
	perl -e 'for (1 .. 300) {
			socket(my $s, 18, 1 + $_ % 2, 0) or exit 1;
			setsockopt($s, 28281, 3, pack("i", $_)) or exit 2;
			bind($s, pack("S a*", 18, "t/linger/$_")) or exit 3;
		}'
}

echo "TAP version 13"
echo "1..18"
check "an open socket keeps the module" stays_while_in_use
check "without sockets it unloads" unload
check "and the family is gone" has_no_family 18
check "a family that is taken is refused" does_not_load family=1
# AF_NETLINK; its sockets are not among those that sock_diag always knows.
check "another family that is taken is refused" does_not_load family=16
check "a family out of range is refused" does_not_load family=46
check "another family loads" load family=19
check "and is there, and the usual one is not" eval 'has_family 19 && has_no_family 18'
check "it unloads too" unload
check "the usual family loads" eval 'load && has_family 18'
check "a stream name lingers" eval 'leave 1 t/linger/1 && is_kept t/linger/1'
check "so does a name of datagrams" eval 'leave 2 t/linger/2 && is_kept t/linger/2'
check "the module unloads all the same" unload
check "and is loaded again, without them" eval 'load && ! is_kept t/linger/1'
check "it unloads in the middle of many that end" eval 'leave_many && unload'
check "and is loaded again" load
check "it unloads while a name lingers with calls of the dead" \
	eval 'leave_call && is_kept t/linger/call && unload'
[ -d /sys/module/nym ] && end_call
check "and is there in the end" eval '[ -d /sys/module/nym ] || load'
exit $failed
