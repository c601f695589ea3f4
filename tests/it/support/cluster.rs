// SPDX-License-Identifier: Apache-2.0
//! A cluster of etcd members, each on the data folder of its own K3s server, all under the same authorities. Members
//! can stop, die, be cut off from the others, and a learner can join. One member alone is `etcd.rs`.

use super::etcd::{Etcd, START};
use super::eventually;
use super::k3s_root::Layout;
use super::ports::Ports;
use etcd_client::MemberAddOptions;
use std::process::Command;
use std::time::Duration;

/// The members, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct Cluster {
    members: Vec<Etcd>,
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
        let peers: Vec<String> = ports.iter().enumerate().map(|(i, p)| peer(i, *p)).collect();
        let mut members: Vec<Etcd> = Vec::new();
        for (i, ports) in ports.into_iter().enumerate() {
            let layout = Layout {
                name: name(i),
                ca_of: members.first().map(|m| m.root.data_dir()),
                initial_cluster: peers.join(","),
                ..layout.clone()
            };
            members.push(Etcd::prepare(&layout, ports));
        }
        for member in &mut members {
            if !member.launch(&member.root.etcd_config()) {
                return None;
            }
        }
        members.iter().for_each(Etcd::wait_healthy);
        Some(Cluster { members })
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

    /// Cuts a member off from the others: started again, it trusts peers of another authority only, so no connection
    /// between it and them comes about in either direction. Its client port answers, with what it had; it knows no
    /// leader.
    pub(crate) fn partition(&mut self, i: usize) {
        let member = &mut self.members[i];
        member.stop();
        let foreign = member.root.path().join("foreign-peer-ca.crt");
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
            .args(["-subj", "/CN=etcd-peer-ca@1", "-days", "10", "-keyout", "/dev/null", "-out"])
            .arg(&foreign)
            .output()
            .unwrap();
        assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
        let ours = member.root.certs().file("peer-ca.crt");
        let text = std::fs::read_to_string(member.root.etcd_config()).unwrap();
        let config = member.root.path().join("etcd-partitioned.yaml");
        std::fs::write(&config, text.replace(ours.to_str().unwrap(), foreign.to_str().unwrap())).unwrap();
        assert!(member.launch(&config), "another process took a port");
        eventually("the member answers", START, || {
            member.try_client(member.root.certs().mutual(), async |c| c.status().await).is_ok()
        });
        assert!(!member.healthy(), "a member without its peers has no leader");
    }

    /// Lets a member back in that was cut off.
    pub(crate) fn heal(&mut self, i: usize) {
        self.members[i].kill();
        self.members[i].restart();
    }

    /// Adds a member that only learns, and returns its number. It is not promoted.
    pub(crate) fn add_learner(&mut self) -> usize {
        let i = self.members.len();
        let first = &self.members[0];
        let ports = Ports::free();
        let url = format!("https://127.0.0.1:{}", ports.peer);
        let options = MemberAddOptions::new().with_is_learner();
        // Right after the start, etcd refuses changes of members until all have been seen for a while.
        eventually("a learner is added", Duration::from_secs(20), || {
            let options = options.clone();
            first.try_client(first.root.certs().mutual(), async |c| c.member_add([&url], Some(options)).await).is_ok()
        });
        let mut peers: Vec<String> =
            self.members.iter().enumerate().map(|(i, m)| peer(i, m.root.ports)).collect();
        peers.push(peer(i, ports));
        let layout = Layout {
            name: name(i),
            ca_of: Some(first.root.data_dir()),
            initial_cluster: peers.join(","),
            joins: true,
            ..Layout::default()
        };
        let mut learner = Etcd::prepare(&layout, ports);
        assert!(learner.launch(&learner.root.etcd_config()), "another process took a port");
        eventually("the learner answers", START, || {
            learner.try_client(learner.root.certs().mutual(), async |c| c.status().await).is_ok()
        });
        self.members.push(learner);
        i
    }
}

fn name(i: usize) -> String {
    format!("server-{i}-0000000{i}")
}

fn peer(i: usize, ports: Ports) -> String {
    format!("{}=https://127.0.0.1:{}", name(i), ports.peer)
}
