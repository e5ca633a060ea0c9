#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Show nym at work: our programs, unmodified socat and plain perl, on real files.
# Runs as root where the module is loaded; `make demo` does that in QEMU.
# DEMO_BIN is the directory of the built programs.
set -eu -o pipefail
cd "$(dirname "$0")"
. ./demo-lib.sh
PATH=${DEMO_BIN:-../build/demo}:$PATH

umask 022
gpl=/usr/share/common-licenses/GPL-3
gpl_sum=$(sum $gpl)
big=$tmp/big	# is made while the first steps run
{ head -c 50M /dev/urandom >"$big" && sum "$big" >"$tmp/big.sum"; } &
big_job=$!

step "A server on a name, and a client: the two C programs of README.md"
serve hello nym-server
show nym-client | tee "$tmp/out"
grep -q "Hello from process $server" "$tmp/out" || fail "no greeting"
ok "the name 'hello' led to process $server"

step "kill -9 the server and start it again: no stale name is left"
show kill -9 "$server"
while kill -0 "$server" 2>/dev/null; do sleep 0.01; done
serve hello nym-server
nym-client | grep -q "Hello from process $server" || fail "no greeting"
ok "the new server has the name; nothing had to be removed first"

step "Unmodified socat and plain perl call our echo server: the GPL-3 text, there and back"
serve demo/echo nym-serve demo/echo echo
show socat -t 30 - "SOCKET-CONNECT:$(socat_name demo/echo)" <$gpl >"$tmp/socat"
same "back through socat" "$gpl_sum" "$tmp/socat"
show ./client.pl demo/echo <$gpl >"$tmp/perl"
same "back through perl" "$gpl_sum" "$tmp/perl"
ok "$(wc -c <$gpl) bytes, unchanged"

step "No program of ours at all: socat serves, perl and socat call"
serve demo/socat socat -t 30 "SOCKET-LISTEN:$(socat_name demo/socat),fork" PIPE
show ./client.pl demo/socat <$gpl >"$tmp/perl"
same "perl through socat" "$gpl_sum" "$tmp/perl"
show socat -t 30 - "SOCKET-CONNECT:$(socat_name demo/socat)" <$gpl >"$tmp/socat"
same "socat through socat" "$gpl_sum" "$tmp/socat"
ok "two programs that never heard of nym talk by name"

step "50 MB of random bytes through socat, both ways"
wait "$big_job" || fail "cannot make the file"
big_sum=$(<"$tmp/big.sum")
serve demo/sink nym-serve demo/sink sink "$tmp/up"
show socat -b 1048576 -t 30 - "SOCKET-CONNECT:$(socat_name demo/sink)" <"$big"
same "up" "$big_sum" "$tmp/up"
serve demo/source nym-serve demo/source source "$big"
show socat -u -b 1048576 "SOCKET-CONNECT:$(socat_name demo/source)" "CREATE:$tmp/down"
same "down" "$big_sum" "$tmp/down"
rm "$tmp/up" "$tmp/down"
ok "$(wc -c <"$big") bytes each way"

step "50 clients at once on one server, and what /proc/net/nym shows of them"
coproc CROWD { ./crowd.pl demo/echo 50; }
crowd=$CROWD_PID servers+=("$CROWD_PID")
read -r line <&"${CROWD[0]}"
cp /proc/net/nym "$tmp/proc"
echo "  $line"
sed -n '1p; /^demo\/echo.*listening/p' "$tmp/proc"
grep '^demo/echo.*connected' "$tmp/proc" | head -2
grep '^:.*connected' "$tmp/proc" | head -2
[ "${line%% *}" = 50 ] || fail "not all clients were served"
[ "$(grep -c '^demo/echo.*connected' "$tmp/proc")" = 50 ] || fail "not 50 connections in /proc/net/nym"
eval "exec ${CROWD[1]}>&-"
wait "$crowd" || fail "a client failed"
ok "50 connections, 50 answers"

step "A full backlog parks the caller, who can poll (AF_UNIX: EAGAIN and nothing to poll)"
show ./queue.pl demo/queue | tee "$tmp/out"
grep -q '^and it is served: in turn$' "$tmp/out" || fail "the parked caller was not served"
ok "served in turn"

step "A name has an owner, a group and a mode, and strangers are refused"
serve demo/whoami ./server.pl demo/whoami
grep '^demo/whoami' /proc/net/nym
nobody "connect: Permission denied" ./client.pl demo/whoami
nobody "Permission denied" socat - "SOCKET-CONNECT:$(socat_name demo/whoami)"
ok "EACCES: by default only the owner may connect"
show chgrp nogroup "/proc/$server/fd/3"
show chmod 0775 "/proc/$server/fd/3"
grep '^demo/whoami' /proc/net/nym
nobody "you are uid 65534 gid 65534" socat -u "SOCKET-CONNECT:$(socat_name demo/whoami)" -
ok "opened to a group while the server runs (fchown and fchmod on its socket)"
nobody "Hello from process" nym-client
ok "and the C server above opened its own name with fchmod(fd, 0666)"

step "Names that are not for everybody"
nobody "bind sys/demo: Permission denied" ./server.pl sys/demo
nobody "bind user/0/demo: Permission denied" ./server.pl user/0/demo
ok "EACCES: sys/ is for administrators, user/0/ for uid 0"

printf '\nThe demo took %d seconds on Linux %s.\n' "$SECONDS" "$(uname -r)"
