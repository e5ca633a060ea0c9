# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the scripts in this directory share: messages, the cache, apt downloads.

# Where everything downloaded or derived is kept, outside the checkout, so that
# "make clean" and a fresh clone cost no download.
NYM_CACHE=${NYM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nym}

say() {
	printf '%s\n' "$*" >&2
}

# die MESSAGE: end the script; DIE_STATUS is its exit status, if not 1.
die() {
	say "${0##*/}: $*"
	exit "${DIE_STATUS:-1}"
}

# usage: print the calling script's own leading comment as its help text.
usage() {
	awk 'NR < 3 { next } !/^#/ { exit } { sub(/^# ?/, ""); print }' "$0"
}

# apt_quiet ARGS...: run apt-get with only its errors shown. apt's sandbox user
# cannot write to our cache, hence the user option.
apt_quiet() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root "$@"
}

# fetch PACKAGE...: download packages into the current directory without
# installing them. A package list that is missing or out of date is refreshed
# once.
fetch() {
	say "Downloading $*"
	apt_quiet download "$@" 2>/dev/null && return
	apt_quiet update && apt_quiet download "$@"
}

# lock NAME: one process at a time may fill a part of the cache.
lock() {
	mkdir -p "$NYM_CACHE"
	exec 9>"$NYM_CACHE/$1.lock"
	flock 9
}
