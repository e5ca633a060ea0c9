#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Programs as Debian has them, run by nymify, which is beside this script: each starts,
# does its work, ends, and leaves no name, no file and no process. Prints TAP. With the
# argument "rates" two of them are measured instead, on nym and on AF_UNIX.
# The checks are called by name, and other shells have variables, too.
# shellcheck disable=SC2317,SC2016

# shellcheck source=tools.inc
. "$(dirname "$0")/tools.inc"

here=$(cd "$OLDPWD" && cd "$(dirname "$0")" && pwd)
at=$tmp/at	# what is in this directory is on nym
pgbin=$(echo /usr/lib/postgresql/*/bin)
LC_ALL=C
export LC_ALL HOME="$tmp" PYTHONDONTWRITEBYTECODE=1

# on-nym COMMAND... and on-unix COMMAND...: not for ever, and with the rule or without;
# and on-nym-held, whose names linger, and which takes no calls while there is a file
# "held". They are files, so that they become the command, and can be killed.
write_wrappers() {
	printf '#!/bin/sh\nexec timeout -k 5 300 "$@"\n' >on-unix
	printf '#!/bin/sh\nexec timeout -k 5 300 nymify -m "%s/*=p/*" "$@"\n' "$at" >on-nym
	printf '#!/bin/sh\nexec timeout -k 5 300 nymify -m "%s/*=p/*" %s "$@"\n' "$at" \
		"--linger 20000 --hold $tmp/held" >on-nym-held
	chmod 755 on-unix on-nym on-nym-held
	PATH=$tmp:$PATH
}

# as USER COMMAND...
as() {
	user=$1
	shift
	setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
}

# processes: those of the programs, not of others.
processes() {
	pgrep -l . | grep -E \
		' (redis-.*|memcached|nginx|haproxy|postgres|dbus-daemon|socat|curl|python3.*|stress.*)$'
}

no_process() {
	! processes
}

no_name() {
	[ "$(nymctl ls | wc -l)" = 1 ]	# the headings
}

# start NAME COMMAND...: serve for those that take longer.
start() {
	serve "$@" || nymctl wait -t 200 "$1" 2>err
}

# later COMMAND...: it succeeds within a minute.
later() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		soon "$@" && return
	done
	return 1
}

# nothing_left: one that was told to end may take a moment.
nothing_left() {
	later no_process >left && later no_name && [ -z "$(find "$at" -mindepth 1)" ] && return
	echo "# left behind:"
	processes | sed 's/^/# process /'
	nymctl ls | sed 's/^/# name /'
	find "$at" -mindepth 1 | sed 's/^/# file /'
	return 1
}

# program NAME FUNCTION: a check, with a directory for it to work in.
program() {
	what=$2
	check "$1" in_directory
}

# end_daemons: those that a check that has failed did not end itself.
end_daemons() {
	for file in w/nginx.pid w/nginx.pid.oldbin; do
		[ ! -s "$file" ] || kill "$(cat "$file")"
	done
}

in_directory() {
	mkdir -m 777 "$tmp/w" && cd "$tmp/w" || return
	"$what" >log 2>&1
	status=$?
	cd "$tmp" || return
	end_servers
	end_daemons
	if [ "$status" != 0 ]; then
		tail -n 25 w/log w/err | sed 's/^/# /'
	fi
	nothing_left || status=1
	rm -rf w
	return "$status"
}

# ended: the server that was started last has ended, and is content.
ended() {
	wait "${servers##* }" || { echo "exit status $?"; return 1; }
	servers=${servers% *}
}

# same WHAT EXPECTED
same() {
	[ "$1" = "$2" ] && return
	printf 'not "%s": "%s"\n' "$2" "$1"
	return 1
}

start_redis() {
	start p/redis on-nym redis-server --port 0 --unixsocket "$at/redis" --unixsocketperm 770 \
		--save '' --dir .
}

ask_redis() {
	on-nym redis-cli -s "$at/redis" "$@"
}

redis() {
	start_redis || return
	same "$(ask_redis set counter 5)" OK && same "$(ask_redis incr counter)" 6 &&
		head -c 300000 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >value &&
		same "$(ask_redis -x set big <value)" OK && ask_redis get big >got &&
		echo >>value && cmp value got &&
		as nobody on-nym redis-cli -s "$at/redis" ping 2>&1 | grep -q 'Permission denied' &&
		on-nym redis-benchmark -s "$at/redis" -n 500 -c 20 -q -t set,get,lpush --csv |
		grep -c '^"[A-Z]*","[1-9]' | grep -qx 3 || return
	ask_redis shutdown nosave
	ended && ! ask_redis ping
}

memcached_works() {
	start p/mc on-nym memcached -u nobody -s "$at/mc" -a 0777 || return
	printf '%s\r\n' 'set k 0 0 5' hello 'incr k 1' 'get k' quit |
		as nobody on-nym socat -t 10 - "UNIX-CONNECT:$at/mc" | tr -d '\r' >got
	same "$(tr '\n' ' ' <got)" \
		'STORED CLIENT_ERROR cannot increment or decrement non-numeric value VALUE k 0 5 hello END '
}

# get SOCKET URL: over HTTP.
get() {
	on-nym curl -sS --max-time 60 --unix-socket "$at/$1" "http://localhost$2"
}

# A new nginx that takes over gets from the environment only what is named here.
nginx_config() {
	cat >nginx.conf <<-END
		daemon on;
		pid $PWD/nginx.pid;
		error_log $PWD/error.log;
		worker_processes 2;
		env LD_PRELOAD;
		env NYMIFY_RULES;
		events { worker_connections 100; }
		http {
			access_log off;
			upstream back { server unix:$at/back; keepalive 4; }
			server {
				listen unix:$at/front;
				location / { root $PWD/files; }
				location /back/ { proxy_pass http://back; }
				location /none/ { proxy_pass http://unix:$at/none; }
			}
			server {
				listen unix:$at/back;
				location / { return 200 "behind \$uri\n"; }
			}
		}
	END
	mkdir files
	head -c 1000000 /dev/urandom >files/big
}

start_nginx() {
	nginx_config
	on-nym "$(command -v nginx)" -e stderr -c "$PWD/nginx.conf" && nymctl wait -t 60 p/front &&
		nymctl wait -t 60 p/back
}

# all_get SOCKET COUNT PREFIX: so many at once in eight processes; how many were right.
all_get() {
	seq "$2" | sed "s|^|http://localhost/$3|" |
		on-nym xargs -P 8 -n 5 curl -sS --max-time 60 --unix-socket "$at/$1" | grep -cx "$4"
}

quit_nginx() {
	kill -QUIT "$(cat nginx.pid)" && later test ! -e nginx.pid
}

nginx_works() {
	start_nginx || return
	get front /big >got && cmp files/big got &&
		same "$(get front /back/a)" 'behind /back/a' &&
		same "$(all_get front 40 back/ 'behind /back/[0-9]*')" 40 &&
		get front /none/ | grep -q '502 Bad Gateway' &&
		get front /absent | grep -q '404 Not Found'
	status=$?
	quit_nginx && ! get front / && return "$status"
}

# Another nginx inherits the sockets, and the first one ends.
nginx_upgrade() {
	start_nginx || return
	old=$(cat nginx.pid)
	kill -USR2 "$old" && later test -s nginx.pid.oldbin && later test -s nginx.pid || return
	[ "$(cat nginx.pid)" != "$old" ] && kill -QUIT "$old" && later test ! -e nginx.pid.oldbin &&
		same "$(all_get front 20 back/ 'behind /back/[0-9]*')" 20
	status=$?
	quit_nginx && return "$status"
}

haproxy_config() {
	cat >haproxy.cfg <<-END
		global
			stats socket $at/admin mode 600 level admin expose-fd listeners
		defaults
			mode http
			timeout connect 20s
			timeout client 60s
			timeout server 60s
		frontend front
			bind unix@$at/hafront mode 666
			default_backend back
		backend back
			server one unix@$at/back
	END
}

# It hands its listeners to its successor as descriptors.
haproxy_works() {
	start_nginx && haproxy_config || return
	start p/hafront on-nym haproxy -W -p "$PWD/hapid" -f haproxy.cfg || return
	same "$(get hafront /back/1)" 'behind /back/1' &&
		echo 'show info' | on-nym socat -t 10 - "UNIX-CONNECT:$at/admin" | grep '^Name: HAProxy' || return
	all_get hafront 100 back/ 'behind /back/[0-9]*' >right &
	load=$!
	sleep 1
	kill -USR2 "$(cat hapid)"
	sleep 3
	kill -USR2 "$(cat hapid)"
	wait "$load"
	same "$(cat right)" 100
	status=$?
	quit_nginx && return "$status"
}

pg() {
	as postgres on-nym "$@"
}

# sql COMMAND: its answer.
sql() {
	pg psql -h "$at" -XAtq -d postgres -c "$1"
}

make_database() {
	mkdir "$tmp/pg" && chown postgres "$tmp/pg" && cd "$tmp/pg" || return
	as postgres timeout 500 "$pgbin/initdb" -A peer -N -D data &&
		cat >>data/postgresql.conf <<-END
			listen_addresses = ''
			unix_socket_directories = '$at'
			fsync = off
		END
}

# start_postgres on-nym|on-nym-held|on-unix
start_postgres() {
	as postgres "$1" "$pgbin/pg_ctl" -D "$tmp/pg/data" -l "$tmp/pg/log" -t 200 -w start
}

stop_postgres() {
	as postgres on-unix "$pgbin/pg_ctl" -D "$tmp/pg/data" -t 200 -m fast stop
}

postgres_asks() {
	same "$(sql 'select count(*) from generate_series(1, 1000)')" 1000 &&
		sql 'create role nobody login' &&
		same "$(as nobody on-nym psql -h "$at" -XAt -d postgres -c 'select current_user')" nobody &&
		as nobody on-nym psql -h "$at" -X -U postgres -c 'select 1' 2>&1 |
		grep 'Peer authentication failed' || return
	pg pgbench -h "$at" -i -q postgres &&
		pg pgbench -h "$at" -c 4 -j 2 -t 25 postgres &&
		same "$(sql 'select count(*), sum(delta) - (select sum(abalance)
			from pgbench_accounts) from pgbench_history')" '100|0'
}

postgres_works() {
	start_postgres on-nym && nymctl info p/.s.PGSQL.5432 || return
	postgres_asks
	status=$?
	stop_postgres || return
	[ "$status" = 0 ] && start_postgres on-nym || return
	same "$(sql 'select count(*) from pgbench_history')" 100
	status=$?
	stop_postgres && return "$status"
}

postmaster() {
	head -n 1 "$tmp/pg/data/postmaster.pid"
}

# No name, whether somebody has it or it only lingers.
no_name_lingers() {
	grep -qx 'names 0' /proc/net/nym_stats
}

# restart_held: callers wait while the server says that it stops, or starts.
restart_held() {
	: >"$tmp/held"
	date +%s >began
	as postgres on-nym-held "$pgbin/pg_ctl" -D "$tmp/pg/data" -l "$tmp/pg/log" -t 200 -w \
		-m smart restart
	status=$?
	rm "$tmp/held"
	date +%s >ended
	return "$status"
}

# transactions_when CONDITION: those that began in a second for which it is true.
transactions_when() {
	cat load.* | awk -v began="$(cat began)" -v ended="$(cat ended)" \
		"{ at = \$5 - \$3 / 1000000 } $1 { n++ } END { print n + 0 }"
}

# Each transaction has a connection of its own, and the first that fails ends a client.
# Each client has a thread: it waits for its connection while others end their sessions.
load_postgres() {
	pg pgbench -h "$at" -C -n -c 4 -j 4 -T 45 -l --log-prefix="$PWD/load" postgres >load 2>&1
}

restarted_under_load() {
	old=$(postmaster)
	before=$(sql 'select count(*) from pgbench_history')
	load_postgres &
	load=$!
	later eval '[ "$(sql "select count(*) from pgbench_history")" -gt "$((before + 8))" ]' &&
		restart_held && kill -0 "$load" && [ "$(postmaster)" != "$old" ]
	status=$?
	wait "$load" || { cat load; return 1; }
	cat load
	for when in 'at + 1 < began' 'at > ended + 1'; do
		echo "transactions, $when: $(transactions_when "$when")"
		[ "$(transactions_when "$when")" -gt 4 ] || return
	done
	grep -q '^number of failed transactions: 0 ' load && ! grep -i abort load &&
		same "$(sql 'select count(*) from pgbench_history')" \
			"$((before + $(cat load.* | wc -l)))" && return "$status"
}

postgres_restart() {
	start_postgres on-nym-held || return
	restarted_under_load
	status=$?
	stop_postgres && later no_name_lingers && [ ! -e "$tmp/held" ] && return "$status"
}

# A service on the bus that reads from a descriptor it is sent.
dbus_service() {
	cat >service.py <<-'END'
		import os
		from gi.repository import Gio, GLib
		xml = '''<node><interface name="t.Reader"><method name="Read">
		<arg type="h" direction="in"/><arg type="s" direction="out"/>
		</method></interface></node>'''

		def call(connection, sender, path, interface, method, args, invocation):
		    fd = invocation.get_message().get_unix_fd_list().get(0)
		    text = os.read(fd, 100).decode()
		    os.close(fd)
		    invocation.return_value(GLib.Variant('(s)', (text,)))

		def on_bus(connection, name):
		    info = Gio.DBusNodeInfo.new_for_xml(xml).interfaces[0]
		    connection.register_object('/t', info, call, None, None)

		Gio.bus_own_name(Gio.BusType.SESSION, 't.Reader', 0, on_bus, None, None)
		GLib.MainLoop().run()
	END
}

bus_call() {
	on-nym gdbus call --session --timeout 60 "$@"
}

dbus_works() {
	export DBUS_SESSION_BUS_ADDRESS="unix:path=$at/bus"
	bus="-d org.freedesktop.DBus -o /org/freedesktop/DBus -m org.freedesktop.DBus"
	dbus_service
	start p/bus on-nym dbus-daemon --session --address="$DBUS_SESSION_BUS_ADDRESS" --nofork ||
		return
	on-nym /usr/bin/python3 service.py &
	servers="$servers $!"
	on-nym gdbus wait --session --timeout 60 t.Reader || return
	echo 'from the file' >file
	# The options are words.
	# shellcheck disable=SC2086
	bus_call ${bus}.ListNames | grep "'t.Reader'" &&
		bus_call ${bus}.GetConnectionCredentials t.Reader | grep "'UnixUserID': <uint32 0>" &&
		same "$(bus_call -d t.Reader -o /t -m t.Reader.Read 0 <file)" "('from the file\n',)"
}

socat_works() {
	chmod 777 "$at"
	start p/echo on-nym socat "UNIX-LISTEN:$at/echo,fork,mode=666" EXEC:cat || return
	head -c 1000000 /dev/urandom >sent
	as nobody on-nym socat -t 60 - "UNIX-CONNECT:$at/echo" <sent >got && cmp sent got || return
	serve_type -u p/dgram on-nym socat -u "UNIX-RECV:$at/dgram" "CREATE:$PWD/datagrams" ||
		nymctl wait -u -t 200 p/dgram || return
	for n in 1 2 3; do
		echo "datagram $n" | on-nym socat -u - "UNIX-SENDTO:$at/dgram" || return
	done
	later holds datagrams 'datagram 1 datagram 2 datagram 3' || return
	start p/abstract nymify -m '@*=p/*' socat ABSTRACT-LISTEN:abstract,fork EXEC:cat || return
	same "$(echo hello | as nobody nymify -m '@*=p/*' socat -t 60 - ABSTRACT-CONNECT:abstract)" hello
}

counted() {
	nymctl stat | awk -v what="$1" '$1 == what { print $2 }'
}

python_works() {
	before=$(counted binds)
	TMPDIR=$PWD timeout -k 5 500 nymify -m "$PWD/*=p/*" -m '@*=abs/*' \
		/usr/bin/python3 -m test -v test_socket \
		-m '*Unix*' -m '*UNIX*' -m '*unix*' -m '*AbstractNamespace*' >out 2>&1
	status=$?
	grep -E '^(FAIL|ERROR|Ran|OK|FAILED)' out
	[ "$status" = 0 ] && grep -q '^Ran [1-9]' out && [ "$(counted binds)" -gt "$before" ]
}

# stress OPTION...
stress() {
	LD_PRELOAD=$here/unix-protocol.so timeout -k 5 200 nymify -p -m "$PWD/*=p/*" -m '/tmp/*=p/*' \
		-m '@*=abs/*' stress-ng --temp-path "$PWD" --verify -t 100 "$@" >out 2>&1 &&
		grep 'successful run completed' out && ! grep -i -E 'fail|skipp' out && return
	cat out
	return 1
}

stress_ng() {
	before=$(counted accepts)
	for how in 'stream --sock-opts send' 'stream --sock-opts sendmsg' seqpacket; do
		# These are words.
		# shellcheck disable=SC2086
		stress --sock 2 --sock-domain unix --sock-ops 40 --sock-type $how || return
	done
	stress --sockfd 1 --sockfd-ops 500 && stress --sockpair 1 --sockpair-ops 500 &&
		stress --epoll 1 --epoll-domain unix --epoll-ops 100 &&
		[ "$(counted accepts)" -gt "$((before + 100))" ]
}

# measure_redis on-nym|on-unix: prints what is measured, and the rate.
measure_redis() {
	"$1" redis-server --port 0 --unixsocket "$at/redis" --save '' --dir . >redis.log &
	pid=$!
	later "$1" redis-cli -s "$at/redis" ping >redis.log 2>&1 &&
		"$1" redis-benchmark -s "$at/redis" -n 5000 -c 10 -t set,get --csv |
		sed -n 's/^"\([GS]ET\)","\([0-9.]*\)".*/redis-benchmark-\1 \2/p'
	"$1" redis-cli -s "$at/redis" shutdown nosave
	wait "$pid"
}

measure_postgres() {
	start_postgres "$1" >&2 && as postgres "$1" pgbench -h "$at" -i -q postgres >&2 &&
		as postgres "$1" pgbench -h "$at" -S -n -c 4 -j 2 -T 4 postgres |
		sed -n 's/^tps = \([0-9.]*\) .*/pgbench-select \1/p'
	stop_postgres >&2
}

# measure: on each in turn; the results are told, not judged, but must be there. A
# second is what the guest takes for one: with qemu/run --count, 10^9 instructions.
measure() {
	for family in on-unix on-nym; do
		{ measure_redis "$family" && measure_postgres "$family"; } >"$tmp/$family.rates" || return
	done
	paste -d ' ' "$tmp/on-nym.rates" "$tmp/on-unix.rates" |
		awk '$1 == $3 && $4 > 0 {
			printf "# %s: nym %.0f/s, AF_UNIX %.0f/s, ratio %.2f\n", $1, $2, $4, $2 / $4
		}' >"$tmp/rates"
	same "$(wc -l <"$tmp/rates")" 3
}

# Other users work here, and their programs are to reach what is in it.
chmod 755 .
mkdir -m 777 "$at"
write_wrappers

if [ "${1:-}" = rates ]; then
	echo "1..2"
	program "postgresql: initdb" make_database
	program "redis and postgresql on both" measure
	[ "$failed" != 0 ] || cat rates
	exit $failed
fi

echo "1..12"
program "redis" redis
program "memcached" memcached_works
program "nginx serves files and calls a backend" nginx_works
program "nginx is replaced while it runs" nginx_upgrade
program "haproxy is reloaded under load and loses no call" haproxy_works
program "postgresql: initdb" make_database
program "postgresql: peer authentication, pgbench, a restart" postgres_works
program "postgresql: a restart under load that fails no transaction" postgres_restart
program "dbus: names, credentials, a descriptor" dbus_works
program "socat: streams, datagrams, abstract names" socat_works
program "python's own tests of AF_UNIX" python_works
program "stress-ng" stress_ng
exit $failed
