// SPDX-License-Identifier: Apache-2.0
//! What an operator does on the other machines of a cluster, before one server is restored and after: as values, so that it
//! can be printed, reported, and run by a test as it is printed.
//!
//! The commands name a unit and a folder and nothing that a snapshot says: names out of a snapshot are only shown.

use serde::Serialize;

use crate::util::shell_quote;

/// What a machine is to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A server with a member of etcd.
    Server,
    /// A server without etcd.
    ControlPlane,
    /// An agent.
    Agent,
}

impl Role {
    /// The word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::ControlPlane => "control-plane",
            Role::Agent => "agent",
        }
    }
}

/// Another machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The name of its node.
    pub name: String,
    /// Where it is reached, as far as somebody said so.
    pub addresses: Vec<String>,
    /// What it is.
    pub role: Role,
}

/// What is to be done on one machine, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Task {
    /// `before` or `after` the restore.
    pub when: &'static str,
    /// The name of the machine.
    pub machine: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// What it is.
    pub role: Role,
    /// What it is about, and what to wait for.
    pub does: &'static str,
    /// To be run there as root, one after the other; the next only where the one before has succeeded.
    pub commands: Vec<String>,
}

/// What the commands are about: the same on every server, as far as it is known here.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// K3s's unit.
    pub unit: &'a str,
    /// Its unit on an agent.
    pub agent_unit: &'a str,
    /// The folder of etcd's database.
    pub etcd: &'a str,
    /// What a database that was moved aside is called, before the seconds.
    pub old: &'a str,
}

/// The member of etcd that K3s calls `<node>-<8 hex digits>` is that node's.
pub fn node_of(member: &str) -> &str {
    match member.rsplit_once('-') {
        Some((node, tail)) if tail.len() == 8 && tail.bytes().all(|b| b.is_ascii_hexdigit()) => node,
        _ => member,
    }
}

/// The host in a URL of etcd; none where it leads nowhere but to the machine itself.
pub fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or(rest);
    let host = match rest.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(v6),
        None => rest.rsplit_once(':').map_or(rest, |(host, _)| host),
    };
    let itself = host == "localhost" || host == "::1" || host.starts_with("127.");
    (!host.is_empty() && !itself).then_some(host)
}

/// Brings what several sources say of the same machine together, known by its name or an address, in the order of roles and
/// names. The machine that is restored, `here`, is no other one.
pub fn merge(here: &str, said: Vec<Machine>) -> Vec<Machine> {
    let mut all: Vec<Machine> = Vec::new();
    for one in said {
        let same = |m: &Machine| m.name == one.name || m.addresses.iter().any(|a| one.addresses.contains(a));
        match all.iter_mut().find(|m| same(m)) {
            Some(known) => {
                known.role = known.role.min(one.role);
                for address in one.addresses {
                    if !known.addresses.contains(&address) {
                        known.addresses.push(address);
                    }
                }
            }
            None => all.push(one),
        }
    }
    all.retain(|m| m.name != here);
    all.sort_by(|a, b| (a.role, &a.name).cmp(&(b.role, &b.name)));
    all
}

/// The orders for these machines.
pub fn runbook(place: &Place, others: &[Machine]) -> Vec<Task> {
    let (unit, agent) = (shell_quote(place.unit), shell_quote(place.agent_unit));
    let order = |when, machine: &Machine, does, commands| Task {
        when,
        machine: machine.name.clone(),
        addresses: machine.addresses.clone(),
        role: machine.role,
        does,
        commands,
    };
    let before = others.iter().filter(|m| m.role == Role::Server).map(|m| {
        let does = "stop K3s: a member that still runs would go on with its own data";
        order("before", m, does, vec![format!("systemctl stop {unit}")])
    });
    let after = others.iter().map(|m| match m.role {
        Role::Server => order(
            "after",
            m,
            "move its database aside, nothing else below server/db, and start K3s: it joins again with an empty one. The start \
             ends when it has joined; only then the next server",
            vec![
                format!("systemctl stop {unit}"),
                format!("mv {} {}$(date +%s)", shell_quote(place.etcd), shell_quote(place.old)),
                format!("systemctl start {unit}"),
            ],
        ),
        Role::ControlPlane => order(
            "after",
            m,
            "it has no database; start K3s anew so that it reads the restored one",
            vec![format!("systemctl restart {unit}")],
        ),
        Role::Agent => order(
            "after",
            m,
            "it joins again by itself; if it does not within some minutes, start K3s anew",
            vec![format!("systemctl restart {agent}")],
        ),
    });
    before.chain(after).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place =
        Place { unit: "k3s.service", agent_unit: "k3s-agent.service", etcd: "/d/etcd", old: "/d/etcd-old-" };

    fn machine(name: &str, role: Role, addresses: &[&str]) -> Machine {
        Machine { name: name.into(), role, addresses: addresses.iter().map(|a| (*a).to_owned()).collect() }
    }

    #[test]
    fn a_member_s_name_is_its_node_s() {
        for (member, node) in [
            ("server-1-0a1b2c3d", "server-1"),
            ("server-1", "server-1"),
            ("a-b-deadbeef", "a-b"),
            ("a-deadbeex", "a-deadbeex"),
            ("deadbeef", "deadbeef"),
            ("", ""),
        ] {
            assert_eq!(node_of(member), node, "{member}");
        }
    }

    #[test]
    fn the_host_of_a_url() {
        for (url, host) in [
            ("https://10.0.0.2:2379", Some("10.0.0.2")),
            ("https://[fd00::2]:2379/x", Some("fd00::2")),
            ("name:2379", Some("name")),
            ("https://127.0.0.1:2379", None),
            ("https://[::1]:2379", None),
            ("", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn who_is_said_twice_is_one_machine_and_who_is_restored_is_no_other() {
        let said = vec![
            machine("b", Role::Agent, &["10.0.0.9"]),
            machine("server-2", Role::ControlPlane, &["10.0.0.2"]),
            machine("server-2", Role::Server, &["10.0.0.2", "192.0.2.2"]),
            machine("server-1", Role::Server, &["10.0.0.1"]),
            // Members of etcd that have no name yet.
            machine("the member 1f", Role::Server, &["10.0.0.1"]),
            machine("the member 2f", Role::Server, &["192.0.2.2"]),
            machine("a", Role::Agent, &[]),
        ];
        let want = [
            machine("server-2", Role::Server, &["10.0.0.2", "192.0.2.2"]),
            machine("a", Role::Agent, &[]),
            machine("b", Role::Agent, &["10.0.0.9"]),
        ];
        assert_eq!(merge("server-1", said), want);
    }

    #[test]
    fn the_orders_come_in_their_order_and_move_only_the_database() {
        let others = [("s", Role::Server), ("c", Role::ControlPlane), ("a", Role::Agent)]
            .map(|(n, r)| machine(n, r, &[]));
        let all = runbook(&PLACE, &others);
        let lines: Vec<String> =
            all.iter().map(|o| format!("{} {} {}", o.when, o.machine, o.commands.join("; "))).collect();
        assert_eq!(
            lines,
            [
                "before s systemctl stop k3s.service",
                "after s systemctl stop k3s.service; mv /d/etcd /d/etcd-old-$(date +%s); systemctl start k3s.service",
                "after c systemctl restart k3s.service",
                "after a systemctl restart k3s-agent.service",
            ]
        );
        assert_eq!(runbook(&PLACE, &[]), []);
    }
}
