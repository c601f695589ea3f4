# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Power cuts during a command, at its calls that change a file. The calls of all threads are counted by the library of
# tests/it/support/calls.c. A scenario sources this after lib.sh and runs once for each boot: the first time it calls
# `trace_calls`, later it looks at what is on the disk; then it calls `cut_the_next` each time.

export FAULTS_BELOW=$DATA:/var/lib/k3s-snapshot FAULTS_LOG=/run/calls

# one_more FILE: counts
one_more() { echo $(($(cat "$WORK/$1") + 1)) >"$WORK/$1"; }

# counted [VARIABLE=VALUE...] COMMAND...: its calls are counted; its exit code is in $code
counted() {
	rm -f "$FAULTS_LOG"
	code=0
	env LD_PRELOAD=/opt/calls/calls.so "$@" >"$WORK/out" 2>"$WORK/err" || code=$?
}

is_first_boot() { [ ! -e "$WORK/at" ]; }

# trace_calls COMMAND...: without a fault; its calls are noted
trace_calls() {
	counted "$@"
	is "the exit code without a fault" 0 $code
	grep -E '^[0-9]+ (create|write|fsync|truncate|link|rename|unlink|mkdir|chmod) ' "$FAULTS_LOG" | sort -n >"$WORK/calls"
	[ "$(wc -l <"$WORK/calls")" -gt 10 ] || fail "it has $(wc -l <"$WORK/calls") calls"
	for name in at cut kept lost missed; do echo 0 >"$WORK/$name"; done
}

# The call at which the power was cut before this boot; empty: the command had succeeded.
cut_call() { sed -n "$(cat "$WORK/at")p" "$WORK/calls"; }

# cut_the_next SHARE COMMAND...: cuts the power at the next SHARE-th call; returns when it was cut at all of them, and after the
# end of the command. Before each, everything is on the disk. `after_a_miss` is called if the command did not come to that call.
cut_the_next() {
	local share=$1 calls last at
	shift
	mapfile -t calls <"$WORK/calls"
	last=$((${#calls[@]} + 1)) # after the end of the command
	at=$(cat "$WORK/at")
	while [ "$at" -lt $last ]; do
		at=$((at + share < last ? at + share : last))
		echo $at >"$WORK/at"
		one_more cut
		sync
		if [ $at = $last ]; then
			counted "$@"
			is "the exit code without a fault" 0 $code
			code=137
		else
			counted FAULTS_AT="${calls[at - 1]%% *}" FAULTS_DO=kill "$@"
		fi
		if [ $code = 137 ]; then
			systemctl poweroff --force --force
			sleep 60 # until the host has ended
		fi
		one_more missed
		after_a_miss
	done
}

# figures COMMAND KEPT LOST: the line of figures; the last two say what `one_more kept` and `one_more lost` have counted
figures() {
	echo "$1: cut $(($(cat "$WORK/cut") - $(cat "$WORK/missed"))) times at $(wc -l <"$WORK/calls") calls and at its end ($(cat "$WORK/missed") missed): $2 $(cat "$WORK/kept"), $3 $(cat "$WORK/lost")"
}
