# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What demo.sh is told with: steps, servers in the background, checks. To be sourced.

tmp=$(mktemp -d /tmp/nym-demo.XXXXXX)
chmod 755 "$tmp"	# user nobody goes there too
servers=()
exec 3>&1	# for show(), when the command's own output goes elsewhere

finish() {
	local status=$?

	kill -9 "${servers[@]}" 2>/dev/null || :
	rm -rf "$tmp"
	((status == 0)) || printf '[FAILED] here, status %d\n' "$status"
}
trap finish EXIT

step() { printf '\n== %s\n' "$*"; }
ok() { printf '[ok] %s\n' "$*"; }
fail() {
	printf 'not as it must be: %s\n' "$*"
	exit 1
}

# Print a command, then run it.
show() {
	printf '  $ %s\n' "$*" >&3
	"$@"
}

# Start a server in the background and wait until somebody listens on the name.
serve() {
	local name=$1 i
	shift
	printf '  $ %s &\n' "$*"
	"$@" 3>&- &
	server=$!
	disown
	servers+=("$server")
	for ((i = 0; i < 100; i++)); do
		[[ $(</proc/net/nym) == *$'\n'"$name stream listening "* ]] && return
		sleep 0.05
	done
	fail "nobody listens on $name"
}

# socat takes the bytes of an address behind the family in hexadecimal.
socat_name() { printf '18:0:x%s' "$(printf %s "$1" | od -An -v -tx1 | tr -d ' \n')"; }

sum() {
	local out
	out=$(sha256sum "$1")
	echo "${out%% *}"
}

# The file must be there, not empty, and have this sum.
same() {
	local got
	got=$(sum "$3")
	printf '  sha256 %s  sent\n  sha256 %s  %s\n' "$2" "$got" "$1"
	[[ -s $3 && $got == "$2" ]] || fail "$1: not what was sent"
}

# A command as user nobody; its output must contain the text.
nobody() {
	local want=$1 out
	shift
	printf '  nobody $ %s\n' "$*"
	out=$(setpriv --reuid=nobody --regid=nogroup --clear-groups "$@" 2>&1 </dev/null) || :
	printf '%s\n' "$out"
	[[ $out == *"$want"* ]] || fail "expected: $want"
}
