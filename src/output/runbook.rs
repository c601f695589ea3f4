// SPDX-License-Identifier: Apache-2.0
//! The orders for the other machines of a cluster, for people: one block for each server, one for all agents.

use std::fmt::Write as _;

use super::escape::printable;
use crate::model::runbook::{Role, Task};

/// More names than this in a line tell nobody anything.
const NAMES: usize = 20;

/// What is to be done `before` or `after`; empty where nothing is. A command is a line of its own, to be copied.
pub(super) fn text(orders: &[Task], when: &str) -> String {
    let mut out = String::new();
    let mut rest: Vec<&Task> = orders.iter().filter(|o| o.when == when).collect();
    if rest.is_empty() {
        return out;
    }
    out.push_str(match when {
        "before" => "Before the restore, on the other servers:\n",
        _ => "After the restore, on the other machines, in this order:\n",
    });
    while let Some(first) = rest.first().copied() {
        // Servers come one after the other; what may be done at once is said once.
        let together = first.role != Role::Server || when == "before";
        let same = |o: &Task| together && o.commands == first.commands && o.role == first.role;
        let (now, later): (Vec<&Task>, Vec<&Task>) = rest
            .iter()
            .enumerate()
            .map(|(i, o)| (i == 0 || same(o), *o))
            .fold((vec![], vec![]), |(mut now, mut later), (mine, o)| {
                if mine {
                    now.push(o)
                } else {
                    later.push(o)
                }
                (now, later)
            });
        let mut names: Vec<String> = now.iter().take(NAMES).map(|o| name(o)).collect();
        if now.len() > NAMES {
            names.push(format!("and {} more", now.len() - NAMES));
        }
        let _ = writeln!(out, "  {} {}: {}", first.role.as_str(), names.join(", "), first.does);
        for command in &first.commands {
            let _ = writeln!(out, "    {}", printable(command));
        }
        rest = later;
    }
    out
}

fn name(order: &Task) -> String {
    match order.addresses.is_empty() {
        true => printable(&order.machine),
        false => format!("{} ({})", printable(&order.machine), printable(&order.addresses.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::runbook::{Machine, Place, runbook};

    #[test]
    fn servers_come_one_by_one_and_agents_together() {
        let place =
            Place { unit: "k3s.service", agent_unit: "k3s-agent.service", etcd: "/d", old: "/d-old-" };
        let machine =
            |name: &str, role| Machine { name: name.into(), addresses: vec!["10.0.0.2".into()], role };
        let agents = (0..22).map(|n| machine(&format!("a{n}"), Role::Agent));
        let servers = ["s\u{1b}2", "s3"].map(|n| machine(n, Role::Server));
        let all: Vec<Machine> = servers.into_iter().chain(agents).collect();
        let orders = runbook(&place, &all);
        let before = text(&orders, "before");
        assert!(
            !before.contains('\u{1b}') && before.contains("2 (10.0.0.2), s3 (10.0.0.2): stop K3s"),
            "{before}"
        );
        assert_eq!(before.matches("    systemctl stop k3s.service\n").count(), 1);
        let after = text(&orders, "after");
        assert_eq!(after.matches("    mv /d /d-old-$(date +%s)\n").count(), 2, "{after}");
        assert_eq!(after.matches("k3s-agent").count(), 1);
        assert!(after.contains("a19 (10.0.0.2), and 2 more: it joins"), "{after}");
        assert_eq!(text(&[], "after"), "");
    }
}
