#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The fuzzer: what has found something once, and a short run with another seed each
# time. Prints TAP. What the kernel says to it is looked at when the guest ends.
here=$(dirname "$0")
fuzzer=$here/nymfuzz
count=0
failed=0

# check NAME OPTION...: one run of the fuzzer.
check() {
	name=$1
	shift
	count=$((count + 1))
	"$fuzzer" "$@"
	case $? in
	0) echo "ok $count $name" ;;
	4)
		echo "ok $count $name # SKIP no nym socket"
		exit 4
		;;
	*)
		echo "not ok $count $name"
		failed=1
		;;
	esac
}

set -- "$here"/corpus/*
echo "TAP version 13"
echo "1..$(($# + 1))"
for program; do
	check "${program##*/}" --program "$program"
done
check "another seed" --seconds 20 --calls 1000000
exit $failed
