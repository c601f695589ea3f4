// SPDX-License-Identifier: Apache-2.0
//! A cluster of etcd members, each on the data directory of its own K3s server, all under the same authorities. Members
//! can stop, die, be cut off from the others, and a learner can join. One member alone is `etcd.rs`.

use super::etcd::{Etcd, START};
use super::eventually;
use super::k3s_root::{K3sRoot, Layout};
use super::ports::Ports;
use super::proxy::{Mode, Proxy};
use etcd_client::MemberAddOptions;
use std::path::Path;
use std::time::Duration;

/// The members, in the order of their numbers. Peers reach each other through a proxy before each.
#[derive(Debug)]
pub(crate) struct Cluster {
    members: Vec<Etcd>,
    ways: Vec<Proxy>,
}

impl Cluster {
    /// Three members, up and healthy.
    pub(crate) fn start() -> Cluster {
        Cluster::start_with(&Layout::default())
    }

    /// The same, with another layout for each; names and peers are set here.
    pub(crate) fn start_with(layout: &Layout) -> Cluster {
        (0..5).find_map(|_| Cluster::attempt(layout)).expect("ports are free at least once in five times")
    }

    fn attempt(layout: &Layout) -> Option<Cluster> {
        let ports = [Ports::free(), Ports::free(), Ports::free()];
        let ways: Vec<Proxy> = ports.iter().map(|p| Proxy::to(p.peer, Mode::Forward)).collect();
        let mut members: Vec<Etcd> = Vec::new();
        for (i, ports) in ports.into_iter().enumerate() {
            let ca_of = members.first().map(|m| m.root.data_dir());
            members.push(prepare(layout.clone(), i, ca_of.as_deref(), &ways, ports));
        }
        for member in &mut members {
            if !member.launch(&member.root.etcd_config()) {
                return None;
            }
        }
        members.iter().for_each(Etcd::wait_healthy);
        Some(Cluster { members, ways })
    }

    /// A member.
    pub(crate) fn member(&self, i: usize) -> &Etcd {
        &self.members[i]
    }

    /// The number of the leader.
    pub(crate) fn leader(&self) -> usize {
        let is_leader = |m: &Etcd| {
            m.healthy() && m.client(async |c| c.status().await.map(|s| s.leader())) == m.member_id()
        };
        self.members.iter().position(is_leader).expect("a leader")
    }

    /// The number of a member that is no leader and no learner.
    pub(crate) fn follower(&self) -> usize {
        (self.leader() + 1) % 3
    }

    /// Ends a member in order.
    pub(crate) fn stop(&mut self, i: usize) {
        self.members[i].stop();
    }

    /// Ends a member at once.
    pub(crate) fn kill(&mut self, i: usize) {
        self.members[i].kill();
    }

    /// Starts a member that was stopped or killed, and waits until it is one of the others again.
    pub(crate) fn start_member(&mut self, i: usize) {
        self.members[i].restart();
    }

    /// Cuts a member off from the others while it goes on: its client port answers, with what it had, and it knows no
    /// leader. It gets a peer certificate of another authority, which etcd reads again at each connection, and then all
    /// connections between peers are cut; the others find each other again. A restart would not do: a member that
    /// starts without its peers serves no clients.
    pub(crate) fn partition(&self, i: usize) {
        let stranger = K3sRoot::new(&Layout::default(), self.members[i].root.ports);
        self.swap_peer_certificate(i, &stranger.certs().file(""));
        eventually("the member knows no leader", START, || self.members[i].errors().contains("no leader"));
        let rest: Vec<&Etcd> =
            self.members.iter().enumerate().filter(|(n, _)| *n != i).map(|(_, m)| m).collect();
        eventually("the others have a leader", START, || rest.iter().filter(|m| m.healthy()).count() > 1);
    }

    /// Lets a member back in that was cut off.
    pub(crate) fn heal(&self, i: usize) {
        self.swap_peer_certificate(i, &self.members[i].root.path().join("own-peer"));
        self.members[i].wait_healthy();
    }

    /// Puts the peer certificate of the directory `from` into a member's place, keeps its own aside, and makes all peers
    /// connect again.
    fn swap_peer_certificate(&self, i: usize, from: &Path) {
        let root = &self.members[i].root;
        let kept = root.path().join("own-peer");
        std::fs::create_dir_all(&kept).unwrap();
        for name in ["peer-server-client.crt", "peer-server-client.key"] {
            if !kept.join(name).exists() {
                std::fs::copy(root.certs().file(name), kept.join(name)).unwrap();
            }
            std::fs::copy(from.join(name), root.certs().file(name)).unwrap();
        }
        self.ways.iter().for_each(Proxy::cut_now);
    }

    /// Adds a member that only learns, and returns its number. It is not promoted.
    pub(crate) fn add_learner(&mut self) -> usize {
        let i = self.members.len();
        let ports = Ports::free();
        self.ways.push(Proxy::to(ports.peer, Mode::Forward));
        let url = url(&self.ways[i]);
        let first = &self.members[0];
        // Right after the start, etcd refuses changes of members until all have been seen for a while.
        eventually("a learner is added", Duration::from_secs(20), || {
            let options = MemberAddOptions::new().with_is_learner();
            let tls = first.root.certs().mutual();
            first.try_client(tls, async |c| c.member_add([&url], Some(options)).await).is_ok()
        });
        let layout = Layout { joins: true, ..Layout::default() };
        let mut learner = prepare(layout, i, Some(&first.root.data_dir()), &self.ways, ports);
        assert!(learner.launch(&learner.root.etcd_config()), "another process took a port");
        eventually("the learner answers", START, || {
            learner.try_client(learner.root.certs().mutual(), async |c| c.status().await).is_ok()
        });
        self.members.push(learner);
        i
    }
}

/// The directory of member `i`, whose peers find it and each other behind these proxies.
fn prepare(layout: Layout, i: usize, ca_of: Option<&Path>, ways: &[Proxy], ports: Ports) -> Etcd {
    let name = |i: usize| format!("server-{i}-0000000{i}");
    let peers: Vec<String> =
        ways.iter().enumerate().map(|(i, w)| format!("{}={}", name(i), url(w))).collect();
    let layout = Layout {
        name: name(i),
        ca_of: ca_of.map(Path::to_owned),
        initial_cluster: peers.join(","),
        ..layout.etcd_arg("initial-advertise-peer-urls", &url(&ways[i]))
    };
    Etcd::prepare(&layout, ports)
}

fn url(way: &Proxy) -> String {
    format!("https://127.0.0.1:{}", way.port())
}
