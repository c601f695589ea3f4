# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions for the scenarios in a booted host: the fake K3s is installed and started, keys are written and read,
# snapshots are taken and corrupt; assertions: K3s is as it was before, or K3s is restored. A scenario sources this first.
#
# Needs the source tree in /opt/k3s-snapshot, the programs in /opt/programs, those of etcd in /opt/etcd, and no other
# user of the host. The first assertion that fails ends the scenario and prints the logs.
set -eEu -o pipefail
shopt -s nullglob

HOST=/opt/k3s-snapshot/tests/host
PATH=/opt/etcd:$PATH
UNIT=k3s                       # the K3s service; a scenario may set another name before it calls `install_all`
DATA=/var/lib/rancher/k3s      # the data directory of K3s, likewise
FAILPOINTS=/var/lib/k3s-failpoints
STATE=/var/lib/k3s-snapshot/restore
WORK=/var/lib/scenario         # files of the scenario; they survive a reboot
mkdir -p "$FAILPOINTS" "$WORK"
unset ETCDCTL_API
export K3S_FAILPOINTS=$FAILPOINTS

# --- output -----------------------------------------------------------------------------------------------------------
step() { printf -- '--- %s\n' "$*"; }

fail() {
	trap - ERR
	printf 'FAILED: %s\n' "$*"
	logs
	# Again at the very end, where a cut output still has it.
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

logs() {
	[ ! -e "$WORK/out" ] || { echo "--- last run" && cat "$WORK/out" "$WORK/err"; }
	echo "--- journal"
	# etcd logs much; its warnings and errors are enough.
	journalctl --no-pager --output short-precise --lines 400 --unit "$UNIT" --unit "k3s-snapshot*" 2>&1 | grep -v -e '"level":"info"' -e 'runtime/' | tail -150
	echo "--- directories"
	ls -la "$DATA/server" "$DATA/server/db" "$DATA/server/db/etcd" "$STATE" "/etc/systemd/system/$UNIT.service.d" 2>&1 || :
}
trap 'fail "line $LINENO of $(basename "$0"): $BASH_COMMAND"' ERR

# is WHAT EXPECTED FOUND
is() { [ "$2" = "$3" ] || fail "$1: expected '$2', found '$3'"; }

# --- K3s --------------------------------------------------------------------------------------------------------------
# The fake K3s and its unit, without our programs.
install_k3s() {
	install -m 0755 "$HOST/fake-k3s" /usr/local/bin/k3s
	install -m 0644 "$HOST/k3s.service" "/etc/systemd/system/$UNIT.service"
	# The root may be a view of a machine that has a K3s of its own.
	rm -rf /etc/rancher
	mkdir -p "/etc/systemd/system/$UNIT.service.d" /etc/rancher/k3s
	# The unit of K3s waits 5 seconds before a restart, and systemd 90 before it kills. That is too long for a test. With
	# 5 seconds between them no number of starts is too many for systemd.
	printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestartSec=300ms\nTimeoutStopSec=4s\nEnvironment=K3S_FAILPOINTS=%s\n' "$FAILPOINTS" \
		>"/etc/systemd/system/$UNIT.service.d/10-test.conf"
	cat >/etc/systemd/system/fake-k3s-recorder.service <<-END
		[Service]
		Type=notify
		Environment=K3S_FAILPOINTS=$FAILPOINTS
		ExecStart=/usr/local/bin/k3s record
		[Install]
		WantedBy=multi-user.target
	END
	systemctl daemon-reload
	systemctl enable --quiet --now fake-k3s-recorder
}

# Everything. Arguments are lines of the configuration of K3s; default: one server with the token `secret`.
install_all() {
	install_k3s
	printf 'K3S_NODE_NAME=server-1\n' >/etc/systemd/system/k3s.service.env
	chmod 0600 /etc/systemd/system/k3s.service.env
	configure "${@:-cluster-init: true}"
	cp --no-dereference /opt/programs/k3s-snapshot{,-save,-list,-verify,-prune,-delete,-restore,-rebuild} /usr/bin/
	for file in /opt/k3s-snapshot/systemd/*.service /opt/k3s-snapshot/systemd/*.timer; do
		install -m 0644 "$file" /usr/lib/systemd/system/
	done
	systemctl daemon-reload
}

# configure LINE...: the configuration file of K3s
configure() { printf '%s\n' 'token: secret' "$@" >/etc/rancher/k3s/config.yaml && chmod 0600 /etc/rancher/k3s/config.yaml; }

start_k3s() { timeout 30 systemctl start "$UNIT" || fail "K3s does not start"; }

stop_k3s() {
	timeout 30 systemctl stop "$UNIT" || fail "K3s does not stop"
	systemctl reset-failed "$UNIT" 2>/dev/null || :
}

# active | inactive | failed | activating | ...
unit_state() { systemctl show --property ActiveState --value "$UNIT"; }
is_stopped() { case $(unit_state) in inactive | failed) ;; *) return 1 ;; esac; }

# eventually SECONDS COMMAND...: until it succeeds
eventually() {
	local end=$(($(date +%s%3N) + $1 * 1000))
	shift
	until "$@"; do
		[ "$(date +%s%3N)" -lt $end ] || return 1
		sleep 0.05
	done
}

unit_is() { [ "$(unit_state)" = "$1" ]; }
k3s_is_up() { unit_is active && ctl get /registry/namespaces/kube-system >/dev/null 2>&1; }

# failpoint NAME WORD...: what the fake K3s does at that point; see there
failpoint() { printf '%s\n' "${*:2}" >"$FAILPOINTS/$1"; }
# hangs NAME: waits until the fake K3s hangs at that point
hangs() { eventually 20 grep -qs "$1" "$FAILPOINTS/hangs" || fail "K3s does not reach $1"; }
clear_failpoints() { for file in "$FAILPOINTS"/*; do case ${file##*/} in calls | restored) ;; *) rm "$file" ;; esac; done; }

# readyz [anonymous]: the status of the API server for the administrator, or without a certificate: 200, 500, 401, or none
readyz() {
	local tls=$DATA/server/tls
	local known=(-cert "$tls/client-admin.crt" -key "$tls/client-admin.key")
	[ "${1:-}" != anonymous ] || known=()
	printf 'GET /readyz HTTP/1.0\r\n\r\n' | timeout 5 openssl s_client -quiet -verify_quiet -connect 127.0.0.1:6443 \
		-CAfile "$tls/server-ca.crt" "${known[@]}" 2>/dev/null |
		sed -n '1s/^HTTP[^ ]* \([0-9]*\).*/\1/p' || :
}

# --- keys and snapshots -----------------------------------------------------------------------------------------------
ctl() {
	local tls=$DATA/server/tls/etcd
	ETCDCTL_API=3 etcdctl --endpoints https://127.0.0.1:2379 --cacert "$tls/server-ca.crt" --cert "$tls/client.crt" \
		--key "$tls/client.key" "$@"
}

put() { ctl put "$1" "$2" >/dev/null; }
get() { ctl get --print-value-only "$1"; }

# The files that K3s also keeps in etcd. A reset signs other certificates again.
BOOTSTRAP_FILES=(tls/{client,server,request-header}-ca.{crt,key} tls/etcd/{peer,server}-ca.{crt,key} tls/service.key
	cred/{passwd,encryption-config.json,ipsec.psk})

# All keys with the revision that wrote them and their values, but for the one that K3s writes at each start, and the marks of
# raised revisions.
all_keys() {
	ctl get --write-out json --from-key '' | python3 -c '
import base64, hashlib, json, sys
for kv in json.load(sys.stdin).get("kvs", []):
    key = base64.b64decode(kv["key"]).decode()
    if key != "k3s/apiaddresses" and not key.startswith("k3s-snapshot/revision-raised/"):
        print(key, kv["mod_revision"], hashlib.sha256(kv.get("value", "").encode()).hexdigest())'
}

# note_snapshot: what a snapshot that is taken now holds, for `is_restored`
note_snapshot() {
	all_keys >"$WORK/keys-of-snapshot"
	"$HOST/tree" print "${BOOTSTRAP_FILES[@]/#/$DATA/server/}" >"$WORK/tree-of-snapshot"
}

# take NAME [OPTION...]: K3s takes a snapshot; its path is then in $SNAPSHOT, and its content is noted
take() {
	k3s etcd-snapshot save --data-dir "$DATA" --node-name server-1 --name "$@" >/dev/null 2>&1
	# shellcheck disable=SC2012,SC2034 # our own names; for the scenario
	SNAPSHOT=$(ls -t "$DATA/server/db/snapshots/$1"-* | head -1)
	note_snapshot
}

# Example data, and a snapshot of an earlier state of it: the key `mutable` is `one` in the snapshot and `two` now.
make_data() {
	put /registry/configmaps/default/mutable one
	put /registry/configmaps/default/victim flip-me
	put /registry/configmaps/default/before yes
	take base "$@"
	put /registry/configmaps/default/mutable two
	put /registry/configmaps/default/after yes
	ctl del /registry/configmaps/default/before >/dev/null
}

# The state that `fresh` returns to: that of now, with K3s stopped.
keep_state() {
	stop_k3s
	rm -rf "$WORK/kept"
	mkdir -p "$WORK/kept"
	cp -a --sparse=always "$DATA" "$WORK/kept/data"
	cp -a /etc/rancher "$WORK/kept/rancher"
	cp -a "$WORK"/*-of-snapshot "$WORK/kept"
}

# fresh [down]: the state that `keep_state` kept, K3s running (or stopped), no trace of earlier runs; noted for `as_before`
fresh() {
	clear_failpoints
	stop_k3s
	rm -rf "${DATA:?}" /etc/rancher /var/lib/k3s-snapshot
	cp -a --sparse=always "$WORK/kept/data" "$DATA"
	cp -a "$WORK/kept/rancher" /etc/rancher
	cp -a "$WORK/kept"/*-of-snapshot "$WORK"
	if [ "${1:-}" != down ]; then start_k3s; fi
	remember
	note_starts
}

# damage HOW FILE: a corrupt copy of a snapshot in the same directory, its path in $CORRUPT
damage() {
	local size
	size=$(stat -c %s "$2")
	CORRUPT=${2%/*}/$1-server-1-$(date +%s)
	cp "$2" "$CORRUPT"
	case $1 in
	cut) truncate -s $((size / 2)) "$CORRUPT" ;;
	cut-by-one) truncate -s -1 "$CORRUPT" ;;
	cut-at-page) truncate -s $((size / 8192 * 4096)) "$CORRUPT" ;;
	no-trailer) truncate -s -32 "$CORRUPT" ;;
	flip) # in a value that no program reads
		flip "$CORRUPT" "$(grep -abom1 'flip-me' "$CORRUPT" | head -1 | cut -d: -f1)" ;;
	flip-in-trailer) flip "$CORRUPT" $((size - 5)) ;;
	flip-with-trailer) # in two page headers, with a new checksum over it: the checksum cannot find that
		printf '\377\377\377\377' | dd of="$CORRUPT" bs=1 seek=$((2 * 4096 + 8)) conv=notrunc status=none
		printf '\377\377\377\377' | dd of="$CORRUPT" bs=1 seek=$((3 * 4096 + 8)) conv=notrunc status=none
		truncate -s -32 "$CORRUPT"
		openssl dgst -sha256 -binary "$CORRUPT" >"$WORK/sum"
		cat "$WORK/sum" >>"$CORRUPT"
		;;
	empty) : >"$CORRUPT" ;;
	text) printf 'hello, world' >"$CORRUPT" ;;
	*) fail "no damage '$1'" ;;
	esac
}

# flip FILE OFFSET: the lowest bit of that byte
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059 # an octal escape is what is wanted
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- assertions about K3s -----------------------------------------------------------------------------------------------
TREES=(tls cred token agent-token node-token db/reset-flag db/etcd/name)
# K3s writes these two at each start.
MTIME_FREE=("$DATA/server/cred/admin.kubeconfig" /etc/rancher/k3s/k3s.yaml)

trees() {
	local paths=()
	for name in "${TREES[@]}"; do paths+=("$DATA/server/$name"); done
	"$HOST/tree" print "${paths[@]}" /etc/rancher "/etc/systemd/system/$UNIT".service*
}

inode() { stat -c %i "$1"; } # the device may have another number after a boot
old_databases() { for path in "$DATA/server/db"/etcd-old-*; do printf '%s %s\n' "${path##*/}" "$(inode "$path")"; done; }

# Notes the state of K3s, for `as_before`.
remember() {
	unit_state >"$WORK/state"
	rm -f "$WORK/keys"
	if unit_is active; then all_keys >"$WORK/keys"; fi
	trees >"$WORK/trees"
	inode "$DATA/server/db/etcd" >"$WORK/inode"
	old_databases >"$WORK/old"
}

# K3s may start, no drop-in is left, no restore is in progress.
no_start_block() {
	[ ! -e "$STATE/start-blocked" ] || fail "the start of K3s is blocked"
	[ ! -e "/etc/systemd/system/$UNIT.service.d/60-k3s-snapshot-restore.conf" ] || fail "the drop-in of the start block is left"
	[ ! -e "$STATE/state.json" ] || fail "a state file is left: $(cat "$STATE/state.json")"
	is "NeedDaemonReload" no "$(systemctl show --property NeedDaemonReload --value "$UNIT")"
}

# try_to_start: starts K3s without the unit that recovers the files first; fails if the start is refused
try_to_start() {
	local started=0
	systemctl mask --quiet --runtime k3s-snapshot-recover.service
	timeout 20 systemctl start "$UNIT" 2>"$WORK/err" || started=1
	systemctl unmask --quiet --runtime k3s-snapshot-recover.service
	return $started
}

# The start of K3s is blocked.
start_is_blocked() {
	try_to_start && fail "K3s was started, but its start is blocked"
	is_stopped || fail "K3s is $(unit_state), but its start is blocked"
}

# K3s serves what it served before, or the snapshot.
serves_one_of_two() {
	all_keys >"$WORK/keys-now"
	cmp -s "$WORK/keys-now" "$WORK/keys" || cmp -s "$WORK/keys-now" "$WORK/keys-of-snapshot" || fail "K3s serves neither of the two"
}

# K3s is as `remember` noted it: state, database, every key, certificates, token, configuration, each byte and mtime.
as_before() {
	no_start_block
	local expected
	expected=$(cat "$WORK/state")
	case $expected in
	active) eventually 30 k3s_is_up || fail "K3s is $(unit_state), not running again" ;;
	inactive | failed) is_stopped || fail "K3s is $(unit_state), was stopped before" ;;
	esac
	is "the inode of db/etcd" "$(cat "$WORK/inode")" "$(inode "$DATA/server/db/etcd")"
	is "the other databases" "$(cat "$WORK/old")" "$(old_databases)"
	trees >"$WORK/trees-now"
	local free=()
	[ "$expected" != active ] || free=("${MTIME_FREE[@]}")
	"$HOST/tree" compare "$WORK/trees" "$WORK/trees-now" --mtime-free "${free[@]}" || fail "the files of K3s are not as before"
	if [ -e "$WORK/keys" ]; then
		all_keys | diff "$WORK/keys" - || fail "the keys are not as before"
	fi
}

# K3s serves the snapshot that `take` took last; the previous database is kept.
is_restored() {
	no_start_block
	eventually 30 k3s_is_up || fail "K3s is $(unit_state), not running"
	all_keys | diff "$WORK/keys-of-snapshot" - || fail "the keys are not those of the snapshot"
	"$HOST/tree" print "${BOOTSTRAP_FILES[@]/#/$DATA/server/}" >"$WORK/tree-now"
	"$HOST/tree" compare "$WORK/tree-of-snapshot" "$WORK/tree-now" --mtime-free ALL || fail "the files of K3s are not those of the snapshot"
	is "the members" 1 "$(ctl member list | wc -l)"
	local found='' path
	for path in "$DATA/server/db"/etcd-old-*; do
		[ "$(inode "$path")" != "$(cat "$WORK/inode")" ] || found=$path
	done
	[ -n "$found" ] || fail "the previous database is not kept as an etcd-old-*"
}

# The new database of a restore that was rolled back is kept.
failed_database_is_kept() {
	set -- "$DATA/server/db"/etcd-failed-*
	is "the number of failed databases" 1 $#
}

# Nothing was touched: `as_before`, and K3s was not restarted.
untouched() {
	as_before
	is "starts of K3s" "$(cat "$WORK/starts")" "$(starts)"
}

# No process, mount or file of a K3s that ran aside is left.
nothing_runs_aside() {
	is "scopes" '' "$(systemctl list-units --plain --no-legend 'k3s-snapshot-aside-*')"
	[ ! -e "$DATA/server/db/.k3s-snapshot-restore" ] || fail "the scratch directory is left"
	if grep -qs k3s-snapshot-restore /proc/*/mountinfo; then fail "a mount of the scratch directory is left"; fi
}

starts() { grep -c '"args": \["server".*"aside": false' "$FAILPOINTS/calls" || :; }
note_starts() { starts >"$WORK/starts"; }

# --- our programs -------------------------------------------------------------------------------------------------------
# run CODE COMMAND...: expects the exit code; stdout and stderr are then in $WORK/out and $WORK/err. `k3s-snapshot COMMAND`
# gives its report as JSON, unless --report is among the arguments.
run() {
	local expected=$1 code=0 words=() previous='' word
	shift
	for word in "$@"; do
		words+=("$word")
		[ "$previous" != k3s-snapshot ] || case " $* " in *' --report '* | *' --show-config '* | *' --version '*) ;; *) words+=(--report json) ;; esac
		previous=${word##*/}
	done
	step "$*"
	timeout "${RUN_TIMEOUT:-90}" "${words[@]}" >"$WORK/out" 2>"$WORK/err" || code=$?
	[ "$code" = "$expected" ] || fail "exit code $code, expected $expected: $*"
}

# field PATH: of the report of the last run, see `report`
field() { "$HOST/report" "$WORK/out" "$1"; }
# expect PATH VALUE
expect() { is "$1" "$2" "$(field "$1")"; }
# expect_one PATH VALUE: one of the values
expect_one() { grep -qxF -- "$2" <<<"$(field "$1")" || fail "no '$2' in $1: $(field "$1")"; }
# expect_error CODE
expect_error() { expect error.code "$1"; }
# expect_warning CODE
expect_warning() { expect_one 'warnings.*.code' "$1"; }
# expect_stderr TEXT...: for names, numbers and options that no field has
expect_stderr() {
	local text
	for text in "$@"; do grep -qF -- "$text" "$WORK/err" || fail "no '$text' on stderr"; done
}
# expect_stdout TEXT...
expect_stdout() {
	local text
	for text in "$@"; do grep -qF -- "$text" "$WORK/out" || fail "no '$text' on stdout"; done
}
# expect_error_says TEXT...: in the message or the hint of the error
expect_error_says() {
	local text error
	error="$(field error.message) $(field error.hint)"
	for text in "$@"; do
		case $error in *"$text"*) ;; *) fail "no '$text' in the error: $error" ;; esac
	done
}
