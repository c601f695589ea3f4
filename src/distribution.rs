// SPDX-License-Identifier: Apache-2.0
//! The table of distributions: the only place that has their names and paths.
//!
//! A new distribution is a new row.

/// The names and paths of a distribution.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// The name, for people.
    pub name: &'static str,
    /// The word in options, and in the metadata of objects in a bucket.
    pub word: &'static str,
    /// The unit of a server.
    pub unit: &'static str,
    /// The file name of the program.
    pub program: &'static str,
    /// Where the program is installed.
    pub programs: &'static [&'static str],
    /// The prefix of the environment variables.
    pub variables: &'static str,
    /// The configuration file; drop-ins are in a directory of the same name with `.d`.
    pub config: &'static str,
    /// The default data-dir.
    pub data_dir: &'static str,
    /// The kubeconfig that the server writes for the administrator.
    pub kubeconfig: &'static str,
    /// The base name of its scheduled snapshots.
    pub scheduled_base: &'static str,
    /// The steps of a manual restore, one a line: `{snapshot}` is the file and `{data-dir}` the data-dir, quoted for a shell.
    /// Empty if `k3s-snapshot restore` supports the distribution.
    pub by_hand: &'static [&'static str],
}

impl Distribution {
    /// The name that this distribution uses for a variable of K3s: `K3S_TOKEN` or `RKE2_TOKEN`. A variable without the prefix
    /// of K3s keeps its name.
    pub fn variable(&self, of_k3s: &str) -> String {
        match of_k3s.strip_prefix(K3S.variables) {
            Some(rest) => format!("{}{rest}", self.variables),
            None => of_k3s.to_owned(),
        }
    }
}

/// All distributions; the first one is used if none is recognized.
pub const ALL: [&Distribution; 2] = [&K3S, &RKE2];

/// K3s.
pub const K3S: Distribution = Distribution {
    name: "K3s",
    word: "k3s",
    unit: "k3s.service",
    program: "k3s",
    programs: &["/usr/local/bin/k3s", "/usr/bin/k3s", "/opt/bin/k3s"],
    variables: "K3S_",
    config: "/etc/rancher/k3s/config.yaml",
    data_dir: "/var/lib/rancher/k3s",
    kubeconfig: "/etc/rancher/k3s/k3s.yaml",
    scheduled_base: "etcd-snapshot",
    by_hand: &[],
};

/// RKE2: the same server below the data-dir, but etcd runs in a static pod.
pub const RKE2: Distribution = Distribution {
    name: "RKE2",
    word: "rke2",
    unit: "rke2-server.service",
    program: "rke2",
    programs: &["/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2"],
    variables: "RKE2_",
    config: "/etc/rancher/rke2/config.yaml",
    data_dir: "/var/lib/rancher/rke2",
    kubeconfig: "/etc/rancher/rke2/rke2.yaml",
    scheduled_base: "etcd-snapshot",
    by_hand: &[
        "1. Have the token of the snapshot ready, and verify the file: k3s-snapshot verify {snapshot}",
        "2. On every server of the cluster: systemctl stop rke2-server, then rke2-killall.sh. The script ends the container \
         of etcd and all other pods of the server.",
        "3. On this server, without 'server' in the configuration of RKE2: rke2 server --cluster-reset --etcd-s3=false \
         --cluster-reset-restore-path={snapshot} . The command ends when the reset is done. It keeps the previous database \
         as etcd-old-<time>, next to the new one.",
        "4. On this server: systemctl start rke2-server, and wait until the node is ready: {data-dir}/bin/kubectl --kubeconfig \
         /etc/rancher/rke2/rke2.yaml get nodes",
        "5. On each other server, one after the other: mv -T {data-dir}/server/db/etcd {data-dir}/server/db/etcd-before, then \
         systemctl start rke2-server. Do not change the snapshots in {data-dir}/server/db/snapshots.",
    ],
};

/// Below the data-dir: the snapshot directory, unless `etcd-snapshot-dir` is set.
pub const SNAPSHOTS: &str = "server/db/snapshots";
/// Below the data-dir: the configuration file of etcd.
pub const ETCD_CONFIG: &str = "server/db/etcd/config";
/// Below the data-dir: a directory that exists if embedded etcd was initialized.
pub const ETCD_WAL: &str = "server/db/etcd/member/wal";
/// Below the data-dir: the database file of embedded etcd.
pub const ETCD_DB: &str = "server/db/etcd/member/snap/db";
/// Below the data-dir: the SQLite datastore.
pub const SQLITE: &str = "server/db/state.db";
/// Below the data-dir of etcd: the database file.
pub const ETCD_DB_FILE: &str = "member/snap/db";
/// Below the data-dir: the server token.
pub const TOKEN: &str = "server/token";
/// Below the data-dir: present on a server.
pub const SERVER: &str = "server";
/// Below the data-dir: present on agents, and on servers too.
pub const AGENT: &str = "agent";
/// Below the data-dir: the certificate authority of the etcd servers.
pub const ETCD_CA: &str = "server/tls/etcd/server-ca.crt";
/// Below the data-dir: the client certificate for etcd.
pub const ETCD_CERT: &str = "server/tls/etcd/client.crt";
/// Below the data-dir: the key of the client certificate.
pub const ETCD_KEY: &str = "server/tls/etcd/client.key";
/// Below the data-dir: the certificate authority of the API server.
pub const SERVER_CA: &str = "server/tls/server-ca.crt";
/// Below the data-dir: the client certificate of the K3s administrator.
pub const ADMIN_CERT: &str = "server/tls/client-admin.crt";
/// Below the data-dir: the key of the administrator's client certificate.
pub const ADMIN_KEY: &str = "server/tls/client-admin.key";
/// Where etcd is expected to listen if its configuration cannot be read.
pub const ETCD_ENDPOINTS: [&str; 2] = ["https://127.0.0.1:2379", "https://[::1]:2379"];
/// Next to the snapshot directory: metadata that newer versions of K3s write for each snapshot, in a file of the same name.
pub const METADATA: &str = ".metadata";
/// Below the data-dir: the certificates of K3s.
pub const TLS: &str = "server/tls";
/// Below the data-dir: the directory of databases and snapshots.
pub const DB: &str = "server/db";
/// Below the data-dir: the directory of embedded etcd.
pub const ETCD: &str = "server/db/etcd";
/// In the directory of databases: the prefix of a database that a cluster reset moved aside; a time in seconds follows.
pub const ETCD_OLD: &str = "etcd-old-";
/// In the directory of databases: the prefix of a new database that was rolled back; a time in seconds follows.
pub const ETCD_FAILED: &str = "etcd-failed-";
/// Below the data-dir: the file by which K3s marks that a reset was done; the next start removes it.
pub const RESET_FLAG: &str = "server/db/reset-flag";
/// Below the directory of the server: what a cluster reset of K3s rewrites from the snapshot.
pub const REWRITTEN: [&str; 5] = ["tls", "cred", "token", "agent-token", "node-token"];
/// Below the data-dir: files that name the members of the cluster. A cluster reset of K3s removes them.
pub const LOAD_BALANCERS: [&str; 2] =
    ["agent/etc/k3s-agent-load-balancer.json", "agent/etc/k3s-api-server-agent-load-balancer.json"];
/// Below the data-dir: the programs that K3s unpacks from itself.
pub const PROGRAMS: &str = "data";
/// Where a running K3s keeps its sockets.
pub const RUNTIME: &str = "/run/k3s";
/// The directory of K3s's configuration and kubeconfig.
pub const CONFIG_DIR: &str = "/etc/rancher/k3s";
/// In the directory of the server: the prefix of certificates that a cluster reset set aside; a time in seconds follows.
pub const TLS_OLD: &str = "tls-";
/// The unit of a K3s agent.
pub const AGENT_UNIT: &str = "k3s-agent.service";
/// Below the directory of etcd: what K3s rewrites.
pub const REWRITTEN_IN_ETCD: [&str; 2] = ["name", "config"];
