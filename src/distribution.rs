// SPDX-License-Identifier: Apache-2.0
//! The table of distributions: the only file with their names and paths. A new distribution is a new row.

/// The names and paths of a distribution.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// Its name in messages.
    pub name: &'static str,
    /// Its word in options, and in the metadata of its objects in a bucket.
    pub word: &'static str,
    /// The unit of its service on a server.
    pub unit: &'static str,
    /// The file name of its program.
    pub program: &'static str,
    /// The paths where its program may be installed.
    pub programs: &'static [&'static str],
    /// The prefix of its environment variables.
    pub variables: &'static str,
    /// Its configuration file; drop-ins are in a directory of the same name with `.d`.
    pub config: &'static str,
    /// Its default data-dir.
    pub data_dir: &'static str,
    /// The kubeconfig of the administrator that it writes.
    pub kubeconfig: &'static str,
    /// The base name of its scheduled snapshots.
    pub scheduled_base: &'static str,
    /// The script that starts it on a machine with OpenRC instead of systemd.
    pub init_script: Option<&'static str>,
    /// Whether the directory of its etcd can belong to a user of its own (`profile: cis` of RKE2).
    pub etcd_has_own_user: bool,
    /// How to restore it with its own commands, if this program does not: one step a line, with `{snapshot}` for the file and
    /// `{data-dir}` for the data-dir, both quoted for a shell. Empty if this program restores it.
    pub by_hand: &'static [&'static str],
}

impl Distribution {
    /// The ConfigMap in the namespace kube-system whose data is stored with each snapshot.
    pub fn extra_metadata(&self) -> String {
        format!("{}{EXTRA_METADATA}", self.word)
    }

    /// The name of a variable of K3s in this distribution: `K3S_TOKEN` or `RKE2_TOKEN`. Other variables keep their names.
    pub fn variable(&self, of_k3s: &str) -> String {
        match of_k3s.strip_prefix(K3S.variables) {
            Some(rest) => format!("{}{rest}", self.variables),
            None => of_k3s.to_owned(),
        }
    }
}

/// All distributions; the first one is used if none is detected.
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
    init_script: Some("/etc/init.d/k3s"),
    etcd_has_own_user: false,
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
    init_script: None,
    etcd_has_own_user: true,
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

/// Below the data-dir: the snapshots, unless `etcd-snapshot-dir` is set.
pub const SNAPSHOTS: &str = "server/db/snapshots";
/// Below the data-dir: the configuration of etcd that K3s wrote.
pub const ETCD_CONFIG: &str = "server/db/etcd/config";
/// Below the data-dir: a directory that exists once embedded etcd was initialised.
pub const ETCD_WAL: &str = "server/db/etcd/member/wal";
/// Below the data-dir: the directory of embedded etcd.
pub const ETCD_DIR: &str = "server/db/etcd";
/// Below the data-dir: the database file of embedded etcd.
pub const ETCD_DB: &str = "server/db/etcd/member/snap/db";
/// Below the data-dir: the SQLite datastore.
pub const SQLITE: &str = "server/db/state.db";
/// Below the data-dir of etcd: its database.
pub const ETCD_DB_FILE: &str = "member/snap/db";
/// Below the data-dir of etcd: its write-ahead log.
pub const ETCD_WAL_DIR: &str = "member/wal";
/// Below the data-dir: the server token.
pub const TOKEN: &str = "server/token";
/// Below the data-dir: the agent token, if it is another one.
pub const AGENT_TOKEN: &str = "server/agent-token";
/// Below the data-dir: the manifests that K3s applies.
pub const MANIFESTS: &str = "server/manifests";
/// Next to the configuration: the private registries.
pub const REGISTRIES: &str = "registries.yaml";
/// Below the data-dir: a directory of servers.
pub const SERVER: &str = "server";
/// Below the data-dir: a directory of agents and of servers.
pub const AGENT: &str = "agent";
/// Below the data-dir: the certificate authority of the servers of etcd.
pub const ETCD_CA: &str = "server/tls/etcd/server-ca.crt";
/// Below the data-dir: the client certificate for etcd.
pub const ETCD_CERT: &str = "server/tls/etcd/client.crt";
/// Below the data-dir: the key of the client certificate.
pub const ETCD_KEY: &str = "server/tls/etcd/client.key";
/// Below the data-dir: the certificate authority of the API server.
pub const SERVER_CA: &str = "server/tls/server-ca.crt";
/// Below the data-dir: the client certificate of the administrator of K3s.
pub const ADMIN_CERT: &str = "server/tls/client-admin.crt";
/// Below the data-dir: the key of that certificate.
pub const ADMIN_KEY: &str = "server/tls/client-admin.key";
/// The addresses of etcd if its configuration has none.
pub const ETCD_ENDPOINTS: [&str; 2] = ["https://127.0.0.1:2379", "https://[::1]:2379"];
/// Next to the snapshot directory: the metadata that newer versions of K3s write for each snapshot, in a file of the same name.
pub const METADATA: &str = ".metadata";
/// The ConfigMap whose data K3s writes there, after the word of the distribution.
pub const EXTRA_METADATA: &str = "-etcd-snapshot-extra-metadata";
/// Below the data-dir: the certificates of K3s.
pub const TLS: &str = "server/tls";
/// Below the data-dir: the directory of databases and snapshots.
pub const DB: &str = "server/db";
/// Below the data-dir: the directory of embedded etcd.
pub const ETCD: &str = "server/db/etcd";
/// In the directory of databases: the prefix of a database that a reset of K3s has moved aside; Unix seconds follow.
pub const ETCD_OLD: &str = "etcd-old-";
/// In the directory of databases: the prefix of a database that a failed restore has moved aside; Unix seconds follow.
pub const ETCD_FAILED: &str = "etcd-failed-";
/// In the directory of databases: the file of SQLite.
pub const SQLITE_FILE: &str = "state.db";
/// In the directory of databases: the files that belong to it while it is open, or after a crash: its write-ahead log, and the
/// index of that.
pub const SQLITE_LOGS: [&str; 2] = ["state.db-wal", "state.db-shm"];
/// In the directory of databases: the prefix of a database of SQLite that a restore has moved aside; Unix seconds follow.
pub const SQLITE_OLD: &str = "sqlite-old-";
/// In the directory of databases: the prefix of one that a failed restore has moved aside; Unix seconds follow.
pub const SQLITE_FAILED: &str = "sqlite-failed-";
/// The names in the bootstrap data of K3s, and the files below `server` that they are of.
pub const BOOTSTRAP_FILES: [(&str, &str); 15] = [
    ("ClientCA", "tls/client-ca.crt"),
    ("ClientCAKey", "tls/client-ca.key"),
    ("ETCDPeerCA", "tls/etcd/peer-ca.crt"),
    ("ETCDPeerCAKey", "tls/etcd/peer-ca.key"),
    ("ETCDServerCA", "tls/etcd/server-ca.crt"),
    ("ETCDServerCAKey", "tls/etcd/server-ca.key"),
    ("EncryptionConfig", "cred/encryption-config.json"),
    ("EncryptionHash", "cred/encryption-state.json"),
    ("IPSECKey", "cred/ipsec.psk"),
    ("PasswdFile", "cred/passwd"),
    ("RequestHeaderCA", "tls/request-header-ca.crt"),
    ("RequestHeaderCAKey", "tls/request-header-ca.key"),
    ("ServerCA", "tls/server-ca.crt"),
    ("ServerCAKey", "tls/server-ca.key"),
    ("ServiceKey", "tls/service.key"),
];
/// Below the data-dir: a file that K3s creates when a reset is done, and removes at its next start.
pub const RESET_FLAG: &str = "server/db/reset-flag";
/// Below `server`: what K3s rewrites from the snapshot in a reset.
pub const REWRITTEN: [&str; 5] = ["tls", "cred", "token", "agent-token", "node-token"];
/// Below the data-dir: files that name the members of the cluster, which a reset of K3s removes.
pub const LOAD_BALANCERS: [&str; 2] =
    ["agent/etc/k3s-agent-load-balancer.json", "agent/etc/k3s-api-server-agent-load-balancer.json"];
/// Below the data-dir: the programs that K3s unpacks from itself.
pub const PROGRAMS: &str = "data";
/// Where a running K3s keeps its sockets.
pub const RUNTIME: &str = "/run/k3s";
/// The directory of the configuration and the kubeconfig of K3s.
pub const CONFIG_DIR: &str = "/etc/rancher/k3s";
/// The directory of everything that K3s and RKE2 keep in `/etc`.
pub const RANCHER_DIR: &str = "/etc/rancher";
/// In the directory of the server: certificates that a reset of K3s has set aside, before the seconds.
pub const TLS_OLD: &str = "tls-";
/// The unit of K3s on an agent.
pub const AGENT_UNIT: &str = "k3s-agent.service";
/// Below the directory of etcd: what K3s rewrites in a reset.
pub const REWRITTEN_IN_ETCD: [&str; 2] = ["name", "config"];
/// The id that K3s appends to the name of the node if `with-node-id` is set.
pub const NODE_ID: &str = "/etc/rancher/node/id";
/// The data-dir of a K3s that runs without root.
pub const ROOTLESS_DATA_DIR: &str = "${HOME}/.rancher/k3s";
/// The kubeconfig of a K3s that runs without root.
pub const ROOTLESS_KUBECONFIG: &str = "${HOME}/.kube/k3s.yaml";
/// Below a home directory: the shared credentials file of AWS.
pub const AWS_CREDENTIALS: &str = ".aws/credentials";
/// The host name of a machine.
pub const HOST_NAME: &str = "/etc/hostname";
