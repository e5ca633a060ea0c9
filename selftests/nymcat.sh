#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nymcat, which is beside this script: what it does, and each exit status. Prints
# TAP.
# The checks are called by name, and perl has variables, too.
# shellcheck disable=SC2317,SC2016

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

help() {
	gives 0 nymcat --help && says '^usage: nymcat' &&
		gives 0 nymcat -h && says '--send-fd'
}

wrong_usage() {
	long=$(printf '%0126d' 0)
	misused nymcat && says 'no name' && misused nymcat -x a &&
		misused nymcat -q -u a && misused nymcat -k a && misused nymcat -m 666 a &&
		misused nymcat -l -u a cat && misused nymcat --recv-fd a &&
		misused nymcat -l --send-fd 1 a &&
		misused nymcat -w 0 a && misused nymcat -l -m 999 a &&
		misused nymcat "$long" && misused nymcat '' &&
		misused nymcat 'a b' && misused nymcat -l 'a@b'
}

nobody_there() {
	gives 1 nymcat t/none && says 'nymcat: t/none: Connection refused' &&
		gives 1 nymcat -q t/none && gives 1 nymcat -u t/none &&
		gives 1 nymcat -w 0.2 -W t/none && says 'timed out' &&
		gives 1 nymcat -u -w 0.2 -W t/none && gives 1 nymcat -l -w 0.2 t/none
}

trouble() {
	serve t/mine nymcat -l -k -m 700 t/mine -- cat
	gives 3 nobody nymcat t/mine && says 'Permission denied' &&
		gives 3 nobody nymcat -l sys/mine && gives 3 nymcat -l t/mine &&
		says 'already in use' && gives 3 nymcat -u t/mine && gives 3 nymcat -q t/mine &&
		gives 3 nymcat -l -q t/mine && gives 3 nymcat --send-fd 77 t/mine &&
		gives 3 sh -c 'nymcat t/mine <.' &&
		gives 3 sh -c 'echo x | nymcat t/mine >/dev/full'
}

# both_ways TYPE: a file each way at once, unchanged.
both_ways() {
	# shellcheck disable=SC2086
	timeout 60 nymcat -l ${1#-s} t/both <a >from_client &
	nymctl wait "$1" -t 20 t/both || return
	# shellcheck disable=SC2086
	timeout 60 nymcat ${1#-s} t/both <b >from_server || return
	wait $! && cmp a from_server && cmp b from_client
}

# The listener has a command that writes before it has read everything.
echoed() {
	serve t/echo nymcat -l -k t/echo -- cat
	timeout 60 nymcat t/echo <a >out && cmp a out
}

answer_after_the_end() {
	serve t/sum nymcat -l -k t/sum cksum
	timeout 60 nymcat t/sum <a >out && [ "$(cksum <a)" = "$(cat out)" ]
}

childless() {
	children=$(cat "/proc/$1/task/$1/children") && [ -z "$children" ]
}

all_there() {
	[ -s there.1 ] && [ -s there.2 ] && [ -s there.3 ] && [ -s there.4 ]
}

# Each client waits until all are there.
at_once() {
	serve t/many nymcat -l -k t/many -- sh -c 'echo there; cat'
	clients=
	for i in 1 2 3 4; do
		{
			until all_there; do sleep 0.2; done
			echo "it is $i"
		} | timeout 40 nymcat t/many >"there.$i" &
		clients="$clients $!"
	done
	for pid in $clients; do
		wait "$pid" || return
	done
	for i in 1 2 3 4; do
		printf 'there\nit is %s\n' "$i" | cmp - "there.$i" || return
	done
	soon childless "${servers# }"
}

one_after_the_other() {
	serve t/next nymcat -l -k t/next >out
	for i in 1 2 3; do
		echo "client $i" | timeout 20 nymcat t/next || return
	done
	# One that breaks off is no harm.
	perl -e 'socket($s, $ENV{AF_NYM}, 1, 0) &&
		connect($s, pack("S a*", $ENV{AF_NYM}, "t/next")) or exit 1;
		syswrite($s, "cut\n"); exit 0' || return
	echo "client 4" | timeout 20 nymcat t/next || return
	soon holds out "client 1 client 2 client 3 cut client 4"
}

status_of_the_command() {
	timeout 20 nymcat -l t/seven -- sh -c 'cat >/dev/null; exit 7' </dev/null &
	nymctl wait -t 20 t/seven && gives 0 nymcat t/seven || return
	wait $!
	[ $? = 7 ] && gives 3 sh -c '{ nymctl wait t/cmd; nymcat t/cmd; } </dev/null &
		exec nymcat -l t/cmd /nonexistent'
}

# Its own standard input stays open; it ends all the same.
server_goes() {
	serve t/goes nymcat -l -k t/goes -- echo bye
	timeout 20 nymcat t/goes <>open >out && [ "$(cat out)" = bye ]
}

nobody_reads() {
	serve t/deaf nymcat -l -k t/deaf -- true
	timeout 20 nymcat t/deaf <a >out 2>err
	[ $? = 3 ]
}

# A peer that has gone is no reason to turn in circles while nobody reads.
slow_reader() {
	serve t/slow nymcat -l -k t/slow -- head -c 150000 a
	nymcat t/slow <>open >slow &
	client=$!
	servers="$servers $client"
	{
		sleep 1.5
		cat
	} <slow >out &
	sleep 1.2
	ticks=$(awk '{ print $14 + $15 }' "/proc/$client/stat")
	wait $! "$client" && head -c 150000 a | cmp - out && [ "$ticks" -lt 50 ]
}

# Takes one client; perl prints the length of each record.
lengths() {
	perl -e '$| = 1;
		socket($s, $ENV{AF_NYM}, 5, 0) &&
		bind($s, pack("S a*", $ENV{AF_NYM}, "t/rec")) && listen($s, 5) &&
		accept($c, $s) or exit 1;
		print length($b), "\n" while defined(recv($c, $b, 99999, 0)) && length $b' >out
}

# A pipe gives what is there, a file as much as is asked for.
records() {
	lengths &
	nymctl wait -q -t 20 t/rec || return
	{
		printf abc
		soon holds out 3
		printf de
	} | timeout 20 nymcat -q t/rec || return
	wait $!
	holds out "3 2" || return
	lengths &
	nymctl wait -q -t 20 t/rec && timeout 20 nymcat -q t/rec <a || return
	wait $!
	# 5000000 is 76 times 64 KiB, and some.
	[ "$(sort -n out | uniq -c | tr -s ' \n' ' ')" = " 1 19264 76 65536 " ]
}

# An empty record is not the end.
empty_records() {
	serve_type -q t/empty nymcat -l -q t/empty >out
	perl -e 'socket($s, $ENV{AF_NYM}, 5, 0) &&
		connect($s, pack("S a*", $ENV{AF_NYM}, "t/empty")) or exit 1;
		send($s, $_, 0) // exit 2 for "", "a", "", "", "b", ""' || return
	wait "${servers# }" && [ "$(cat out)" = ab ]
}

datagrams() {
	serve_type -u t/dgram nymcat -l -u t/dgram >out
	echo one | timeout 20 nymcat -u t/dgram && echo two | timeout 20 nymcat -u t/dgram &&
		timeout 20 nymcat -u t/dgram </dev/null && soon holds out "one two" &&
		gives 0 nymcat -l -u -w 0.3 t/quiet
}

answers() {
	serve_type -u t/answer perl -e 'socket($s, $ENV{AF_NYM}, 2, 0) &&
		bind($s, pack("S a*", $ENV{AF_NYM}, "t/answer")) or exit 1;
		while (defined(my $from = recv($s, my $b, 999, 0))) {
			send($s, length($b) . " bytes\n", 0, $from) for 1 .. 2;
		}'
	echo hello | timeout 20 nymcat -u -w 5 t/answer >out &&
		holds out "6 bytes 6 bytes"
}

# hand_over TYPE: a descriptor, with what is sent besides.
hand_over() {
	{ cat b; echo more; } >both
	# -s, a stream, is the default and no option of nymcat.
	# shellcheck disable=SC2086
	serve_type "$1" t/hand nymcat -l ${1#-s} --recv-fd t/hand >out
	# shellcheck disable=SC2086
	echo more | timeout 20 nymcat ${1#-s} --send-fd 3 t/hand 3<b && soon cmp -s both out
}

hand_over_input() {
	timeout 20 nymcat -l --recv-fd t/input >out 2>err &
	nymctl wait -t 20 t/input && timeout 20 nymcat --send-fd 0 t/input <a || return
	wait $! && cmp a out
}

not_asked_for() {
	serve t/unasked nymcat -l -k t/unasked
	gives 3 nymcat --send-fd 0 t/unasked && says 'not permitted'
}

first_the_client() {
	echo early | timeout 20 nymcat -W t/late &
	client=$!
	sleep 0.5
	timeout 20 nymcat -l t/late >out </dev/null && wait "$client" && [ "$(cat out)" = early ]
}

mode() {
	serve t/mode nymcat -l -k -m 0606 t/mode -- echo open
	gives 0 nobody nymcat t/mode && says open && gives 0 nymctl info t/mode &&
		says '^mode 0606$'
}

head -c 5000000 /dev/urandom >a
head -c 3000001 /dev/urandom >b
mkfifo slow

echo "1..25"
check "--help" help
check "wrong usage gives 2" wrong_usage
check "where nobody is, 1" nobody_there
check "other trouble, 3" trouble
check "binary data both ways at once" both_ways -s
check "the same in records" both_ways -q
check "a peer that writes before it has read all" echoed
check "an answer after the end of the input" answer_after_the_end
check "several clients at once, and none stays behind" at_once
check "one client after the other" one_after_the_other
check "without -k, the exit status is the command's" status_of_the_command
check "the end of the server is the end" server_goes
check "what nobody reads is an error" nobody_reads
check "a slow reader costs no time" slow_reader
check "records keep their boundaries" records
check "empty records do not end anything" empty_records
check "datagrams, from several clients" datagrams
check "answers to datagrams" answers
check "a descriptor on a stream" hand_over -s
check "a descriptor with a record" hand_over -q
check "a descriptor with a datagram" hand_over -u
check "standard input as the descriptor" hand_over_input
check "a descriptor that is not wanted" not_asked_for
check "-W waits for the listener" first_the_client
check "-m says who may call" mode
exit $failed
