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

# apt's options for packages of another suite than this machine's: apt_suite
# sets them.
apt_options=()

# apt_quiet ARGS...: run apt-get with only its errors shown. apt's sandbox user
# cannot write to our cache, hence the user option.
apt_quiet() {
	DEBIAN_FRONTEND=noninteractive apt-get -qq -o APT::Sandbox::User=root \
		"${apt_options[@]}" "$@"
}

# apt_ask ARGS...: what apt knows of packages.
apt_ask() {
	apt-cache "${apt_options[@]}" "$@" 2>/dev/null
}

# What signs Debian's packages.
debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_mirror: where this machine gets its Debian from. apt tells only once it
# has fetched its lists.
debian_mirror() {
	# These are for apt to expand.
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Identifier: Packages' |
		awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }'
}

# apt_suite SUITE: from here on, apt_quiet, apt_ask and fetch know what is in
# this suite of Debian, and only that. This machine's apt is left as it is. Lists
# are fetched once a day.
apt_suite() {
	local dir=$NYM_CACHE/apt/$1 mirror

	[ -n "$(debian_mirror)" ] || apt_quiet update || :
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || { say "apt knows no mirror of Debian"; return 1; }
	mkdir -p "$dir/lists/partial" "$dir/archives/partial"
	echo "deb [signed-by=$debian_keyring] $mirror $1 main" >"$dir/sources.list"
	apt_options=(-o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
		-o Dir::State="$dir" -o Dir::Cache="$dir")
	[ -z "$(find "$dir/updated" -mtime -1 2>/dev/null)" ] || return 0
	! apt_quiet -o APT::Update::Error-Mode=any update || touch "$dir/updated"
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
