// SPDX-License-Identifier: Apache-2.0
//! The method `copy`: a real etcd on file systems that cannot clone, while writers never pause, etcd compacts all the time, and a
//! defragmentation starts in the middle of a copy. `LONG=1` makes 30 copies on ext4 and 10 on each other file system.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use k3s_snapshot::error::Code;
use sha2::{Digest, Sha256};

use crate::clone::{assert_has_acknowledged_writes, check, file_of, row_of, save};
use crate::support::cli::{Tool, text};
use crate::support::etcd::Etcd;
use crate::support::eventually;
use crate::support::k3s_root::Layout;
use crate::support::proxy::{Mode, Proxy};
use crate::support::require::{self, require};
use crate::support::volume::Volume;
use crate::support::writers::Writers;

/// With this limit, a copy of the test database takes about four seconds.
const SLOW: [&str; 4] = ["--method", "copy", "--rate-limit", "16MiB"];

/// What etcd logs when it begins to send a snapshot.
const SENDING: &str = "sending database snapshot to client";

/// An etcd below this directory with a database of about 70 MB.
fn etcd_in(path: &Path) -> Etcd {
    let layout = Layout { token: "labtoken".into(), under: path.into(), ..Layout::default() };
    let etcd = Etcd::start_with(layout);
    etcd.bootstrap("labtoken");
    etcd.fill(8_000, 8_000);
    etcd
}

fn database(etcd: &Etcd) -> PathBuf {
    etcd.root.server().join("db/etcd/member/snap/db")
}

/// How many snapshots etcd has begun to send.
fn snapshots_sent(etcd: &Etcd) -> usize {
    etcd.log().matches(SENDING).count()
}

/// Compacts every half second until `end`.
fn compact_until(end: &AtomicBool, etcd: &Etcd, writers: &Writers) {
    while !end.load(SeqCst) {
        // While a defragmentation waits, etcd does not answer.
        let _ = etcd.ctl(&["compact".to_owned(), (writers.acknowledged() - 50).to_string()]);
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Makes copies under load, each with a defragmentation in its middle. All are verified and current.
fn copies_under_load(etcd: &Etcd, rounds: usize, args: &[&str]) {
    let writers = Writers::start(etcd, 4);
    eventually("all write", Duration::from_secs(30), || writers.acknowledged() > 300);
    let end = AtomicBool::new(false);
    let dir = args.iter().skip_while(|a| **a != "--dir").nth(1).map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| etcd.root.snapshots());
    let last = std::thread::scope(|scope| {
        scope.spawn(|| compact_until(&end, etcd, &writers));
        let mut last = None;
        for round in 0..rounds {
            let before = (writers.acknowledged(), fs::metadata(database(etcd)).unwrap().ino());
            let sent = snapshots_sent(etcd);
            let tool = Tool::new("save").on(&etcd.root).args(&SLOW).args(args).args(&["--report", "json"]);
            let started = tool.deadline(Duration::from_secs(180)).start();
            eventually("the copy has begun", Duration::from_secs(60), || snapshots_sent(etcd) > sent);
            std::thread::sleep(Duration::from_millis(700));
            let defrag = etcd.ctl(&["--command-timeout=120s", "defrag"]);
            let run = started.finish();
            assert!(defrag.status.success(), "{defrag:?}");
            let row = check(run, before.0);
            assert_eq!(row["method"], "copy", "copy {round}: {row}");
            // The file was replaced, but only after the copy.
            assert_ne!(fs::metadata(database(etcd)).unwrap().ino(), before.1, "copy {round}");
            let file = dir.join(text(&row["name"]));
            if round + 1 < rounds {
                fs::remove_file(&file).unwrap();
            }
            last = Some((file, row["revision"].as_i64().unwrap()));
        }
        end.store(true, SeqCst);
        last.unwrap()
    });
    assert_has_acknowledged_writes(&last.0, last.1, &writers.stop());
}

fn rounds(normal: usize, long: usize) -> usize {
    if std::env::var_os("LONG").is_some_and(|v| v == "1") { long } else { normal }
}

#[test]
fn ext4_copies_under_load_with_a_defragmentation_are_verified_current_and_restorable() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    copies_under_load(&etcd_in(&volume.path()), rounds(2, 30), &[]);
}

#[test]
fn copies_under_load_on_xfs_without_reflink_and_on_tmpfs_are_verified() {
    require!(require::etcd_programs());
    for kind in ["xfs-without-reflink", "tmpfs"] {
        let volume = require!(Volume::mount(kind));
        copies_under_load(&etcd_in(&volume.path()), rounds(1, 10), &[]);
    }
}

#[test]
fn copies_under_load_from_disk_to_disk_are_verified() {
    require!(require::etcd_programs());
    let from = require!(Volume::mount("xfs"));
    let to = require!(Volume::mount("ext4"));
    let dir = to.path().join("snapshots");
    fs::create_dir(&dir).unwrap();
    copies_under_load(&etcd_in(&from.path()), rounds(1, 10), &["--dir", dir.to_str().unwrap()]);
}

/// What makes the copies above valid is the open snapshot: the same copy without it is corrupt.
#[test]
fn copy_without_an_open_snapshot_is_found_corrupt() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let etcd = etcd_in(&volume.path());
    let writers = Writers::start(&etcd, 4);
    eventually("all write", Duration::from_secs(30), || writers.acknowledged() > 300);
    let end = AtomicBool::new(false);
    let mut copy = std::thread::scope(|scope| {
        scope.spawn(|| compact_until(&end, &etcd, &writers));
        let file = fs::File::open(database(&etcd)).unwrap();
        // The snapshot ends with its stream, before the copy begins.
        let (head, left) = etcd.client(async |client| {
            let first = client.snapshot().await?.message().await?.unwrap();
            Ok((first.blob().to_vec(), first.remaining_bytes()))
        });
        let mut copy = head.clone();
        copy.resize(head.len() + left as usize, 0);
        for (i, piece) in copy[head.len()..].chunks_mut(1 << 20).enumerate() {
            file.read_exact_at(piece, (head.len() + (i << 20)) as u64).unwrap();
            std::thread::sleep(Duration::from_millis(60));
        }
        end.store(true, SeqCst);
        copy
    });
    drop(writers.stop());
    copy.extend_from_slice(&Sha256::digest(&copy));
    let name = "copy-n-1795335110";
    fs::write(etcd.root.snapshots().join(name), copy).unwrap();
    let run = Tool::new("verify").on(&etcd.root).arg(name).report().fails(Code::SnapshotCorrupt);
    assert!(!run.findings().contains(&"trailer".to_owned()), "only pages are corrupt: {run:#?}");
}

fn bytes_sent(etcd: &Etcd) -> f64 {
    let metrics = etcd.get_plain("/metrics").unwrap();
    let line = metrics.lines().find(|l| l.starts_with("etcd_network_client_grpc_sent_bytes_total ")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn copy_is_equal_to_a_stream_and_etcd_sends_next_to_nothing() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let etcd = etcd_in(&volume.path());
    etcd.del("/registry/pods/ns-01/pod-0000001");
    etcd.compact(etcd.revision() - 2);
    // Until etcd has committed and finished the compaction, each save would be of another revision.
    std::thread::sleep(Duration::from_millis(500));
    // On the wire: after the save has closed its connection, etcd can count messages that it no longer sends, 2.5 MB of them in
    // one run.
    let proxy = behind_a_proxy(&etcd);
    let copy = row_of(&save(&etcd, &[]).expect(0));
    let sent = proxy.from_server();
    assert_eq!((&copy["method"], &copy["state"]), (&"copy".into(), &"verified".into()), "{copy}");
    // The reason why it is no clone.
    assert!(text(&copy["method_reason"]).contains("EOPNOTSUPP"), "{copy}");
    // The first bytes, the confirmation, and a window.
    assert!((1 << 20..2 << 20).contains(&sent), "etcd sent {sent} bytes of {}", copy["size"]);
    let stream = row_of(&save(&etcd, &["--method", "stream"]).expect(0));
    assert_eq!(stream["method"], "stream");
    assert!(copy["sha256"] == stream["sha256"] || !require::snapshots_repeat(), "{copy}, {stream}");
    assert_eq!(copy["revision"], stream["revision"]);
    let zip = row_of(&save(&etcd, &["--snapshot-compress", "--name", "z"]).expect(0));
    assert_eq!(zip["method"], "copy");
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

/// A copy is confirmed by bytes that etcd had not sent before: the first 128 KiB and 1 MiB more.
#[test]
fn etcd_sends_less_unread_than_what_confirms_a_copy() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let etcd = etcd_in(&volume.path());
    let (before, sent) = (bytes_sent(&etcd), snapshots_sent(&etcd));
    let started = Tool::new("save").on(&etcd.root).args(&SLOW).args(&["--report", "json"]).start();
    eventually("the copy has begun", Duration::from_secs(20), || snapshots_sent(&etcd) > sent);
    std::thread::sleep(Duration::from_secs(2));
    let unread = bytes_sent(&etcd) - before;
    let row = row_of(&started.finish().expect(0));
    assert_eq!(row["method"], "copy", "{row}");
    assert!(bytes_sent(&etcd) - before > unread, "the copy had ended");
    let confirmed = (128 << 10) + (1 << 20);
    assert!(unread > 0.0 && unread < f64::from(confirmed), "etcd sent {unread} bytes unread");
}

/// A server ends a connection that does not answer its pings. The unread stream answers them.
#[test]
fn copy_is_not_interrupted_by_the_keep_alive_of_the_server() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let layout = Layout { under: volume.path(), ..Layout::default() };
    let layout = ["grpc-keepalive-interval", "grpc-keepalive-timeout"]
        .iter()
        .fold(layout, |layout, key| layout.etcd_arg(key, "1000000000"));
    let etcd = Etcd::start_with(layout);
    etcd.fill(8_000, 8_000);
    // Four seconds: a ping per second, and a second to answer it.
    let run = save(&etcd, &SLOW).expect(0);
    let row = row_of(&run);
    assert_eq!((&row["method"], &row["state"]), (&"copy".into(), &"verified".into()), "{row}");
    assert!(run.wall > Duration::from_secs(3), "{:?}", run.wall);
}

/// Bytes that system calls read from this file, by the lines of `strace -y`.
fn bytes_read(trace: &Path, file: &Path) -> u64 {
    let name = format!("<{}>", file.display());
    let trace = fs::read_to_string(trace).unwrap();
    let lines = trace.lines().filter(|line| line.contains(&name));
    lines.filter_map(|line| line.rsplit(" = ").next()?.split(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn copy_and_clone_as_a_zip_read_the_database_once() {
    require!(require::etcd_programs());
    require!(require::program("strace"));
    for (kind, method) in [("ext4", "copy"), ("xfs", "clone")] {
        let volume = require!(Volume::mount(kind));
        let etcd = etcd_in(&volume.path());
        let trace = etcd.root.path().join("trace");
        let strace = [
            "strace",
            "-f",
            "-qq",
            "-y",
            "-s",
            "0",
            "-e",
            "trace=read,readv,pread64,preadv,preadv2,fdatasync",
            "-o",
        ];
        let args = ["--method", method, "--snapshot-compress", "--report", "json"];
        let before = volume.bytes_read();
        let tool = Tool::new("save").on(&etcd.root).args(&args);
        let row = row_of(&tool.under(&[&strace[..], &[trace.to_str().unwrap()]].concat()).run().expect(0));
        let from_disk = volume.bytes_read() - before;
        assert_eq!((&row["method"], &row["state"]), (&method.into(), &"verified".into()), "{row}");
        let plain = ctl_size(&etcd, &row);
        let read = bytes_read(&trace, &database(&etcd));
        // A copy has the first bytes from etcd; the kernel makes a clone.
        let wanted = if method == "copy" { plain - (256 << 10)..plain } else { 0..1 };
        assert!(wanted.contains(&read), "{method}: {read} bytes of {plain} were read from the database");
        // From the disk, a clone is read once: its checksum, its structure and the zip share the page cache.
        assert!(from_disk < plain + plain / 10, "{method}: {from_disk} bytes of {plain} came from the disk");
    }
}

/// Bytes of the snapshot in a zip.
fn ctl_size(etcd: &Etcd, row: &serde_json::Value) -> u64 {
    let zip = fs::File::open(file_of(etcd, row)).unwrap();
    zip::ZipArchive::new(zip).unwrap().by_index(0).unwrap().size()
}

#[test]
fn small_database_is_received_as_a_stream_with_a_reason() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let etcd = Etcd::start_with(Layout { under: volume.path(), ..Layout::default() });
    let mut copies = 0;
    for kib in [0, 100, 700, 1200, 1500, 1700, 1900, 2100, 2400, 3000] {
        etcd.fill(kib / 4, 4_000);
        let row = row_of(&save(&etcd, &["--method", "copy"]).expect(0));
        // Above the limit it must be more than what etcd sends unread, else it was no copy.
        let is_small = row["size"].as_u64().unwrap() < 2 << 20;
        let method = if is_small { "stream" } else { "copy" };
        assert_eq!((&row["method"], &row["state"]), (&method.into(), &"verified".into()), "{row}");
        assert_eq!(row["method_reason"].is_string(), is_small, "{row}");
        copies += usize::from(!is_small);
    }
    assert!(copies > 0);
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
}

#[test]
fn copy_of_an_etcd_that_may_be_remote_is_refused_and_auto_streams() {
    require!(require::etcd_programs());
    let etcd = etcd_in(Path::new(""));
    let endpoint = etcd.endpoint();
    let args = ["--etcd-endpoints", &endpoint];
    let run = save(&etcd, &[&args[..], &["--method", "copy"]].concat());
    run.fails(Code::CopyUnsupported).with_hint();
    assert_eq!(etcd.root.snapshot_names(), [""; 0]);
    assert_eq!(row_of(&save(&etcd, &args).expect(0))["method"], "stream");
}

/// Between etcd and the save there is a proxy, as the configuration of etcd has it.
fn behind_a_proxy(etcd: &Etcd) -> Proxy {
    let proxy = Proxy::to(etcd.root.ports.client, Mode::Forward);
    let config = fs::read_to_string(etcd.root.etcd_config()).unwrap();
    let (old, new) = (etcd.root.ports.client.to_string(), proxy.port().to_string());
    fs::write(etcd.root.etcd_config(), config.replace(&old, &new)).unwrap();
    proxy
}

#[test]
fn copy_is_discarded_if_the_snapshot_of_etcd_ends_before_the_copy() {
    require!(require::etcd_programs());
    let volume = require!(Volume::mount("ext4"));
    let mut etcd = etcd_in(&volume.path());
    let proxy = behind_a_proxy(&etcd);
    let start = |args: &[&str]| {
        let sent = snapshots_sent(&etcd);
        let tool = Tool::new("save").on(&etcd.root).args(args).args(&["--report", "json"]);
        let started = tool.start();
        eventually("the copy has begun", Duration::from_secs(20), || snapshots_sent(&etcd) > sent);
        std::thread::sleep(Duration::from_millis(500));
        started
    };
    // The connection is cut: the messages that had arrived before do not count.
    let started = start(&SLOW);
    proxy.cut_now();
    started.finish().fails(Code::CopyInterrupted).with_hint();
    // It stalls.
    let started = start(&[&SLOW[..], &["--stall-timeout", "1s"]].concat());
    proxy.set(Mode::Stall);
    started.finish().fails(Code::CopyInterrupted);
    proxy.set(Mode::Forward);
    assert_eq!(etcd.root.snapshot_names(), [""; 0]);
    // With the method auto, etcd streams then.
    let started = start(&["--rate-limit", "16MiB"]);
    proxy.cut_now();
    let row = row_of(&started.finish().expect(0));
    assert_eq!((&row["method"], &row["state"]), (&"stream".into(), &"verified".into()), "{row}");
    fs::remove_file(file_of(&etcd, &row)).unwrap();
    // etcd is killed and starts again during the copy.
    let started = start(&SLOW);
    etcd.kill();
    let port = proxy.port().to_string();
    drop(proxy);
    let config = fs::read_to_string(etcd.root.etcd_config()).unwrap();
    let own = etcd.root.ports.client.to_string();
    fs::write(etcd.root.etcd_config(), config.replace(&port, &own)).unwrap();
    etcd.restart();
    started.finish().fails(Code::CopyInterrupted);
    assert_eq!(etcd.root.snapshot_names(), [""; 0]);
}
