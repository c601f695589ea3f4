// SPDX-License-Identifier: Apache-2.0
//! The other machines of the cluster: as the snapshot names them, as the live etcd does, and what is to be done on them.

use super::check::other;
use super::{Machine, Request};
use crate::inspect::{AddressKind, Content};
use crate::model::runbook::{self, Place, Role, Task, host_of, node_of};

/// Another member of etcd: its name, and where clients reach it.
pub(super) type Member = (String, Vec<String>);

/// The orders for all other machines that anybody knows of.
pub(super) fn orders(
    req: &Request,
    machine: &Machine,
    content: Option<&Content>,
    live: &[Member],
) -> Vec<Task> {
    let member = |(name, urls): &Member| runbook::Machine {
        name: node_of(name).to_owned(),
        addresses: urls.iter().filter_map(|u| host_of(u)).map(str::to_owned).collect(),
        role: Role::Server,
    };
    let mut said: Vec<runbook::Machine> = Vec::new();
    if let Some(content) = content {
        said.extend(content.nodes.iter().map(|n| {
            runbook::Machine {
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
            }
        }));
        let members = content.facts.members.iter();
        said.extend(
            members.map(|m| member(&other(m.id, m.name.clone(), m.client_urls.clone(), m.peer_urls.clone()))),
        );
    }
    said.extend(live.iter().map(member));
    let etcd = machine.site.etcd().display().to_string();
    let old = machine.site.old();
    let place = Place { unit: &machine.site.unit, agent_unit: req.agent_unit, etcd: &etcd, old: &old };
    runbook::runbook(&place, &runbook::merge(req.node, said))
}
