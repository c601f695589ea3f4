// SPDX-License-Identifier: Apache-2.0
//! The table of distributions: the only place where their names and paths are written down.
//!
//! Another distribution is another row.

/// Where a distribution keeps what.
#[derive(Debug, Clone, Copy)]
pub struct Distribution {
    /// Its name, as an operator says it.
    pub name: &'static str,
    /// Its word in options, and in what it notes beside its objects in a bucket.
    pub word: &'static str,
    /// Its unit on a server.
    pub unit: &'static str,
    /// The file name of its program.
    pub program: &'static str,
    /// Where its program is installed.
    pub programs: &'static [&'static str],
    /// What its environment variables begin with.
    pub variables: &'static str,
    /// Its configuration file; drop-ins lie in a folder of the same name with `.d`.
    pub config: &'static str,
    /// Its data-dir.
    pub data_dir: &'static str,
    /// The kubeconfig that it writes for people.
    pub kubeconfig: &'static str,
    /// The base name of its scheduled snapshots.
    pub scheduled_base: &'static str,
    /// The script that starts it on a machine with OpenRC instead of systemd.
    pub init_script: Option<&'static str>,
    /// How it is restored by hand, where no restore of ours is proven: a step a line, with `{snapshot}` for the file and
    /// `{data-dir}` for the data-dir as a shell takes them. None where ours is.
    pub by_hand: &'static [&'static str],
}

impl Distribution {
    /// What this distribution calls a variable of K3s's: `K3S_TOKEN` or `RKE2_TOKEN`. Those of others keep their names.
    pub fn variable(&self, of_k3s: &str) -> String {
        match of_k3s.strip_prefix(K3S.variables) {
            Some(rest) => format!("{}{rest}", self.variables),
            None => of_k3s.to_owned(),
        }
    }
}

/// All of them; the first one is taken where none is recognised.
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
    by_hand: &[
        "1. Have the token that the snapshot needs, and prove the file: k3s-snapshot-verify {snapshot}",
        "2. On every server of the cluster: systemctl stop rke2-server, then rke2-killall.sh, which ends etcd's container \
         and all other pods of that server.",
        "3. On this server, with no 'server' in RKE2's configuration: rke2 server --cluster-reset --etcd-s3=false \
         --cluster-reset-restore-path={snapshot} . It ends by itself; the database that was there is kept beside the new one \
         as etcd-old-<time>.",
        "4. On this server: systemctl start rke2-server, and wait until the node is ready: {data-dir}/bin/kubectl --kubeconfig \
         /etc/rancher/rke2/rke2.yaml get nodes",
        "5. On each other server, one after the other: mv -T {data-dir}/server/db/etcd {data-dir}/server/db/etcd-before, then \
         systemctl start rke2-server. Do not touch the snapshots beside it.",
    ],
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
