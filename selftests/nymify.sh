#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# nymify, which is beside this script: an unmodified program, nymify-peer, sees on
# AF_NYM what it sees on AF_UNIX; the rules; and each exit status. Prints TAP.
# The checks are called by name, and perl has variables, too.
# shellcheck disable=SC2317,SC2016

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

# runs FAMILY CHECK [COMMAND...]: in a directory of its own, empty afterwards.
runs() {
	family=$1 what=$2
	shift 2
	mkdir -p "$family"
	if ! timeout 70 "$@" nymify-peer "$family" "$tmp/$family" "$what" >out 2>err </dev/null; then
		echo "# $*, $family: failed"
		cat out
		rm -rf "$family"
		return 1
	fi
	rmdir "$family"
}

# same CHECK [RULE]: without nymify, with rules that do not fit, and with one that does.
same() {
	runs unix "$1" && runs unix "$1" nymify -m '/nowhere/*=t/*' -m '@nowhere=t/no' &&
		runs nym "$1" nymify -m "${2-$tmp/nym/*=t/*}"
}

pairs() {
	runs unix pair && runs unix pair nymify -m "$tmp/*=t/*" && runs nym pair nymify -p &&
		runs nym stream nymify -p -m "$tmp/*=t/*"
}

# names TEXT: what "nymctl ls -a" has a line with.
names() {
	nymctl ls -a | grep -q -- "$1"
}

# A server that answers each caller with this word, and goes on where it is told to.
answer='socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, pack_sockaddr_un($ARGV[0])) &&
	listen($s, 5) or exit 1;
	for (;;) { syswrite($c, "$ARGV[1]\n") if accept($c, $s); close($c) if $c }'

# With --linger, callers wait for the next server; without, they are refused.
linger() {
	runs nym linger nymify --linger 30000 -m "$tmp/nym/*=l/*" -m '@*=l/*' || return
	at=t/lasts
	listen_at /t/lasts -m '/t/*=t/*' || return
	end_servers
	! nymctl info t/lasts 2>err && gives 1 nymcat t/lasts || return
	# Not of nymify itself, but of a program that is run by it.
	serve t/lasts nymify --linger 30000 -m '/t/*=t/*' sh -c 'exec perl -MSocket -e "$@"' sh \
		"$answer" /t/lasts first || return
	end_servers
	nymcat t/lasts >answer </dev/null &
	caller=$!
	soon names ' connecting ' && kill -0 "$caller" || return
	serve t/lasts nymify -m '/t/*=t/*' perl -MSocket -e "$answer" /t/lasts second || return
	wait "$caller" && holds answer second
}

hold() {
	runs nym hold nymify --hold "$tmp/nym/hold" -m "$tmp/nym/*=t/*" &&
		runs nym hold_signals nymify --hold "$tmp/nym/hold" -m "$tmp/nym/*=t/*" || return
	# With a file that is not there, and one that cannot be, all is as ever.
	for what in stream nonblocking fork interrupt restart cancel; do
		runs nym "$what" nymify --hold "$tmp/no/file" -m "$tmp/nym/*=t/*" || return
	done
}

pending() {
	gives 0 nymctl info t/again && says "pending *$1"
}

# Calls move from one server that holds them to the next, and none is lost.
hold_restart() {
	set -- nymify --hold held --linger 30000 -m '/t/*=t/*' perl -MSocket -e "$answer" /t/again
	serve t/again "$@" first || return
	gives 0 nymcat t/again && says first || return
	: >held
	nymcat t/again >answer1 </dev/null &
	one=$!
	nymcat t/again >answer2 </dev/null &
	two=$!
	soon pending 2 && end_servers || return
	serve t/again "$@" second && pending 2 && sleep 1 && pending 2 || return
	rm held
	wait "$one" && wait "$two" && holds answer1 second && holds answer2 second &&
		gives 0 nymcat t/again && says second
}

wrong_settings() {
	for ms in 0 -1 3600001 99999999999999999999 1s 1.5 ''; do
		gives 125 nymify -m /a=a --linger "$ms" true && says 'no number of milliseconds' &&
			says "Try 'nymify --help'" || return
	done
	gives 125 nymify -m /a=a --linger && gives 125 nymify -m /a=a --hold &&
		gives 125 nymify -m /a=a --hold '' true && says 'cannot be a file' &&
		gives 125 nymify -m /a=a --hold "$(printf '%05000d' 0)" true && says 'cannot be a file' &&
		gives 125 nymify --linger 5 --hold f true && says 'no rules'
}

# One name for two paths: who has bound either has both.
one_name() {
	set -- nymify -m '/t/one/*=t/*' -m '/t/two/*=t/*' perl -MSocket -MErrno -e
	serve t/both "$@" 'socket($s, AF_UNIX, SOCK_STREAM, 0) &&
		bind($s, pack_sockaddr_un("/t/two/both")) && listen($s, 5) or exit 1;
		unpack_sockaddr_un(getsockname($s)) eq "/t/one/both" or exit 2;
		accept($c, $s) for 1, 2; sleep 100' || return
	gives 0 "$@" 'for ("/t/one/both", "/t/two/both") {
		socket($c, AF_UNIX, SOCK_STREAM, 0) && connect($c, pack_sockaddr_un($_)) or exit 1;
		unpack_sockaddr_un(getpeername($c)) eq "/t/one/both" or exit 2;
		socket($s, AF_UNIX, SOCK_STREAM, 0) && !bind($s, pack_sockaddr_un($_)) &&
			$!{EADDRINUSE} or exit 3 }'
}

help() {
	gives 0 nymify --help && says '^usage: nymify' && gives 0 nymify -h && says fallback
}

wrong_usage() {
	gives 125 nymify && says 'no program' && gives 125 nymify true && says 'no rules' &&
		gives 125 nymify -x && gives 125 nymify -m /a=a && says 'no program' &&
		gives 125 nymify -r "$tmp/none" true && says 'No such file'
}

# refused RULE WHY
refused() {
	gives 125 nymify -m "$1" true && says "$2" || return
	printf '# a comment\n\n  %s  \n' "$1" >wrong
	gives 125 nymify -r wrong true && says "$2"
}

wrong_rules() {
	long=$(printf '%0126d' 0)
	refused '/a' "no '='" && refused '=a' 'pattern is empty' &&
		refused '/a/*=a' 'on one side' && refused '/a=a*' 'on one side' &&
		refused '/a/*/*=a*' "more than one" && refused '/a/*=a**' 'more than one' &&
		refused '/a=' 'empty' && refused '/a=:b' "begin with ':'" &&
		refused '/a=b c' 'may not have' && refused '/a/*=b@/*' 'may not have' &&
		refused "/a=$long" 'longer than' && refused "/a/*=*$long" 'longer than' &&
		gives 125 nymify -m '/a=a
b' true && says 'one line'
}

# listen_at PATH [NYMIFY OPTION...]: as an unmodified program; its name is $at.
listen_at() {
	path=$1
	shift
	serve "$at" nymify "$@" perl -MSocket -e 'socket($s, AF_UNIX, SOCK_STREAM, 0) &&
		bind($s, pack_sockaddr_un($ARGV[0])) && listen($s, 5) or exit 1;
		unpack_sockaddr_un(getsockname($s)) eq $ARGV[0] or exit 2;
		sleep 100' "$path"
}

# named PATH NAME: with these rules that name is bound for the path.
named() {
	at=$2
	listen_at "$1" -m '/t/a=t/first' -r rules -m '/t/*=t/rest/*' &&
		gives 0 nymctl info "$at" && end_servers
}

rules() {
	cat >rules <<-'END'
		# The first rule that fits counts.
		/t/*.sock=t/*/svc

		  /t/a=t/second
		/t/a/*b=t/ab/*
	END
	named /t/a t/first && named /t/x.sock t/x/svc && named /t/y.sock2 t/rest/y.sock2 &&
		named /t/a/cb t/ab/c && named /t/a/b t/ab/ && named /t/d/e t/rest/d/e &&
		named '/t/ a@%:' 't/rest/%20a%40%25:'
}

# A name for which there is no way, or no permission.
no_name() {
	set -- perl -MSocket -MErrno -e 'socket($s, AF_UNIX, SOCK_STREAM, 0) or exit 9;
		bind($s, pack_sockaddr_un("/t/" . "x" x 80)) and exit 8;
		exit $! - 0'
	gives 36 nymify -m "/t/*=$(printf '%046d' 0)*" "$@" &&
		gives 13 nobody nymify -m '/t/*=sys/*' "$@" &&
		gives 13 nobody nymify -m '/t/*=user/0/*' "$@"
}

# chmod() by somebody else is no way in.
not_ours() {
	at=t/theirs
	listen_at /t/theirs -m '/t/*=t/*'
	gives 1 nymify -m '/t/*=t/*' chmod 777 /t/theirs && says 'not permitted' &&
		gives 0 nymctl info t/theirs && says 'mode 0755' &&
		gives 0 nymify -m '/t/*=t/*' test -S /t/theirs &&
		gives 1 nymify -m '/t/*=t/*' test -S /t/none
}

# Callers that find the backlog full wait in line, and find out by poll().
parked() {
	gives 0 nymify -m '/t/*=t/*' perl -MSocket -MErrno -MFcntl -e '
		my $at = pack_sockaddr_un("/t/full");
		socket($s, AF_UNIX, SOCK_STREAM, 0) && bind($s, $at) && listen($s, 0) or exit 1;
		socket($c, AF_UNIX, SOCK_STREAM, 0) && connect($c, $at) or exit 2;
		socket($d, AF_UNIX, SOCK_STREAM, 0) && fcntl($d, F_SETFL, O_NONBLOCK) or exit 3;
		!connect($d, $at) && $!{EINPROGRESS} or exit 4;
		!connect($d, $at) && $!{EALREADY} or exit 5;
		accept($a, $s) or exit 6;
		vec($w, fileno($d), 1) = 1;
		select(undef, $w, undef, 5) == 1 or exit 7;
		syswrite($d, "x") == 1 && accept($b, $s) && sysread($b, $x, 1) == 1 or exit 8'
}

programs() {
	cp /usr/bin/perl suid && chmod 4755 suid || return
	printf '#!%s\n' "$(command -v nymcat)" >script
	printf 'no program' >text
	chmod 755 script
	gives 7 nymify -m /a=a sh -c 'exit 7' && gives 127 nymify -m /a=a no-such-program &&
		gives 127 nymify -m /a=a ./no-such-program && gives 126 nymify -m /a=a ./text &&
		gives 126 nymify -m /a=a nymcat -h && says 'statically linked' &&
		gives 126 nymify -m /a=a ./script && says 'statically linked' &&
		gives 0 nymify -m /a=a ./suid -e 'exit 0' || return
	chmod 755 .
	gives 126 nobody nymify -m /a=a ./suid -e 'exit 0' && says 'rights of its own'
}

# What is preloaded already stays; what is behind the program is its own.
environment() {
	LD_PRELOAD=libm.so.6
	export LD_PRELOAD
	gives 0 nymify -m /a=a sh -c 'echo "$LD_PRELOAD $1"' sh -f
	status=$?
	unset LD_PRELOAD
	[ "$status" = 0 ] && says '/nymify-preload.so:libm.so.6 -f$' && [ ! -s err ]
}

# Where the file is does not change with the directory; and of a nymify that runs
# another one, the inner one's options count.
settings() {
	set -- sh -c 'cd / && echo "$NYMIFY_LINGER:$NYMIFY_HOLD:$NYMIFY_PAIRS"'
	gives 0 nymify -m /a=a -p --linger 7 --hold f/g "$@" && says "^7:$PWD/f/g:1\$" &&
		gives 0 nymify -m /a=a --hold /f/g "$@" && says '^:/f/g:$' &&
		gives 0 nymify -m /a=a -p --linger 7 --hold f sh -c 'exec "$@"' sh \
			nymify -m /a=a "$@" && says '^::$'
}

# Linux frees the last sockets some time after they are closed.
unload() {
	soon rmmod nym 2>/dev/null
}

without_module() {
	gives 125 nymify -m "$tmp/*=t/*" true && says 'AF_NYM: Address family not supported' &&
		runs unix stream nymify --fallback -m "$tmp/*=t/*" &&
		gives 7 nymify -f -m /a=a sh -c 'exit 7'
}

missing() {
	unload || return
	without_module
	status=$?
	insmod "$NYM_MODULE" && return "$status"
}

checks=39
[ -n "$NYM_MODULE" ] || checks=38
chmod 755 .
echo "1..$checks"
check "stream sockets and their addresses" same stream
check "seqpacket sockets and their addresses" same seqpacket
check "datagrams and their senders" same dgram
check "a socket between the families" same both
check "abstract names of any bytes" same abstract "@*=t/*"
check "bind() without an address" same chosen "@*=t/*"
check "descriptors" same rights
check "credentials" same creds
check "what was set before the address is known" same options
check "errors" same errors
check "epoll before bind() and connect()" same epoll
check "connect() that does not block" same nonblocking
check "stat, access, chmod, chown, and other files" same files
check "unlink before bind() and after close()" same stale
check "rename" same rename
check "fork" same fork
check "exec" same exec
check "relative paths" same relative
check "threads" same threads
check "signals interrupt what waits" same interrupt
check "signals that do not" same restart
check "threads that are cancelled" same cancel
check "pairs" pairs
check "--linger" linger
check "--hold" hold
check "a restart with both" hold_restart
check "--help" help
check "wrong usage gives 125" wrong_usage
check "wrong rules, too" wrong_rules
check "wrong --linger and --hold" wrong_settings
check "two paths for one name" one_name
check "which rule counts, and what it makes" rules
check "names that cannot be bound" no_name
check "the socket of another process" not_ours
check "a full backlog" parked
check "which programs can be run" programs
check "the environment" environment
check "--linger and --hold in it" settings
[ -z "$NYM_MODULE" ] || check "without the module, and --fallback" missing
exit $failed
