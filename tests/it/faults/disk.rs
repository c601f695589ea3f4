// SPDX-License-Identifier: Apache-2.0
//! Faults at the calls that concern files.

use std::path::Path;

use super::table::Table;
use super::world::{Command, World};
use super::{etcd, sample, try_all};
use crate::support::calls::{self, Call, calls};
use crate::support::require::{self, require};

const COMMANDS: [Command; 9] = [
    Command::Save,
    Command::SaveSqlite,
    Command::Compress,
    Command::Upload,
    Command::Prune,
    Command::PruneBucket,
    Command::Delete,
    Command::DeleteBucket,
    Command::Fetch,
];

/// The faults that a call can have. A plus sign means that all later calls fail too.
fn faults_of(call: &str) -> &'static [&'static str] {
    match call {
        "create" => &["kill", "after", "EIO", "ENOSPC", "EROFS", "EMFILE", "ENOSPC+", "EINTR"],
        "open" | "opendir" => &["kill", "EIO", "EACCES", "EMFILE", "ESTALE"],
        "write" => &["kill", "after", "term", "ENOSPC", "ENOSPC+", "EIO", "EINTR", "short", "EDQUOT"],
        "truncate" => &["kill", "after", "ENOSPC", "EIO"],
        "read" => &["kill", "EIO", "EINTR", "short", "ESTALE"],
        "fsync" => &["kill", "after", "term", "EIO", "EIO+", "ENOSPC", "EINVAL", "EDQUOT"],
        "link" | "rename" | "unlink" | "mkdir" | "chmod" => {
            &["kill", "after", "term", "ENOSPC", "EIO", "EIO+", "EROFS+", "EACCES", "ENOSPC+"]
        }
        "stat" | "readdir" | "realpath" => &["kill", "EIO", "EACCES", "ESTALE"],
        "lock" => &["kill", "after", "EIO", "EINTR", "ENOLCK"],
        other => panic!("a call without faults: {other}"),
    }
}

/// The calls of a command without a fault.
fn counted(world: &World<'_>, command: Command) -> Vec<Call> {
    let log = world.at("calls");
    let below = world.below();
    let below: Vec<&Path> = below.iter().map(|p| p.as_path()).collect();
    let run = world.run(world.tool(command).counted(&below, &log, None));
    assert_eq!(world.losses(command, &run, false), Vec::<String>::new(), "{run:#?}");
    let all = calls(&log);
    std::fs::remove_file(&log).unwrap();
    world.reset();
    assert!(all.len() > 10 && all.iter().enumerate().all(|(i, c)| c.number == i + 1), "{all:#?}");
    all
}

fn one(world: &World<'_>, command: Command, call: &Call, fault: &str, table: &Table) {
    let log = world.at("calls");
    let below = world.below();
    let below: Vec<&Path> = below.iter().map(|p| p.as_path()).collect();
    let run = world.run(world.tool(command).counted(&below, &log, Some((call.number, fault))));
    let made = calls(&log).into_iter().find(|c| c.failed);
    std::fs::remove_file(&log).unwrap();
    let name = made.as_ref().map_or("no fault", |_| fault);
    let at = made.map_or_else(|| format!("{call:?}"), |c| format!("{} {} '{}'", c.number, c.name, c.path));
    let mut wrong = world.losses(command, &run, name != "no fault");
    wrong.extend(world.after(command));
    table.add(command.as_str(), name, &run, &at, wrong);
    world.reset();
}

#[test]
fn a_file_call_that_fails_or_kills_loses_nothing() {
    require!(require::etcd_programs());
    require!(calls::library());
    let (etcd, data) = etcd();
    let table = Table::default();
    for (i, command) in COMMANDS.into_iter().enumerate() {
        let all = counted(&World::new(&etcd, &data), command);
        if std::env::var_os("FAULTS_SHOW").is_some() {
            eprintln!("{}: {all:#?}", command.as_str());
        }
        let points: Vec<(&Call, &str)> = all
            .iter()
            .flat_map(|call| faults_of(&call.name).iter().map(move |fault| (call, *fault)))
            .collect();
        // All of them take an hour; FAULTS_FROM=0, 1 and 2 together are all of them.
        let from = std::env::var("FAULTS_FROM").map_or(0, |from| from.parse().unwrap());
        let third: Vec<(&Call, &str)> = points.into_iter().skip((i + from) % 3).step_by(3).collect();
        let points = sample(third, 14, i * 7);
        try_all(&etcd, &data, 2, &points, &|world, (call, fault)| one(world, command, call, fault, &table));
    }
    table.finish(50);
}
