#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Fail unless every page given (.md, .7) contains every C file given, unchanged.
set -eu

sources=() pages=()
for file; do
	case $file in
	*.c) sources+=("$file") ;;
	*) pages+=("$file") ;;
	esac
done

for page in "${pages[@]}"; do
	text=$(<"$page")
	if [[ $page == *.[0-9] ]]; then	# undo what groff needs escaped
		text=$(sed 's/\\-/-/g; s/\\e/\\/g' "$page")
	fi
	for source in "${sources[@]}"; do
		if [[ $text != *"$(<"$source")"* ]]; then
			echo "$page: does not contain $source as it is" >&2
			exit 1
		fi
	done
done
