// SPDX-License-Identifier: Apache-2.0
//! The names of the flags of `k3s server` and `k3s agent` from K3s v1.21 to v1.36. Whether a flag takes a value decides how a
//! command line is read.

/// The long names of the one-letter flags.
pub(super) const SHORT: [(&str, &str); 7] = [
    ("d", "data-dir"),
    ("t", "token"),
    ("s", "server"),
    ("c", "config"),
    ("o", "write-kubeconfig"),
    ("i", "node-ip"),
    ("l", "log"),
];

/// Flags that are true or false; the next word is never their value.
#[rustfmt::skip]
pub(super) const SWITCHES: &[&str] = &[
    "alsologtostderr", "cluster-init", "cluster-reset", "debug", "disable-agent", "disable-apiserver",
    "disable-apiserver-lb", "disable-cloud-controller", "disable-controller-manager",
    "disable-default-registry-endpoint", "disable-etcd", "disable-helm-controller", "disable-kube-proxy",
    "disable-network-policy", "disable-scheduler", "disable-selinux", "docker", "embedded-registry", "enable-pprof",
    "etcd-disable-snapshots", "etcd-expose-metrics", "etcd-s3", "etcd-s3-insecure", "etcd-s3-skip-ssl-verify",
    "etcd-snapshot-compress", "flannel-external-ip", "flannel-ipv6-masq", "kine-tls", "no-flannel",
    "nonroot-devices", "prefer-bundled-bin", "protect-kernel-defaults", "rootless", "secrets-encryption", "selinux",
    "supervisor-metrics", "tls-san-security", "with-node-id",
];

/// Flags that take a value; the next word is their value, whatever it is.
#[rustfmt::skip]
pub(super) const WITH_VALUE: &[&str] = &[
    "advertise-address", "advertise-port", "agent-token", "agent-token-file", "airgap-extra-registry",
    "bind-address", "cluster-cidr", "cluster-dns", "cluster-domain", "cluster-reset-restore-path", "cluster-secret",
    "config", "container-runtime-endpoint", "data-dir", "datastore-cafile", "datastore-certfile",
    "datastore-endpoint", "datastore-keyfile", "default-local-storage-path", "default-runtime", "disable",
    "egress-selector-mode", "etcd-arg", "etcd-s3-access-key", "etcd-s3-bucket", "etcd-s3-bucket-lookup-type",
    "etcd-s3-config-secret", "etcd-s3-endpoint", "etcd-s3-endpoint-ca", "etcd-s3-folder", "etcd-s3-proxy",
    "etcd-s3-region", "etcd-s3-retention", "etcd-s3-secret-key", "etcd-s3-session-token", "etcd-s3-timeout",
    "etcd-snapshot-dir", "etcd-snapshot-name", "etcd-snapshot-retention", "etcd-snapshot-schedule-cron",
    "flannel-backend", "flannel-cni-conf", "flannel-conf", "flannel-iface", "helm-job-image", "https-listen-port",
    "image-credential-provider-bin-dir", "image-credential-provider-config", "image-service-endpoint",
    "kube-apiserver-arg", "kube-cloud-controller-arg", "kube-cloud-controller-manager-arg", "kube-controller-arg",
    "kube-controller-manager-arg", "kube-proxy-arg", "kube-scheduler-arg", "kubelet-arg", "lb-server-port", "log",
    "no-deploy", "node-external-dns", "node-external-ip", "node-internal-dns", "node-ip", "node-label", "node-name",
    "node-taint", "pause-image", "private-registry", "resolv-conf", "secrets-encryption-provider", "server",
    "service-cidr", "service-node-port-range", "servicelb-namespace", "snapshotter", "system-default-registry",
    "tls-san", "token", "token-file", "v", "vmodule", "vpn-auth", "vpn-auth-file", "write-kubeconfig",
    "write-kubeconfig-group", "write-kubeconfig-mode",
];

/// The long name of a flag or of a key of config.yaml.
pub(in crate::config) fn long_name(name: &str) -> &str {
    SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| long)
}
