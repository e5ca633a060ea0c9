#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The modules and examples of each language, which are beside this script: their
# own tests, and who understands whom. Prints TAP.
# The checks are called by name.
# shellcheck disable=SC2317

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

here=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)/languages
languages="c python perl ruby go rust node"

# passes LANGUAGE PATTERN COMMAND...: its tests, in its directory, which say in
# their own way that some were run.
passes() {
	dir=$here/$1
	pattern=$2
	shift 2
	(cd "$dir" && timeout 250 "$@") >err 2>&1 </dev/null && grep -q -- "$pattern" err
}

# all_call SERVER: a client in each language, all at once, and a megabyte there
# and back.
all_call() {
	serve "t/$1" "$here/$1"/echo* -l "t/$1" || return
	clients=
	for client in $languages; do
		timeout 100 "$here/$client"/echo* "t/$1" <megabyte >"$client.out" 2>>err &
		clients="$clients $!"
	done
	for pid in $clients; do
		wait "$pid" || return
	done
	for client in $languages; do
		cmp megabyte "$client.out" || return
	done
}

nobody_there() {
	for client in $languages; do
		gives 1 "$here/$client"/echo* t/none && grep -qi refused err || return
	done
}

head -c 1048576 /dev/urandom >megabyte
# Nothing is to be written beside the modules.
export PYTHONDONTWRITEBYTECODE=1

echo "1..14"
check "python's tests" passes python '^Ran [1-9]' python3 -X dev -W error test_nym.py
check "perl's tests" passes perl '^1\.\.[1-9]' perl -I. nym.t
check "ruby's tests" passes ruby '^[1-9][0-9]* runs' ruby -w test_nym.rb
check "go's tests" passes go '^--- PASS' ./nym_test -test.v
check "rust's tests" passes rust '^test result: ok. [1-9]' ./nym_test --test-threads=1
check "node's tests" passes node '^# pass [1-9]' node test_nym.js
for language in $languages; do
	check "$language is called by all" all_call "$language"
done
check "where nobody is, 1" nobody_there
exit $failed
