// SPDX-License-Identifier: Apache-2.0
//! What an operator does on the other machines of a cluster, before one server is restored and after: as values, so that it
//! can be printed, reported, and run by a test as it is printed.
//!
//! Every text that comes from a snapshot is quoted in a command. A machine that cannot be distinguished from another one gets
//! no command that moves a database.

use serde::{Deserialize, Serialize};

use crate::util::shell_quote;

/// What a machine is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// When a task is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// Before the restore.
    Before,
    /// After the restore.
    After,
}

/// Where a fact about a machine comes from. The first source decides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The members that the live etcd lists.
    LiveMember,
    /// The members in the database at rest.
    StoredMember,
    /// The members in the snapshot. Since then, members may have been removed on purpose.
    SnapshotMember,
    /// A Node object in the snapshot.
    Node,
}

/// Another machine, as one source describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// The name of its node.
    pub name: String,
    /// Its addresses, if they are known.
    pub addresses: Vec<String>,
    /// What it is.
    pub role: Role,
    /// Where this comes from.
    pub source: Source,
}

/// The machine that is restored: every name and address by which a source may describe it.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Its node name by the rules of K3s, and the names of its etcd member.
    pub names: Vec<String>,
    /// The addresses of its interfaces.
    pub addresses: Vec<String>,
}

impl Own {
    /// Whether a source describes this machine.
    pub fn is(&self, machine: &Machine) -> bool {
        let named = |name: &String| {
            name.eq_ignore_ascii_case(&machine.name) || name.eq_ignore_ascii_case(node_of(&machine.name))
        };
        self.names.iter().any(named) || machine.addresses.iter().any(|a| self.addresses.contains(a))
    }
}

/// A machine after all sources were merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// What is known of it.
    pub machine: Machine,
    /// Other names that sources give to the same address: the machine cannot be distinguished from them.
    pub other_names: Vec<String>,
}

/// What is to be done for one machine, in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Before or after the restore.
    pub when: When,
    /// The name of the machine.
    pub machine: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// What it is.
    pub role: Role,
    /// What the commands do, and what to wait for.
    pub description: String,
    /// To be run on that machine as root, one after the other; the next one only if the one before has succeeded.
    pub commands: Vec<String>,
    /// The same without this program on that machine; empty if `commands` do not need it.
    #[serde(default)]
    pub manual: Vec<String>,
    /// Whether the commands are to be run on the restored server instead.
    #[serde(default)]
    pub here: bool,
}

/// What the commands are about: the same on every server, as far as it is known here.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The K3s unit.
    pub unit: &'a str,
    /// The unit of K3s on an agent.
    pub agent_unit: &'a str,
    /// The directory of the etcd database.
    pub etcd: &'a str,
    /// The name of a database that is set aside, before the seconds.
    pub old: &'a str,
    /// The URL under which other servers reach the restored one; `None` if no address is known.
    pub url: Option<&'a str>,
    /// The configuration file of K3s.
    pub config: &'a str,
}

/// The node of an etcd member: K3s names its members `<node>-<8 hex digits>`.
pub fn node_of(member: &str) -> &str {
    match member.rsplit_once('-') {
        Some((node, tail)) if tail.len() == 8 && tail.bytes().all(|b| b.is_ascii_hexdigit()) => node,
        _ => member,
    }
}

/// The host in a URL of etcd; `None` if it is the machine itself.
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

/// Merges what several sources say of the same machine, known by its name or by an address, ordered by role and name. The
/// machine that is restored is left out, whatever a source calls it.
pub fn merge(own: &Own, mut found: Vec<Machine>) -> Vec<Merged> {
    // The name that the live etcd uses comes before that of a Node object.
    found.sort_by_key(|m| m.source);
    let mut all: Vec<Merged> = Vec::new();
    for one in found.into_iter().filter(|m| !own.is(m)) {
        let same_name = |m: &Machine| m.name.eq_ignore_ascii_case(&one.name);
        let same_address = |m: &Machine| m.addresses.iter().any(|a| one.addresses.contains(a));
        match all.iter_mut().find(|m| same_name(&m.machine) || same_address(&m.machine)) {
            Some(known) => {
                if !same_name(&known.machine) && !is_unnamed(&one.name) {
                    known.other_names.push(one.name.clone());
                }
                known.machine.role = known.machine.role.min(one.role);
                for address in one.addresses {
                    if !known.machine.addresses.contains(&address) {
                        known.machine.addresses.push(address);
                    }
                }
            }
            None => all.push(Merged { machine: one, other_names: vec![] }),
        }
    }
    all.sort_by(|a, b| (a.machine.role, &a.machine.name).cmp(&(b.machine.role, &b.machine.name)));
    all
}

/// The name of a member that has none yet, and the name that a snapshot made by etcdutl has.
fn is_unnamed(name: &str) -> bool {
    name.starts_with("member ") || name == "default"
}

/// The tasks for these machines.
pub fn runbook(place: &Place, others: &[Merged]) -> Vec<Task> {
    let before = others.iter().filter(|m| m.machine.role == Role::Server).map(|m| stop(place, m));
    let after = others.iter().map(|m| match m.machine.role {
        Role::Server => rejoin(place, m),
        Role::ControlPlane => task(
            m,
            When::After,
            "restart K3s, so that it reads the restored data",
            vec![format!("systemctl restart {}", shell_quote(place.unit))],
        ),
        Role::Agent => task(
            m,
            When::After,
            "it reconnects by itself; restart K3s if it is not ready after some minutes",
            vec![format!("systemctl restart {}", shell_quote(place.agent_unit))],
        ),
    });
    let gone = others.iter().filter(|m| m.machine.source == Source::Node).map(|m| {
        let name = shell_quote(&m.machine.name);
        Task {
            here: true,
            ..task(
                m,
                When::After,
                "only if this machine no longer exists: remove its Node object and its password",
                vec![
                    format!("k3s kubectl delete node {name}"),
                    format!("k3s kubectl -n kube-system delete secret {name}.node-password.k3s"),
                ],
            )
        }
    });
    before.chain(after).chain(gone).collect()
}

fn task(m: &Merged, when: When, description: &str, commands: Vec<String>) -> Task {
    Task {
        when,
        machine: m.machine.name.clone(),
        addresses: m.machine.addresses.clone(),
        role: m.machine.role,
        description: description.to_owned(),
        commands,
        manual: vec![],
        here: false,
    }
}

fn stop(place: &Place, m: &Merged) -> Task {
    let unit = shell_quote(place.unit);
    task(
        m,
        When::Before,
        "stop K3s and keep it stopped over a reboot: a member that runs would go on with its own data",
        vec![format!("systemctl disable --now {unit}")],
    )
}

/// How a server joins again. A server that cannot be distinguished from another machine gets no command at all.
fn rejoin(place: &Place, m: &Merged) -> Task {
    let unknown_address = m.machine.addresses.is_empty();
    if !m.other_names.is_empty() || is_unnamed(&m.machine.name) || unknown_address {
        let mut names = vec![m.machine.name.clone()];
        names.extend(m.other_names.iter().cloned());
        let why = match unknown_address {
            true => format!("no address of '{}' is known", names.join("', '")),
            false => format!("the address is known by several names: '{}'", names.join("', '")),
        };
        let description =
            format!("{why}: find out which machine this is, then run on it: k3s-snapshot restore --rejoin");
        return task(m, When::After, &description, vec![]);
    }
    let unit = shell_quote(place.unit);
    let url = place.url.unwrap_or("https://RESTORED-SERVER:6443");
    let config = shell_quote(place.config);
    let manual = vec![
        format!(
            "grep -E '^(server|cluster-init):' {config}  # it must have 'server: {url}' and no cluster-init"
        ),
        format!("systemctl stop {unit}"),
        format!("mv -T {} {}$(date +%s)", shell_quote(place.etcd), shell_quote(place.old)),
        format!("systemctl enable --now {unit}"),
    ];
    Task {
        manual,
        ..task(
            m,
            When::After,
            "rejoin with an empty database; wait until it has joined before the next server",
            vec![
                format!("k3s-snapshot restore --rejoin --yes --server {}", shell_quote(url)),
                format!("systemctl enable {unit}"),
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        unit: "k3s.service",
        agent_unit: "k3s-agent.service",
        etcd: "/d/etcd",
        old: "/d/etcd-old-",
        url: Some("https://10.0.0.1:6443"),
        config: "/etc/rancher/k3s/config.yaml",
    };

    fn machine(name: &str, role: Role, addresses: &[&str], source: Source) -> Machine {
        Machine {
            name: name.into(),
            role,
            addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
            source,
        }
    }

    fn own() -> Own {
        Own {
            names: vec!["server-1".into(), "server-1-c066fa53".into()],
            addresses: vec!["10.0.0.1".into(), "fd00::1".into()],
        }
    }

    #[test]
    fn the_node_of_a_member_is_its_name_without_the_hash() {
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
    fn the_host_of_a_url_is_none_for_the_machine_itself() {
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
    fn the_restored_machine_is_never_another_one() {
        for (name, address) in [
            ("SERVER-1", "192.0.2.9"),
            ("was-server-1", "10.0.0.1"),
            ("a-old", "fd00::1"),
            ("server-1-1234abcd", "192.0.2.9"),
        ] {
            for source in [Source::LiveMember, Source::StoredMember, Source::Node] {
                let found = vec![machine(name, Role::Server, &[address], source)];
                assert_eq!(merge(&own(), found), [], "{name} {address}");
            }
        }
    }

    #[test]
    fn what_several_sources_describe_is_one_machine_with_the_name_of_the_live_member() {
        let found = vec![
            machine("server-2", Role::ControlPlane, &["10.0.0.2"], Source::Node),
            machine("server-2", Role::Server, &["10.0.0.2", "192.0.2.2"], Source::LiveMember),
            machine("member 2f", Role::Server, &["192.0.2.2"], Source::StoredMember),
            machine("b", Role::Agent, &["10.0.0.9"], Source::Node),
            machine("a", Role::Agent, &[], Source::Node),
        ];
        let names: Vec<_> = merge(&own(), found)
            .into_iter()
            .map(|m| (m.machine.name, m.machine.addresses.len(), m.machine.role, m.other_names.len()))
            .collect();
        assert_eq!(
            names,
            [
                ("server-2".to_owned(), 2, Role::Server, 0),
                ("a".to_owned(), 0, Role::Agent, 0),
                ("b".to_owned(), 1, Role::Agent, 0)
            ]
        );
    }

    #[test]
    fn a_machine_that_cannot_be_told_apart_gets_no_command_that_moves_a_database() {
        let ambiguous = vec![
            machine("server-3", Role::Server, &["10.0.0.3"], Source::LiveMember),
            machine("agent-reused", Role::Agent, &["10.0.0.3"], Source::Node),
        ];
        let unnamed = vec![machine("default", Role::Server, &["10.0.0.4"], Source::StoredMember)];
        let unknown = vec![machine("server-5", Role::Server, &[], Source::StoredMember)];
        for found in [ambiguous, unnamed, unknown] {
            let tasks = runbook(&PLACE, &merge(&own(), found));
            let after: Vec<&Task> = tasks.iter().filter(|t| t.when == When::After && !t.here).collect();
            assert_eq!(after.len(), 1);
            assert!(after.iter().all(|t| t.commands.is_empty() && t.manual.is_empty()), "{after:?}");
        }
    }

    #[test]
    fn every_task_comes_in_its_order() {
        let others = [
            machine("s", Role::Server, &["10.0.0.2"], Source::LiveMember),
            machine("c", Role::ControlPlane, &["10.0.0.3"], Source::Node),
            machine("a'b", Role::Agent, &["10.0.0.4"], Source::LiveMember),
        ];
        let tasks = runbook(&PLACE, &merge(&own(), others.to_vec()));
        let lines: Vec<String> = tasks
            .iter()
            .map(|t| format!("{:?} {} {} {}", t.when, t.here, t.machine, t.commands.join("; ")))
            .collect();
        assert_eq!(
            lines,
            [
                "Before false s systemctl disable --now k3s.service",
                "After false s k3s-snapshot restore --rejoin --yes --server https://10.0.0.1:6443; systemctl enable k3s.service",
                "After false c systemctl restart k3s.service",
                "After false a'b systemctl restart k3s-agent.service",
                "After true c k3s kubectl delete node c; k3s kubectl -n kube-system delete secret c.node-password.k3s",
            ]
        );
        assert!(tasks.iter().any(|t| t.manual.iter().any(|c| c.starts_with("mv -T /d/etcd "))));
        assert_eq!(runbook(&PLACE, &[]), []);
    }
}
