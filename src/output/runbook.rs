// SPDX-License-Identifier: Apache-2.0
//! The tasks on the other machines of a cluster, for people: one block for each server, one for all agents.

use std::fmt::Write as _;

use super::escape::printable;
use crate::model::runbook::{Role, Task, When};

/// More names than this in one line help no one.
const MAX_NAMES: usize = 20;

/// The tasks before or after a restore; empty if there are none. A command is a line of its own, to be copied.
pub(super) fn text(tasks: &[Task], when: When) -> String {
    let mut out = String::new();
    let mut rest: Vec<&Task> = tasks.iter().filter(|task| task.when == when).collect();
    if rest.is_empty() {
        return out;
    }
    out.push_str(match when {
        When::Before => "Before the restore, on the other servers:\n",
        When::After => "After the restore, on the other machines, in this order:\n",
    });
    while let Some(first) = rest.first().copied() {
        // Servers come one after the other; tasks that may be done at the same time are one block.
        let together = first.role != Role::Server || when == When::Before;
        let is_same = |task: &Task| {
            together && task.commands == first.commands && task.role == first.role && task.here == first.here
        };
        let mut same: Vec<&Task> = Vec::new();
        let mut later: Vec<&Task> = Vec::new();
        for (i, task) in rest.iter().enumerate() {
            if i == 0 || is_same(task) { same.push(task) } else { later.push(task) }
        }
        let mut names: Vec<String> = same.iter().take(MAX_NAMES).map(|task| name(task)).collect();
        if same.len() > MAX_NAMES {
            names.push(format!("and {} more", same.len() - MAX_NAMES));
        }
        let place = if first.here { "on this server, for" } else { "on" };
        let _ = writeln!(
            out,
            "  {place} {} {}: {}",
            first.role.as_str(),
            names.join(", "),
            printable(&first.description)
        );
        for command in &first.commands {
            let _ = writeln!(out, "    {}", printable(command));
        }
        if !first.manual.is_empty() {
            let _ = writeln!(out, "    Without k3s-snapshot on that server:");
            for command in &first.manual {
                let _ = writeln!(out, "      {}", printable(command));
            }
        }
        rest = later;
    }
    out
}

fn name(task: &Task) -> String {
    match task.addresses.is_empty() {
        true => printable(&task.machine),
        false => format!("{} ({})", printable(&task.machine), printable(&task.addresses.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(when: When, role: Role, machine: &str, command: &str) -> Task {
        Task {
            when,
            machine: machine.to_owned(),
            addresses: vec!["10.0.0.2".to_owned()],
            role,
            description: "do it".to_owned(),
            commands: vec![command.to_owned()],
            manual: vec![],
            here: false,
        }
    }

    #[test]
    fn servers_come_one_by_one_and_agents_together() {
        let agents = (0..22).map(|n| task(When::After, Role::Agent, &format!("a{n}"), "command-of-agents"));
        let mut tasks: Vec<Task> = Vec::new();
        for name in ["s\u{1b}2", "s3"] {
            tasks.push(task(When::Before, Role::Server, name, "stop-it"));
            tasks.push(task(When::After, Role::Server, name, "rejoin-it"));
        }
        tasks.extend(agents);
        let before = text(&tasks, When::Before);
        assert!(!before.contains('\u{1b}'), "{before}");
        assert_eq!(before.matches("    stop-it\n").count(), 1);
        let after = text(&tasks, When::After);
        assert_eq!(after.matches("    rejoin-it\n").count(), 2, "{after}");
        assert_eq!(after.matches("command-of-agents").count(), 1);
        assert!(after.contains("a19 (10.0.0.2)") && !after.contains("a20"), "{after}");
        assert_eq!(text(&[], When::After), "");
    }
}
