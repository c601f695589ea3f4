// SPDX-License-Identifier: Apache-2.0
//! Faults of the bucket at each request, and of etcd at many places of its answer.

use std::time::Duration;

use super::table::Table;
use super::world::{Command, World};
use super::{etcd, sample, try_all};
use crate::support::eventually;
use crate::support::front::Fault;
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};

const COMMANDS: [Command; 5] =
    [Command::Upload, Command::PruneBucket, Command::DeleteBucket, Command::Fetch, Command::List];

/// What is done at a request.
#[derive(Debug, Clone)]
enum At {
    /// A fault at this request.
    Once(Fault),
    /// The same at each request from this one on.
    On(Fault),
    /// The process gets this signal while the request is on its way.
    Signal(&'static str),
}

fn faults() -> Vec<(&'static str, At)> {
    let once = |what, fault| (what, At::Once(fault));
    let on = |what, fault| (what, At::On(fault));
    let wrong = "\"00000000000000000000000000000000\"";
    vec![
        once("error 500", Fault::Refuse(500, "InternalError")),
        once("error 503", Fault::Refuse(503, "SlowDown")),
        once("refused", Fault::Refuse(403, "AccessDenied")),
        once("not found", Fault::Refuse(404, "NoSuchBucket")),
        once("conflict", Fault::Refuse(409, "OperationAborted")),
        once("closed before", Fault::Reset),
        once("answer lost", Fault::Lose),
        once("answer cut", Fault::Cut),
        once("silent", Fault::Stall),
        once("answer stops", Fault::Hang),
        once("slow", Fault::Slow),
        once("closed after", Fault::HangUp),
        once("redirect", Fault::Redirect),
        once("wrong: garbage", Fault::Garbage),
        once("wrong: a web page", Fault::Page),
        once(
            "wrong: an empty list",
            Fault::Answer("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>".into()),
        ),
        once("wrong: other document", Fault::Answer("<html/>".into())),
        once("wrong: entity tag", Fault::Header("etag", wrong.into())),
        once(
            "wrong: checksum",
            Fault::Header("x-amz-checksum-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into()),
        ),
        on("error 503 forever", Fault::Refuse(503, "SlowDown")),
        on("refused forever", Fault::Refuse(403, "AccessDenied")),
        on("closed forever", Fault::Reset),
        on("silent forever", Fault::Stall),
        ("kill", At::Signal("KILL")),
        ("term", At::Signal("TERM")),
    ]
}

fn requests(world: &World<'_>, command: Command) -> Vec<String> {
    world.bucket.front.plan(&[]);
    let run = world.run(world.tool(command));
    let seen = world.bucket.front.seen().iter().map(|s| format!("{} {}", s.method, s.target)).collect();
    assert_eq!(world.losses(command, &run, false), Vec::<String>::new(), "{run:#?}");
    world.reset();
    seen
}

fn one(
    world: &World<'_>,
    command: Command,
    (n, request): (usize, &str),
    (what, at): &(&str, At),
    table: &Table,
) {
    let front = &world.bucket.front;
    let tool = world.tool(command).env("K3S_SNAPSHOT_S3_TIMEOUT", "500ms");
    let run = match at {
        At::Once(fault) => {
            front.plan(&[(n, fault.clone())]);
            world.run(tool)
        }
        At::On(fault) => {
            let all: Vec<(usize, Fault)> = (n..n + 100).map(|n| (n, fault.clone())).collect();
            front.plan(&all);
            world.run(tool)
        }
        At::Signal(signal) => {
            front.plan(&[(n, Fault::Hold)]);
            let started = tool.args(&["--report", "json"]).start();
            eventually("the request is on its way", Duration::from_secs(30), || front.held() > 0);
            started.process.signal(signal);
            started.finish()
        }
    };
    front.plan(&[]);
    let mut wrong = match what.starts_with("wrong: ") || *what == "not found" {
        true => world.losses_if_bucket_is_wrong(command, &run),
        false => world.losses(command, &run, true),
    };
    wrong.extend(world.after(command));
    table.add(command.as_str(), what, &run, &format!("request {n}, {request}"), wrong);
    world.reset();
}

#[test]
fn a_bucket_that_fails_at_any_request_loses_nothing() {
    require!(require::etcd_programs());
    let (etcd, data) = etcd();
    let table = Table::default();
    let faults = faults();
    for (i, command) in COMMANDS.into_iter().enumerate() {
        let all = requests(&World::new(&etcd, &data), command);
        let points: Vec<_> = faults
            .iter()
            .flat_map(|fault| all.iter().enumerate().map(move |(n, r)| ((n, r.as_str()), fault)))
            .collect();
        let points = sample(points, 23, i * 5);
        try_all(&etcd, &data, 6, &points, &|world, (request, fault)| {
            one(world, command, *request, fault, &table)
        });
    }
    table.finish(20);
}

#[test]
fn an_etcd_that_is_cut_or_silent_anywhere_loses_nothing() {
    require!(require::etcd_programs());
    let (etcd, data) = etcd();
    let table = Table::default();
    let endpoint = |proxy: &Proxy| format!("https://127.0.0.1:{}", proxy.port());
    let saves = [Command::Save, Command::Compress];
    let total = {
        let world = World::new(&etcd, &data);
        let proxy = Proxy::to(etcd.root.ports.client, Mode::Forward);
        let run = world.run(world.tool(Command::Save).args(&["--etcd-endpoints", &endpoint(&proxy)]));
        assert_eq!(world.losses(Command::Save, &run, false), Vec::<String>::new(), "{run:#?}");
        proxy.from_server()
    };
    let mut points =
        vec![("silent at once", Mode::Stall), ("cut at once", Mode::Cut), ("slow", Mode::Rate(total))];
    // Close to each other at the beginning, where handshakes and small answers are.
    let steps = (0..30).map(|i| i * 200).chain((1..30).map(|i| total * i / 30)).chain([total - 1, total]);
    points.extend(steps.flat_map(|at| [("silent", Mode::StallAfter(at)), ("cut", Mode::CutAfter(at))]));
    for (i, command) in saves.into_iter().enumerate() {
        let points = sample(points.clone(), 9, i * 4);
        try_all(&etcd, &data, 4, &points, &|world, (what, mode)| {
            let proxy = Proxy::to(etcd.root.ports.client, *mode);
            let run = world.run(world.tool(command).args(&["--etcd-endpoints", &endpoint(&proxy)]));
            let mut wrong = world.losses(command, &run, true);
            wrong.extend(world.after(command));
            table.add(
                command.as_str(),
                &format!("etcd {what}"),
                &run,
                &format!("{mode:?} of {total}"),
                wrong,
            );
            world.reset();
        });
    }
    table.finish(10);
}

#[test]
fn two_runs_at_once_lose_nothing() {
    use Command::{Compress, Delete, DeleteBucket, Fetch, Prune, PruneBucket, Save, Upload, Verify};
    require!(require::etcd_programs());
    let (etcd, data) = etcd();
    let table = Table::default();
    let pairs = [
        (Save, Save),
        (Save, Compress),
        (Save, Prune),
        (Save, Delete),
        (Upload, PruneBucket),
        (Upload, Upload),
        (Upload, DeleteBucket),
        (Prune, Prune),
        (Prune, Delete),
        (Delete, Delete),
        (PruneBucket, DeleteBucket),
        (PruneBucket, PruneBucket),
        (Fetch, PruneBucket),
        (Fetch, Fetch),
        (Verify, Prune),
        (Verify, Save),
        (Verify, Delete),
    ];
    let points: Vec<(Command, Command, u64)> =
        pairs.iter().flat_map(|(a, b)| (0..12).map(|delay| (*a, *b, delay))).collect();
    let points = sample(points, 13, 0);
    try_all(&etcd, &data, 2, &points, &|world, (a, b, delay)| {
        // The new ones are of another group, which prune does not touch.
        let start = |command: Command| {
            let tool = world.tool(command).args(&["--report", "json"]);
            let saves = matches!(command, Save | Compress | Upload);
            if saves { tool.args(&["--name", "other"]) } else { tool }.start()
        };
        let first = start(*a);
        std::thread::sleep(Duration::from_millis(delay * 15));
        let second = start(*b);
        let runs = [(*a, first.finish()), (*b, second.finish())];
        for (command, run) in runs {
            let other = if command == *a { *b } else { *a };
            let mut wrong = world.losses_of_two(command, other, &run);
            if command == *b {
                wrong.extend(world.after_two());
            }
            table.add(
                &format!("{} + {}", a.as_str(), b.as_str()),
                "two at once",
                &run,
                &format!("{delay}"),
                wrong,
            );
        }
        world.reset();
    });
    table.finish(10);
}
