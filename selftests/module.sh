#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The module itself: who may unload it, and its parameter. Prints TAP. It ends
# with the module loaded as it was.
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

echo "TAP version 13"
echo "1..9"
check "an open socket keeps the module" stays_while_in_use
check "without sockets it unloads" unload
check "and the family is gone" has_no_family 18
check "a family that is taken is refused" does_not_load family=1
check "a family out of range is refused" does_not_load family=46
check "another family loads" load family=19
check "and is there, and the usual one is not" eval 'has_family 19 && has_no_family 18'
check "it unloads too" unload
check "the usual family loads" eval 'load && has_family 18'
exit $failed
