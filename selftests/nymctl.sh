#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nymctl, which is beside this script: what it does, and each exit status. Prints
# TAP.
# The checks are called by name, and perl has variables, too.
# shellcheck disable=SC2317,SC2016

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

help() {
	gives 0 nymctl --help && says '^usage: nymctl' &&
		gives 0 nymctl wait -h && says 'Exit status'
}

wrong_usage() {
	misused nymctl && misused nymctl nothing && misused nymctl ls -x &&
		misused nymctl info && misused nymctl info 'a b' &&
		misused nymctl wait -t 0 a &&
		misused nymctl stat x && misused nymctl stat -i -1
}

nobody_there() {
	gives 1 nymctl info t/none && says 'no such name'
}

trouble() {
	gives 3 sh -c 'nymctl ls >/dev/full'
}

# appears TYPE: wait ends when it is there, and not before.
appears() {
	nymctl wait "$1" -t 20 t/later &
	waiter=$!
	sleep 0.5
	kill -0 "$waiter" || return
	# shellcheck disable=SC2086
	nymcat -l -k ${1#-s} t/later </dev/null >/dev/null &
	servers=$!
	wait "$waiter"
}

never_appears() {
	gives 1 nymctl wait -t 0.3 t/never && says 'timed out' &&
		gives 1 nymctl wait -q -t 0.3 t/never && gives 1 nymctl wait -u -t 0.3 t/never &&
		says 'timed out'
}

undisturbed() {
	serve t/calm nymcat -l -k t/calm
	gives 0 nymctl wait t/calm && gives 0 nymctl info t/calm && says '^accepted 0$' &&
		says '^pending 0$' && gives 1 nymctl wait -q -t 0.2 t/calm
}

one_socket() {
	serve t/one nymcat -l -k t/one -- cat
	gives 0 nymcat t/one && gives 0 nymctl info t/one && says '^type stream$' &&
		says '^state listening$' && says '^limit 65$' && says '^accepted 1$' &&
		says '^uid 0$' && says '^members 1$' && gives 0 nymctl ls &&
		says '^stream  *listening  *0/65  *0  *1  *1  *0 0755 t/one$'
}

shared() {
	serve t/share perl -e 'for my $i (0, 1) {
			socket($s[$i], $ENV{AF_NYM}, 1, 0) &&
			setsockopt($s[$i], 28281, 2, pack("i", 1)) &&
			bind($s[$i], pack("S a*", $ENV{AF_NYM}, "t/share")) or exit 1;
		}
		listen($_, 5) for @s;
		sleep 100'
	gives 0 nymctl info t/share && [ "$(grep -c '^members 2$' out)" = 2 ] &&
		gives 0 nymctl ls && [ "$(grep -c ' t/share$' out)" = 2 ]
}

hidden() {
	serve t/secret nymcat -l -k -m 0700 t/secret
	gives 0 nymctl info t/secret && gives 1 nobody nymctl info t/secret &&
		gives 1 nobody nymctl wait -t 0.2 t/secret && gives 0 nobody nymctl ls &&
		! grep -q secret out && gives 0 nobody nymctl ls -a && ! grep -q secret out &&
		says ' ? -$'
}

accepted() {
	nymctl info "$1" | grep -q '^accepted 1$'
}

connected() {
	serve t/conn nymcat -l -k t/conn -- cat
	nymcat t/conn <>open &
	servers="$servers $!"
	soon accepted t/conn && gives 0 nymctl ls -a &&
		says ' t/conn :[0-9a-f]*$' && says ' :[0-9a-f]* t/conn$' &&
		gives 0 nymctl ls && [ "$(grep -c t/conn out)" = 1 ]
}

# two_more: so many calls have been accepted since the first lines.
two_more() {
	awk '$1 == "accepts" { n += $3 } END { exit n != 2 }' changes
}

counters() {
	gives 0 nymctl stat && says '^connects  *[0-9]*$' && says '^files_dropped ' || return
	serve t/count nymcat -l -k t/count
	nymctl stat -i 0.5 >changes &
	servers="$servers $!"
	soon [ -s changes ]
	gives 0 nymcat t/count && gives 0 nymcat t/count && soon two_more
}

echo "1..13"
check "--help" help
check "wrong usage gives 2" wrong_usage
check "where nobody is, 1" nobody_there
check "other trouble, 3" trouble
check "wait ends when a stream listener appears" appears -s
check "wait ends when a datagram socket appears" appears -u
check "wait ends when the time is over" never_appears
check "wait disturbs nobody" undisturbed
check "ls and info of one socket" one_socket
check "ls and info of a shared name" shared
check "names that are not for everybody" hidden
check "ls -a has connections" connected
check "stat" counters
exit $failed
