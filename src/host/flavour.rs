// SPDX-License-Identifier: Apache-2.0
//! The table of distributions: the only place where their names and paths are written down.
//!
//! Another distribution is another row.

/// Where a distribution keeps what.
#[derive(Debug, Clone, Copy)]
pub struct Flavour {
    /// Its name, as an operator says it.
    pub name: &'static str,
    /// Its unit on a server.
    pub unit: &'static str,
    /// The file name of its program.
    pub program: &'static str,
    /// Its configuration file; drop-ins lie in a folder of the same name with `.d`.
    pub config: &'static str,
    /// Its data-dir.
    pub data_dir: &'static str,
    /// The kubeconfig that it writes for people.
    pub kubeconfig: &'static str,
    /// The base name of its scheduled snapshots.
    pub scheduled_base: &'static str,
}

/// K3s.
pub const K3S: Flavour = Flavour {
    name: "K3s",
    unit: "k3s.service",
    program: "k3s",
    config: "/etc/rancher/k3s/config.yaml",
    data_dir: "/var/lib/rancher/k3s",
    kubeconfig: "/etc/rancher/k3s/k3s.yaml",
    scheduled_base: "etcd-snapshot",
};

/// Below the data-dir: snapshots, unless `etcd-snapshot-dir` says otherwise.
pub const SNAPSHOTS: &str = "server/db/snapshots";
/// Below the data-dir: the configuration that etcd was started with.
pub const ETCD_CONFIG: &str = "server/db/etcd/config";
/// Below the data-dir: a folder that exists once embedded etcd was initialised.
pub const ETCD_WAL: &str = "server/db/etcd/member/wal";
/// Below the data-dir: the database file of embedded etcd.
pub const ETCD_DB: &str = "server/db/etcd/member/snap/db";
/// Below the data-dir: the SQLite datastore.
pub const SQLITE: &str = "server/db/state.db";
/// Below etcd's own data-dir: its database.
pub const ETCD_DB_FILE: &str = "member/snap/db";
/// Below the data-dir: the server token.
pub const TOKEN: &str = "server/token";
/// Below the data-dir: present on a server.
pub const SERVER: &str = "server";
/// Below the data-dir: present where only an agent runs, and on servers.
pub const AGENT: &str = "agent";
/// Below the data-dir: the certificate authority of etcd's servers.
pub const ETCD_CA: &str = "server/tls/etcd/server-ca.crt";
/// Below the data-dir: the client certificate for etcd.
pub const ETCD_CERT: &str = "server/tls/etcd/client.crt";
/// Below the data-dir: the key of the client certificate.
pub const ETCD_KEY: &str = "server/tls/etcd/client.key";
/// Below the data-dir: the certificate authority of the API server.
pub const SERVER_CA: &str = "server/tls/server-ca.crt";
/// Below the data-dir: the client certificate of K3s's admin.
pub const ADMIN_CERT: &str = "server/tls/client-admin.crt";
/// Below the data-dir: its key.
pub const ADMIN_KEY: &str = "server/tls/client-admin.key";
/// Where etcd listens when its configuration cannot be read.
pub const ETCD_ENDPOINTS: [&str; 2] = ["https://127.0.0.1:2379", "https://[::1]:2379"];
/// Beside the snapshot folder: what newer versions of K3s note of each snapshot, in a file of the same name.
pub const METADATA: &str = ".metadata";
/// Below the data-dir: K3s's certificates.
pub const TLS: &str = "server/tls";
/// Below the data-dir: the folder of databases and snapshots.
pub const DB: &str = "server/db";
/// Below the data-dir: the folder of embedded etcd.
pub const ETCD: &str = "server/db/etcd";
/// In the folder of databases: what a database is called that a reset has moved aside, before the seconds.
pub const ETCD_OLD: &str = "etcd-old-";
/// In the folder of databases: what a database is called that a restore of ours has given up, before the seconds.
pub const ETCD_FAILED: &str = "etcd-failed-";
/// Below the data-dir: K3s's mark that a reset was done; the next start removes it.
pub const RESET_FLAG: &str = "server/db/reset-flag";
/// Below the server's folder: what K3s writes anew from the snapshot in a reset.
pub const REWRITTEN: [&str; 5] = ["tls", "cred", "token", "agent-token", "node-token"];
/// K3s's unit on an agent.
pub const AGENT_UNIT: &str = "k3s-agent.service";
/// Below etcd's folder: what K3s writes anew.
pub const REWRITTEN_IN_ETCD: [&str; 2] = ["name", "config"];
