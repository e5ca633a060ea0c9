#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nym-activate, which is beside this script: what it hands over, to whom the name
# belongs, and each exit status. Prints TAP.
# The checks are called by name, and other shells have variables, too.
# shellcheck disable=SC2317,SC2016

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

help() {
	gives 0 nym-activate --help && says '^usage: nym-activate' &&
		gives 0 nym-activate -h && says '--on-call' &&
		gives 125 sh -c 'nym-activate --help >/dev/full' && says 'standard output'
}

# refused COMMAND...: it fails and says why.
refused() {
	gives 125 nym-activate "$@" && says '^nym-activate: '
}

wrong_usage() {
	long=$(printf '%0126d' 0)
	refused && says 'no name' && refused t/a && says 'no program' && refused t/a -- &&
		refused -x t/a true && refused -q -u t/a true && refused -m 999 t/a true &&
		refused -m 1777 t/a true && refused -o nobodyatall t/a true && says 'not a user' &&
		refused -o 4294967295 t/a true && refused -g nogroupatall t/a true &&
		refused -b -1 t/a true && refused -b x t/a true && refused -L 0 t/a true &&
		refused -L 3601 t/a true && refused "$long" true && refused '' true &&
		refused 'a b' true && refused 'a@b' true
}

trouble() {
	serve t/taken nymcat -l -k t/taken -- true
	refused t/taken true && says 't/taken: Address already in use' &&
		gives 125 nobody nym-activate sys/t true && says 'sys/t: Permission denied' &&
		gives 125 nobody nym-activate -o root t/b true && says 'not permitted'
}

program_status() {
	echo 'not a program' >file
	mkdir -p dir
	gives 7 nym-activate t/seven sh -c 'exit 7' &&
		gives 126 nym-activate t/b ./file && says './file: Permission denied' &&
		gives 126 nym-activate t/b ./dir &&
		gives 127 nym-activate t/b no-such-program && says 'no-such-program: No such file' &&
		gives 127 nym-activate t/b -- ./nowhere
}

environment() {
	gives 0 env -i "PATH=$PATH" nym-activate t/a:b sh -c \
		'echo "$LISTEN_FDS $((LISTEN_PID == $$)) $LISTEN_FDNAMES"; readlink /proc/$$/fd/3' &&
		says '^1 1 t/a_b$' && says '^socket:'
}

# What was open before, at any number, is not mixed up.
descriptors() {
	for closed in '3>&-' '3</dev/null' '0<&- 1>&- 2>&- 3>&-' '0<&-'; do
		(
			eval "exec $closed"
			exec nym-activate t/fds sh -c 'ls -l "/proc/$$/fd" >fds'
		) || return
		grep -q '3 -> socket:' fds && [ "$(grep -c socket: fds)" = 1 ] || return
	done
}

# Each line in capitals: a server that knows nothing of the family.
upper='open(my $s, "+<&=", 3) or exit 1;
	while (accept(my $c, $s)) { $c->autoflush; print $c uc while <$c>; close $c }'

served() {
	serve t/upper nym-activate -m 666 t/upper -- perl -MIO::Handle -e "$upper"
	echo hello | timeout 20 nymcat t/upper >out && holds out HELLO &&
		gives 0 nobody nymcat t/upper && gives 0 nymctl info t/upper && says '^limit 65$'
}

records() {
	serve_type -q t/rec nym-activate -q -b 3 t/rec -- perl -e 'open(my $s, "+<&=", 3) or exit 1;
		while (accept(my $c, $s)) { recv($c, my $b, 99, 0); send($c, length $b, 0) }'
	echo hello | timeout 20 nymcat -q t/rec >out && [ "$(cat out)" = 6 ] &&
		gives 0 nymctl info t/rec && says '^limit 4$' && says '^type seqpacket$'
}

datagrams() {
	serve_type -u t/dgram nym-activate --dgram t/dgram -- perl -e 'open(my $s, "+<&=", 3);
		$| = 1; while (defined recv($s, my $b, 99, 0)) { print $b }' >out
	echo one | timeout 20 nymcat -u t/dgram && soon holds out one
}

# owned WANTED...: what nymctl tells of t/own has each of these lines.
owned() {
	nymctl info t/own >out || return
	for line; do
		says "^$line\$" || return
	done
}

owner_and_mode() {
	serve t/own nym-activate -m 640 -o nobody -g 7 t/own sleep 60
	owned 'mode 0640' 'uid 65534' 'gid 7' || return
	end_servers
	serve t/own nym-activate -o 1234 t/own sleep 60
	owned 'mode 0755' 'uid 1234' 'gid 0' || return
	end_servers
	serve t/own sh -c 'umask 077; exec nym-activate t/own sh -c "umask >mask; exec sleep 60"'
	owned 'mode 0700' 'uid 0' && soon holds mask 0077
}

shared() {
	serve t/two nym-activate --share t/two sleep 60
	refused t/two true && says 'in use' || return
	nym-activate -s t/two sleep 60 &
	servers="$servers $!"
	soon two_members
}

two_members() {
	nymctl info t/two >out && says '^members 2$'
}

sticky() {
	serve_type -u t/two nym-activate -u --sticky t/two sleep 60
	nym-activate -u -s t/two sleep 60 &
	servers="$servers $!"
	soon two_members || return
	for i in 1 2 3 4 5 6; do
		echo "$i"
	done | perl -e 'socket($s, 18, 2, 0) && bind($s, pack("S a*", 18, "t/sender")) or exit 1;
		while (<>) { defined send($s, $_, 0, pack("S a*", 18, "t/two")) or exit 2 }' || return
	nymctl info t/two >out
	[ "$(sed -n 's/^datagrams //p' out | sort | tr '\n' ' ')" = "0 6 " ]
}

# Who calls while nobody is there is served by the next one.
lingers() {
	nym-activate -L 30 t/linger true || return
	echo early | timeout 40 nymcat t/linger >out &
	client=$!
	sleep 0.5
	kill -0 "$client" || return
	serve t/linger nym-activate t/linger -- perl -MIO::Handle -e "$upper"
	wait "$client" && holds out EARLY
}

on_call() {
	serve t/lazy nym-activate -c t/lazy -- sh -c 'echo started >lazy; exec perl -MIO::Handle -e "$1"' \
		sh "$upper"
	sleep 0.5
	[ ! -e lazy ] && echo first | timeout 20 nymcat t/lazy >out && holds out FIRST &&
		holds lazy started
}

# The socket can be accepted from without what bind() took.
privileges_dropped() {
	serve sys/t nym-activate -m 666 sys/t -- setpriv --reuid=65534 --regid=65534 --clear-groups \
		perl -MIO::Handle -e "die unless \$ENV{LISTEN_PID} == \$\$; $upper"
	echo hello | timeout 20 nymcat sys/t >out && holds out HELLO
}

echo "1..15"
check "--help" help
check "wrong usage gives 125" wrong_usage
check "other trouble, too" trouble
check "otherwise it is the program's status, 126 or 127" program_status
check "the environment says what there is" environment
check "the socket is descriptor 3, whatever was open" descriptors
check "a stream" served
check "records, and a backlog" records
check "datagrams" datagrams
check "owner, group and mode" owner_and_mode
check "--share: two serve one name" shared
check "--sticky: a sender keeps to one of them" sticky
check "--linger keeps callers for the next one" lingers
check "--on-call waits with the program" on_call
check "a program without the privileges of the name" privileges_dropped
exit $failed
