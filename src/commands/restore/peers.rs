// SPDX-License-Identifier: Apache-2.0
//! The other machines of the cluster: which there are, whether their etcd still answers, and what is to be done on them.

use std::collections::BTreeSet;

use anyhow::Result;

use super::context::Context;
use crate::datastore::Datastore;
use crate::error::{Code, Fault};
use crate::inspect::{self, AddressKind, Content};
use crate::io::ReadAt;
use crate::model::report::Report;
use crate::model::runbook::{self, Machine, Merged, Own, Place, Role, Source, Task, host_of, node_of};
use crate::model::warning::WarningCode;
use crate::source::MemberStatus;

/// Another member of the etcd cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) name: String,
    pub(super) urls: Vec<String>,
    pub(super) source: Source,
}

impl Peer {
    /// A member with everything that is known of it. The name and the client URLs of one that joined later are not in the
    /// database of every etcd; its peer URLs always are.
    fn new(id: u64, name: String, mut urls: Vec<String>, peer_urls: Vec<String>, source: Source) -> Peer {
        urls.extend(peer_urls);
        urls.dedup();
        let name = if name.is_empty() { format!("member {id:x}") } else { name };
        Peer { name, urls, source }
    }

    /// The name of its node.
    pub(super) fn node(&self) -> &str {
        node_of(&self.name)
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        let hosts: BTreeSet<&str> = self.urls.iter().filter_map(|u| host_of(u)).collect();
        hosts.into_iter().map(str::to_owned).collect()
    }

    /// Name and addresses, for people.
    fn describe(&self) -> String {
        let places = match self.addresses() {
            none if none.is_empty() => self.urls.clone(),
            addresses => addresses,
        };
        format!("{} ({})", self.name.escape_debug(), places.join(", ").escape_debug())
    }
}

/// The other members, as far as they are known.
#[derive(Debug, Clone, Default)]
pub(super) struct Peers {
    /// Every member that a source names, without this machine.
    pub(super) list: Vec<Peer>,
    /// Whether the list of the live cluster could not be had: then the members are not known yet.
    pub(super) unknown: bool,
    /// Whether a list of the present cluster is known. Then the members in the snapshot are only asked, and need not rejoin.
    present: bool,
}

/// This machine, by every name and address that a source may use for it.
pub(super) fn own(cx: &Context) -> Own {
    let mut names = vec![cx.cluster.node.to_owned()];
    names.extend(cx.machine.files.member_name());
    Own { names, addresses: cx.machine.host.addresses() }
}

/// The peers that the live etcd lists.
pub(super) fn of_live(status: &MemberStatus) -> Vec<Peer> {
    let others = status.members.iter().filter(|m| m.id != status.member_id);
    others
        .map(|m| {
            Peer::new(m.id, m.name.clone(), m.client_urls.clone(), m.peer_urls.clone(), Source::LiveMember)
        })
        .collect()
}

/// The peers in the content of the snapshot.
fn of_content(content: &Content) -> Vec<Peer> {
    let members = content.facts.members.iter();
    members
        .map(|m| {
            Peer::new(
                m.id,
                m.name.clone(),
                m.client_urls.clone(),
                m.peer_urls.clone(),
                Source::SnapshotMember,
            )
        })
        .collect()
}

/// The peers in the database at rest; `None` if a process has it open, or it cannot be read.
fn of_disk(cx: &Context) -> Option<Vec<Peer>> {
    let files = cx.machine.files;
    if files.datastore == Datastore::Sqlite {
        return Some(vec![]);
    }
    if files.is_database_open().unwrap_or(true) {
        return None;
    }
    let Some(file) = files.database_file().ok()? else { return Some(vec![]) };
    let (data, db_len) = inspect::open_offline(file).ok()?.ok()?;
    let found = inspect::verify(&data as &dyn ReadAt, db_len).ok()?;
    let members = found.facts.members.into_iter();
    Some(members.map(|m| Peer::new(m.id, m.name, m.client_urls, m.peer_urls, Source::StoredMember)).collect())
}

impl Peers {
    /// Everything that is known: the members that the live etcd lists, or those in the database at rest; and those in the
    /// snapshot.
    pub(super) fn gather(cx: &Context, live: Option<&MemberStatus>, content: Option<&Content>) -> Peers {
        let known = match live {
            Some(status) => Some(of_live(status)),
            None => of_disk(cx),
        };
        let present = live.is_some() || known.as_ref().is_some_and(|list| !list.is_empty());
        let mut peers = Peers { unknown: known.is_none(), present, list: known.unwrap_or_default() };
        peers.list.extend(content.map(of_content).unwrap_or_default());
        peers.without_own(cx)
    }

    /// Adds what the database shows once K3s is down.
    pub(super) fn look_again(&mut self, cx: &Context) {
        match of_disk(cx) {
            Some(more) => {
                self.unknown = false;
                self.present |= !more.is_empty();
                self.list.extend(more);
                *self = std::mem::take(self).without_own(cx);
            }
            // A database that cannot be read names no members. What the snapshot names was asked.
            None => self.unknown = cx.machine.files.is_database_open().unwrap_or(true),
        }
    }

    fn without_own(mut self, cx: &Context) -> Peers {
        let own = own(cx);
        // A lost member with loopback addresses alone was the only one: no other server could reach it.
        let was_alone =
            |p: &Peer| p.source == Source::SnapshotMember && !p.urls.is_empty() && p.addresses().is_empty();
        self.list.retain(|p| !own.is(&p.machine()) && !was_alone(p));
        self.list.sort_by(|a, b| (a.source, &a.name).cmp(&(b.source, &b.name)));
        // One member is named by several sources.
        let mut seen: Vec<Peer> = Vec::new();
        for peer in std::mem::take(&mut self.list) {
            let same = |p: &&mut Peer| p.name == peer.name;
            match seen.iter_mut().find(same) {
                Some(known) => {
                    known.urls.extend(peer.urls);
                    known.urls.sort();
                    known.urls.dedup();
                }
                None => seen.push(peer),
            }
        }
        self.list = seen;
        self
    }

    /// The members that have to rejoin: those of the present cluster; if it is not known, those of the snapshot.
    pub(super) fn members(&self) -> impl Iterator<Item = &Peer> {
        self.list.iter().filter(|p| !self.present || p.source != Source::SnapshotMember)
    }

    /// Names and addresses, for the report.
    pub(super) fn describe(&self) -> Vec<String> {
        self.members().map(Peer::describe).collect()
    }

    /// Fails unless it is known that no other member runs: a member that runs would go on with its own, diverging data.
    ///
    /// # Errors
    /// [`Code::OtherServersRunning`].
    pub(super) fn ensure_stopped(&self, cx: &Context, report: &mut Report) -> Result<()> {
        let urls: Vec<String> = self.list.iter().flat_map(|p| p.urls.clone()).collect();
        let answers: Vec<String> = match urls.is_empty() {
            true => vec![],
            false => {
                let asked = cx.machine.etcd.answers(&urls);
                asked.into_iter().filter(|(_, yes)| *yes).map(|(url, _)| url).collect()
            }
        };
        let running: Vec<String> = self
            .list
            .iter()
            .filter(|p| p.urls.iter().any(|u| answers.contains(u)))
            .map(Peer::describe)
            .collect();
        let silent: Vec<String> =
            self.list.iter().filter(|p| p.urls.is_empty()).map(Peer::describe).collect();
        let what = match (running.is_empty(), silent.is_empty()) {
            (true, true) => return Ok(()),
            (false, _) => format!("other servers of the cluster still run: {}", running.join(", ")),
            (true, false) => {
                format!(
                    "it is not known whether other servers still run, no address is known: {}",
                    silent.join(", ")
                )
            }
        };
        if cx.options.assume_others_stopped {
            report.warn(WarningCode::OtherServersRunning, what);
            return Ok(());
        }
        Err(Fault::new(Code::OtherServersRunning, what)
            .hint(format!(
                "Run 'systemctl disable --now {}' on each of them first. After the restore they rejoin with an empty \
                 database. If they are stopped or gone for good, use --assume-others-stopped.",
                cx.machine.files.unit
            ))
            .into())
    }

    /// What is to be done on the other machines.
    pub(super) fn tasks(&self, cx: &Context, content: Option<&Content>) -> Vec<Task> {
        let mut found: Vec<Machine> = self.members().map(Peer::machine).collect();
        found.extend(content.into_iter().flat_map(|c| &c.nodes).map(|n| {
            Machine {
                name: n.name.clone(),
                addresses: n
                    .addresses
                    .iter()
                    .filter(|a| a.kind != AddressKind::Hostname)
                    .map(|a| a.address.clone())
                    .collect(),
                role: match (n.etcd, n.control_plane) {
                    (true, _) => Role::Server,
                    (_, true) => Role::ControlPlane,
                    _ => Role::Agent,
                },
                source: Source::Node,
            }
        }));
        let own = own(cx);
        let merged: Vec<Merged> = runbook::merge(&own, found);
        let etcd = cx.machine.files.etcd().display().to_string();
        let old = cx.machine.files.old_database_prefix();
        let url = own.addresses.first().map(|a| match a.contains(':') {
            true => format!("https://[{a}]:{}", cx.cluster.https_port),
            false => format!("https://{a}:{}", cx.cluster.https_port),
        });
        let place = Place {
            unit: &cx.machine.files.unit,
            agent_unit: cx.cluster.agent_unit,
            etcd: &etcd,
            old: &old,
            url: url.as_deref(),
            config: cx.cluster.config,
        };
        runbook::runbook(&place, &merged)
    }
}

impl Peer {
    fn machine(&self) -> Machine {
        Machine {
            name: self.node().to_owned(),
            addresses: self.addresses(),
            role: Role::Server,
            source: self.source,
        }
    }
}
