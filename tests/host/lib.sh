# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scenarios in a booted host share: K3s's stand-in put in place and started, keys written and read, snapshots
# taken and damaged, and the judgement: K3s is as it was before, or K3s is restored. A scenario sources it first.
#
# It wants the source tree in /opt/k3s-snapshot, our programs in /opt/programs, etcd's in /opt/etcd, and is the only user
# of the host. The first promise that is broken ends the scenario, with the logs.
set -eEu -o pipefail
shopt -s nullglob

HOST=/opt/k3s-snapshot/tests/host
PATH=/opt/etcd:$PATH
UNIT=k3s                       # K3s's unit; a scenario may name it otherwise before it calls `install`
DATA=/var/lib/rancher/k3s      # K3s's data-dir, likewise
FAILPOINTS=/var/lib/k3s-failpoints
STATE=/var/lib/k3s-snapshot/restore
WORK=/var/lib/scenario         # what the scenario remembers; outlives a reboot
mkdir -p "$FAILPOINTS" "$WORK"
unset ETCDCTL_API
export K3S_FAILPOINTS=$FAILPOINTS

# --- telling ----------------------------------------------------------------------------------------------------------
step() { printf -- '--- %s\n' "$*"; }

fail() {
	trap - ERR
	printf 'FAILED: %s\n' "$*"
	logs
	exit 1
}

logs() {
	[ ! -e "$WORK/out" ] || { echo "--- last run" && cat "$WORK/out" "$WORK/err"; }
	echo "--- journal"
	# etcd says much; its warnings and errors are enough.
	journalctl --no-pager --output short-precise --lines 400 --unit "$UNIT" --unit "k3s-snapshot*" 2>&1 | grep -v -e '"level":"info"' -e 'runtime/' | tail -150
	echo "--- folders"
	ls -la "$DATA/server" "$DATA/server/db" "$DATA/server/db/etcd" "$STATE" "/etc/systemd/system/$UNIT.service.d" 2>&1 || :
}
trap 'fail "line $LINENO of $(basename "$0"): $BASH_COMMAND"' ERR

# is WHAT WANTED FOUND
is() { [ "$2" = "$3" ] || fail "$1: wanted '$2', found '$3'"; }

# --- K3s --------------------------------------------------------------------------------------------------------------
# Puts everything in place. Words of K3s's configuration as arguments, default: one server with the token `secret`.
install_all() {
	install -m 0755 "$HOST/fake-k3s" /usr/local/bin/k3s
	install -m 0644 "$HOST/k3s.service" "/etc/systemd/system/$UNIT.service"
	mkdir -p "/etc/systemd/system/$UNIT.service.d" /etc/rancher/k3s
	# K3s waits five seconds before it starts again, and 90 until it is killed at a stop; a test does not want to.
	printf '[Service]\nRestartSec=300ms\nTimeoutStopSec=4s\nEnvironment=K3S_FAILPOINTS=%s\n' "$FAILPOINTS" \
		>"/etc/systemd/system/$UNIT.service.d/10-test.conf"
	printf 'K3S_NODE_NAME=server-1\n' >/etc/systemd/system/k3s.service.env
	chmod 0600 /etc/systemd/system/k3s.service.env
	configure "${@:-cluster-init: true}"
	cp --no-dereference /opt/programs/k3s-snapshot{,-save,-list,-verify,-prune,-delete,-restore,-generator} /usr/bin/
	for file in /opt/k3s-snapshot/systemd/*.service /opt/k3s-snapshot/systemd/*.timer; do
		install -m 0644 "$file" /usr/lib/systemd/system/
	done
	systemctl daemon-reload
}

# configure LINE...: K3s's configuration file
configure() { printf '%s\n' 'token: secret' "$@" >/etc/rancher/k3s/config.yaml && chmod 0600 /etc/rancher/k3s/config.yaml; }

start_k3s() { timeout 30 systemctl start "$UNIT" || fail "K3s does not start"; }

stop_k3s() {
	timeout 30 systemctl stop "$UNIT" || fail "K3s does not stop"
	systemctl reset-failed "$UNIT" 2>/dev/null || :
}

# active | inactive | failed | activating | ...
unit_state() { systemctl show --property ActiveState --value "$UNIT"; }

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

failpoint() { printf '%s\n' "${*:2}" >"$FAILPOINTS/$1"; }
hangs() { eventually 20 grep -qs "$1" "$FAILPOINTS/hangs" || fail "it does not come to $1"; }
clear_failpoints() { for file in "$FAILPOINTS"/*; do case ${file##*/} in calls | restored) ;; *) rm "$file" ;; esac; done; }

# readyz [anonymous]: the API server's answer to the administrator, or to anybody: 200, 500, 401, or nothing
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

# What K3s keeps of its files in etcd, more or less.
BOOTSTRAPPED=(tls cred/passwd cred/encryption-config.json cred/ipsec.psk)

# All keys with the revision that wrote them and their values, but for the one that K3s writes at each start.
all_keys() {
	ctl get --write-out json --from-key '' | python3 -c '
import base64, hashlib, json, sys
for kv in json.load(sys.stdin).get("kvs", []):
    key = base64.b64decode(kv["key"]).decode()
    if key != "k3s/apiaddresses":
        print(key, kv["mod_revision"], hashlib.sha256(kv.get("value", "").encode()).hexdigest())'
}

# take NAME [option...]: a snapshot as K3s takes it; its path is then in $SNAPSHOT, what it holds is remembered
take() {
	k3s etcd-snapshot save --data-dir "$DATA" --node-name server-1 --name "$@" >/dev/null
	# shellcheck disable=SC2012,SC2034 # our own names; for the scenario
	SNAPSHOT=$(ls -t "$DATA/server/db/snapshots/$1"-* | head -1)
	all_keys >"$WORK/keys-of-snapshot"
	"$HOST/tree" print "${BOOTSTRAPPED[@]/#/$DATA/server/}" >"$WORK/tree-of-snapshot"
}

# A live world and a snapshot of an earlier state of it: `old` in the snapshot, `new` now.
world() {
	put /registry/configmaps/default/mutable one
	put /registry/configmaps/default/victim flip-me
	put /registry/configmaps/default/before yes
	take base "$@"
	put /registry/configmaps/default/mutable two
	put /registry/configmaps/default/after yes
	ctl del /registry/configmaps/default/before >/dev/null
}

# What `fresh` goes back to: this world, at rest.
keep_world() {
	stop_k3s
	rm -rf "$WORK/kept"
	mkdir -p "$WORK/kept"
	cp -a --sparse=always "$DATA" "$WORK/kept/data"
	cp -a /etc/rancher "$WORK/kept/rancher"
	cp -a "$WORK"/*-of-snapshot "$WORK/kept"
}

# fresh [down]: the world that `keep_world` kept, K3s up (or down), no trace of earlier runs; remembered for `as_before`
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

# damage HOW FILE: a damaged copy of a snapshot beside it, its path in $DAMAGED
damage() {
	local size
	size=$(stat -c %s "$2")
	DAMAGED=${2%/*}/$1-server-1-$(date +%s)
	cp "$2" "$DAMAGED"
	case $1 in
	cut) truncate -s $((size / 2)) "$DAMAGED" ;;
	cut-by-one) truncate -s -1 "$DAMAGED" ;;
	cut-at-page) truncate -s $((size / 8192 * 4096)) "$DAMAGED" ;;
	no-trailer) truncate -s -32 "$DAMAGED" ;;
	flip) # in a value that nobody reads
		flip "$DAMAGED" "$(grep -abom1 'flip-me' "$DAMAGED" | head -1 | cut -d: -f1)" ;;
	flip-in-trailer) flip "$DAMAGED" $((size - 5)) ;;
	flip-sealed) # in a meta page's sequel and sealed again: the checksum cannot tell
		printf '\377\377\377\377' | dd of="$DAMAGED" bs=1 seek=$((2 * 4096 + 8)) conv=notrunc status=none
		printf '\377\377\377\377' | dd of="$DAMAGED" bs=1 seek=$((3 * 4096 + 8)) conv=notrunc status=none
		truncate -s -32 "$DAMAGED"
		openssl dgst -sha256 -binary "$DAMAGED" >"$WORK/sum"
		cat "$WORK/sum" >>"$DAMAGED"
		;;
	empty) : >"$DAMAGED" ;;
	text) printf 'hello, world' >"$DAMAGED" ;;
	*) fail "no damage '$1'" ;;
	esac
}

flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1" | tr -d ' ')
	# shellcheck disable=SC2059 # an octal escape is what is wanted
	printf "\\$(printf %o $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# --- the judgement ----------------------------------------------------------------------------------------------------
TREES=(tls cred token agent-token node-token db/reset-flag db/etcd/name)
# K3s writes these two anew at each start.
MTIME_FREE=("$DATA/server/cred/admin.kubeconfig" /etc/rancher/k3s/k3s.yaml)

trees() {
	local paths=()
	for name in "${TREES[@]}"; do paths+=("$DATA/server/$name"); done
	"$HOST/tree" print "${paths[@]}" /etc/rancher "/etc/systemd/system/$UNIT".service*
}

inode() { stat -c %i "$1"; } # the device may have another number after a boot
old_databases() { for path in "$DATA/server/db"/etcd-old-*; do printf '%s %s\n' "${path##*/}" "$(inode "$path")"; done; }

# Notes how K3s is, for `as_before`. Call it with K3s in the state that counts.
remember() {
	unit_state >"$WORK/state"
	rm -f "$WORK/keys"
	if unit_is active; then all_keys >"$WORK/keys"; fi
	trees >"$WORK/trees"
	inode "$DATA/server/db/etcd" >"$WORK/inode"
	old_databases >"$WORK/old"
}

# The gate is open, no drop-in is left, nothing goes on.
no_gate() {
	[ ! -e "$STATE/gate" ] || fail "the gate is closed"
	[ ! -e "/etc/systemd/system/$UNIT.service.d/90-k3s-snapshot-restore.conf" ] || fail "the gate's drop-in is left"
	[ ! -e "$STATE/progress.json" ] || fail "progress is left: $(cat "$STATE/progress.json")"
	is "need of a daemon-reload" no "$(systemctl show --property NeedDaemonReload --value "$UNIT")"
}

# try_to_start: somebody starts K3s, without the unit that would first bring the disk to a good state; is it let?
try_to_start() {
	local let=0
	systemctl mask --quiet --runtime k3s-snapshot-recover.service
	timeout 20 systemctl start "$UNIT" 2>"$WORK/err" || let=1
	systemctl unmask --quiet --runtime k3s-snapshot-recover.service
	return $let
}

# The gate is closed.
barred() {
	try_to_start && fail "K3s was started while the gate was closed"
	case $(unit_state) in inactive | failed) ;; *) fail "K3s is $(unit_state) while the gate is closed" ;; esac
}

# What K3s serves now is what it served before, or the snapshot.
serves_one_of_two() {
	all_keys >"$WORK/keys-now"
	cmp -s "$WORK/keys-now" "$WORK/keys" || cmp -s "$WORK/keys-now" "$WORK/keys-of-snapshot" || fail "K3s serves neither of the two"
}

# K3s is what `remember` saw: state, database, every key, certificates, token, configuration, to the byte and the mtime.
as_before() {
	no_gate
	local wanted
	wanted=$(cat "$WORK/state")
	case $wanted in
	active) eventually 30 k3s_is_up || fail "K3s is $(unit_state), not up again" ;;
	# failed is what a stopped K3s is to systemd: it exits with 1.
	inactive | failed) case $(unit_state) in inactive | failed) ;; *) fail "K3s is $(unit_state), was down before" ;; esac ;;
	esac
	is "the identity of db/etcd" "$(cat "$WORK/inode")" "$(inode "$DATA/server/db/etcd")"
	is "the other databases" "$(cat "$WORK/old")" "$(old_databases)"
	trees >"$WORK/trees-now"
	local free=()
	[ "$wanted" != active ] || free=("${MTIME_FREE[@]}")
	"$HOST/tree" compare "$WORK/trees" "$WORK/trees-now" --mtime-free "${free[@]}" || fail "K3s's files are not as before"
	if [ -e "$WORK/keys" ]; then
		all_keys | diff "$WORK/keys" - || fail "the keys are not as before"
	fi
}

# K3s is up with the data of the snapshot that `take` took last; the database before lies where K3s put it.
is_restored() {
	no_gate
	eventually 30 k3s_is_up || fail "K3s is $(unit_state), not up"
	all_keys | diff "$WORK/keys-of-snapshot" - || fail "the keys are not the snapshot's"
	"$HOST/tree" print "${BOOTSTRAPPED[@]/#/$DATA/server/}" >"$WORK/tree-now"
	"$HOST/tree" compare "$WORK/tree-of-snapshot" "$WORK/tree-now" --mtime-free ALL || fail "K3s's files are not the snapshot's"
	is "the members" 1 "$(ctl member list | wc -l)"
	local found='' path
	for path in "$DATA/server/db"/etcd-old-*; do
		[ "$(inode "$path")" != "$(cat "$WORK/inode")" ] || found=$path
	done
	[ -n "$found" ] || fail "the database before is not kept as an etcd-old-*"
	[ ! -e "$DATA/server/db/reset-flag" ] || fail "reset-flag is left"
}

# What K3s had made of the snapshot is kept beside the database.
evidence_is_kept() {
	set -- "$DATA/server/db"/etcd-failed-*
	is "the number of failed databases" 1 $#
}

# Nothing was touched: `as_before`, and K3s did not even notice.
untouched() {
	as_before
	is "K3s's starts" "$(cat "$WORK/starts")" "$(starts)"
}

starts() { grep -c '"args": \["server"' "$FAILPOINTS/calls" || :; }
note_starts() { starts >"$WORK/starts"; }

# --- running our programs ---------------------------------------------------------------------------------------------
# run CODE COMMAND...: insists on the exit code; what it said is in $WORK/out and $WORK/err
run() {
	local wanted=$1 code=0
	shift
	step "$*"
	timeout 90 "$@" >"$WORK/out" 2>"$WORK/err" || code=$?
	[ "$code" = "$wanted" ] || fail "exit code $code, wanted $wanted: $*"
}

# said TEXT...: on stdout or stderr of the last run
said() {
	local text
	for text in "$@"; do
		grep -qF -- "$text" "$WORK/out" "$WORK/err" || fail "the last run does not say '$text'"
	done
}
