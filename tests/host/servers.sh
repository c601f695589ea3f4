# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Other servers: units of this host with their own data directory, each in a network of its own. A scenario sources this
# after lib.sh and calls `servers` with their numbers; this host is server 1, at 10.9.0.1.

servers() {
	local n
	ip link add br0 type bridge
	ip address add 10.9.0.1/24 dev br0
	ip link set br0 up
	for n in "$@"; do
		ip netns add s"$n"
		ip link add v"$n" type veth peer name eth0 netns s"$n"
		ip link set v"$n" master br0 up
		ip -n s"$n" address add 10.9.0."$n"/24 dev eth0
		ip -n s"$n" link set eth0 up
		ip -n s"$n" link set lo up
	done
	eventually 10 ip netns exec s2 bash -c 'ping -c1 -W1 10.9.0.1 >/dev/null 2>&1 || exec 3<>/dev/tcp/10.9.0.1/1' 2>/dev/null || :
	install_all 'cluster-init: true' 'node-ip: 10.9.0.1'
	for n in "$@"; do
		mkdir -p /srv/"$n"
		unit_of "$n" "NetworkNamespacePath=/run/netns/s$n" "server: https://10.9.0.1:6443" "node-ip: 10.9.0.$n"
	done
	systemctl daemon-reload
}

# unit_of N SETTING LINE...: a unit for that server, with this setting of systemd and these lines of the K3s configuration
unit_of() {
	local n=$1 setting=$2
	shift 2
	mkdir -p /etc/k3s-"$n"
	printf '%s\n' 'token: secret' "node-name: server-$n" "data-dir: /var/lib/k3s-$n" "write-kubeconfig: /etc/k3s-$n/k3s.yaml" "$@" >/etc/k3s-"$n"/config.yaml
	chmod 0600 /etc/k3s-"$n"/config.yaml
	sed "s|^ExecStart=.*|ExecStart=/usr/local/bin/k3s server --config /etc/k3s-$n/config.yaml|; /^    server/d; /k3s.service.env/d
		s|^\[Service\]|StartLimitIntervalSec=0\n&|
		s|^Type=notify|&\n$setting\nRestartSec=300ms\nTimeoutStopSec=4s\nEnvironment=K3S_FAILPOINTS=$FAILPOINTS|; /^RestartSec=5s/d" \
		"$HOST/k3s.service" >/etc/systemd/system/k3s-"$n".service
}

# seat N: this host becomes server N, whose K3s is stopped, with the default unit, data directory and configuration file, so
# that the commands of the runbook can be run here without a change. Server 1 continues as a unit of this host.
seat() {
	local n=$1
	stop_k3s
	mv "$DATA" /var/lib/k3s-1
	unit_of 1 "" 'cluster-init: true' 'node-ip: 10.9.0.1'
	mv /var/lib/k3s-"$n" "$DATA"
	grep -v -e '^data-dir' -e '^write-kubeconfig' /etc/k3s-"$n"/config.yaml >/etc/rancher/k3s/config.yaml
	rm /etc/systemd/system/k3s-"$n".service
	printf 'K3S_NODE_NAME=server-%s\n' "$n" >/etc/systemd/system/k3s.service.env
	printf '[Service]\nNetworkNamespacePath=/run/netns/s%s\n' "$n" >/etc/systemd/system/"$UNIT".service.d/20-seat.conf
	systemctl daemon-reload
	start_others 1
}

# on N COMMAND...: in the network of that server
on() { local n=$1; shift; ip netns exec s"$n" "$@"; }

# command_on N: the array `command` is then a restore on that server; options can be appended
command_on() { command=(ip netns exec s"$1" k3s-snapshot restore --unit k3s-"$1" --state-dir /srv/"$1"/state --run-dir /srv/"$1"/run); }

# state_of N: the directory of its restore. It is at one place, so one server at a time restores on this host.
state_of() { echo "$STATE"; }

# restore_on N CODE OPTION...: expects the exit code
restore_on() {
	local n=$1 code=$2 command
	shift 2
	command_on "$n"
	run "$code" "${command[@]}" --yes "$@"
}

ctl_on() {
	local n=$1 tls=$DATA/server/tls/etcd # the same on every server
	shift
	on "$n" etcdctl --endpoints https://127.0.0.1:2379 --cacert "$tls/server-ca.crt" --cert "$tls/client.crt" --key "$tls/client.key" "$@"
}

inode_of() { inode /var/lib/k3s-"$1"/server/db/etcd; }

start_others() {
	local n
	for n in "$@"; do timeout 60 systemctl start k3s-"$n" || fail "server $n does not join: $(journalctl --no-pager -u k3s-"$n" | tail -20)"; done
}
