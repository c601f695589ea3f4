# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions for the scenarios with a real K3s, in addition to those of tests/host/lib.sh. A scenario sources this first.
# Objects are read and written through the API server, with `k3s kubectl`.
# shellcheck source=tests/host/lib.sh
. /opt/k3s-snapshot/tests/host/lib.sh
export KUBECONFIG=/etc/rancher/k3s/k3s.yaml
# shellcheck disable=SC2034 # used by `run` and by the scenarios
RUN_TIMEOUT=600
# shellcheck disable=SC2034 # used by the scenarios
SNAPSHOTS=$DATA/server/db/snapshots

k3s_is_ready() { [ "$(k3s kubectl get --raw /readyz 2>/dev/null)" = ok ] && k3s kubectl get namespace default >/dev/null 2>&1; }
start_k3s() {
	timeout 300 systemctl start k3s || fail "K3s does not start"
	eventually 120 k3s_is_ready || fail "K3s is not ready"
}
# set_value NAME VALUE: of a ConfigMap, which is created if it does not exist
set_value() { k3s kubectl create configmap "$1" --from-literal=value="$2" --dry-run=client --output yaml | k3s kubectl apply --filename - >/dev/null; }
# value NAME: empty if there is no such ConfigMap
value() { k3s kubectl get configmap "$1" --ignore-not-found --output 'jsonpath={.data.value}'; }
members() { ctl member list | wc -l; }

# Programs and units of this tree.
cp --no-dereference /opt/programs/k3s-snapshot{,-save,-list,-verify,-prune,-delete,-restore} /usr/bin/
install -m 0644 /opt/k3s-snapshot/systemd/*.service /opt/k3s-snapshot/systemd/*.timer /usr/lib/systemd/system/
systemctl daemon-reload

# make_data: a snapshot that holds `mutable` = one; now it is two, and there is `later`. The name is in $NAME.
make_data() {
	set_value mutable one
	run 0 k3s-snapshot save --name base
	expect snapshots.0.state verified
	expect snapshots.0.freshness.state current
	expect snapshots.0.token_matches true
	# shellcheck disable=SC2034 # for the scenario
	NAME=$(field snapshots.0.name)
	set_value mutable two
	set_value later yes
}
# serves_live, serves_snapshot: K3s is ready and serves the data before a restore, or that of the snapshot
serves_live() {
	no_start_block
	eventually 120 k3s_is_ready || fail "K3s is not ready"
	is "the value" two "$(value mutable)"
	is "the later object" yes "$(value later)"
}
serves_snapshot() {
	no_start_block
	eventually 120 k3s_is_ready || fail "K3s is not ready"
	is "the value" one "$(value mutable)"
	is "the later object" '' "$(value later)"
	is "the members" 1 "$(members)"
	set_value written-after-the-restore yes
	is "a new object" yes "$(value written-after-the-restore)"
}
