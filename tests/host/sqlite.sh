# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions for the scenarios with SQLite, in place of those of lib.sh that ask etcd. A scenario sources this after lib.sh.
DB=$DATA/server/db
SNAPSHOTS=$DB/snapshots

serves_one_of_two() {
	eventually 30 k3s_is_up || fail "K3s is $(unit_state), not running"
	all_keys >"$WORK/keys-now"
	cmp -s "$WORK/keys-now" "$WORK/keys" || cmp -s "$WORK/keys-now" "$WORK/keys-of-snapshot" || fail "K3s serves neither of the two"
}
k3s_is_up() { unit_is active && [ "$(readyz)" = 200 ]; }
put() { k3s kine put "$DB/state.db" "$1" "$2"; }
get() { k3s kine get "$DB/state.db" "$1"; }
all_keys() { k3s kine keys "${1:-$DB/state.db}"; }

# take NAME: saves a snapshot; its path is then in $SNAPSHOT, and its content is noted
take() {
	run 0 k3s-snapshot save --name "$1"
	expect snapshots.0.state verified
	# shellcheck disable=SC2034 # for the scenario
	SNAPSHOT=$SNAPSHOTS/$(field snapshots.0.name)
	note_snapshot
}

make_data() {
	put /registry/configmaps/default/mutable one
	put /registry/configmaps/default/victim flip-me
	put /registry/configmaps/default/before yes
	take base
	put /registry/configmaps/default/mutable two
	put /registry/configmaps/default/after yes
	k3s kine del "$DB/state.db" /registry/configmaps/default/before
}

TREES=(tls cred token agent-token node-token)
old_databases() { for path in "$DB"/sqlite-old-* "$DB"/etcd-old-*; do printf '%s %s\n' "${path##*/}" "$(inode "$path")"; done; }
integrity() { python3 -c 'import sqlite3, sys; print(sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True).execute("PRAGMA integrity_check").fetchone()[0])' "$1"; }

remember() {
	unit_state >"$WORK/state"
	all_keys >"$WORK/keys"
	trees >"$WORK/trees"
	inode "$DB/state.db" >"$WORK/inode"
	old_databases >"$WORK/old"
}

# K3s is as `remember` noted it.
as_before() {
	no_start_block
	case $(cat "$WORK/state") in
	active) eventually 30 k3s_is_up || fail "K3s is $(unit_state), not running again" ;;
	inactive | failed) is_stopped || fail "K3s is $(unit_state), was stopped before" ;;
	esac
	is "the inode of state.db" "$(cat "$WORK/inode")" "$(inode "$DB/state.db")"
	is "the other databases" "$(cat "$WORK/old")" "$(old_databases)"
	trees >"$WORK/trees-now"
	"$HOST/tree" compare "$WORK/trees" "$WORK/trees-now" --mtime-free "${MTIME_FREE[@]}" || fail "the files of K3s are not as before"
	all_keys | diff "$WORK/keys" - || fail "the keys are not as before"
	is "integrity" ok "$(integrity "$DB/state.db")"
}

# K3s serves the snapshot that `take` saved last; the previous database is kept with its log.
is_restored() {
	no_start_block
	eventually 30 k3s_is_up || fail "K3s is $(unit_state), not running"
	all_keys | diff "$WORK/keys-of-snapshot" - || fail "the keys are not those of the snapshot"
	is "integrity" ok "$(integrity "$DB/state.db")"
	"$HOST/tree" print "${BOOTSTRAP_FILES[@]/#/$DATA/server/}" >"$WORK/tree-now"
	"$HOST/tree" compare "$WORK/tree-of-snapshot" "$WORK/tree-now" --mtime-free ALL || fail "the files of K3s are not those of the snapshot"
	local found='' path
	for path in "$DB"/sqlite-old-*/state.db; do
		[ "$(inode "$path")" != "$(cat "$WORK/inode")" ] || found=$path
	done
	[ -n "$found" ] || fail "the previous database is not kept in sqlite-old-*"
	all_keys "$found" | diff "$WORK/keys" - || fail "the previous database lacks what was in its log"
}

failed_database_is_kept() {
	set -- "$DB"/sqlite-failed-*/state.db
	is "the number of failed databases" 1 $#
}
