// SPDX-License-Identifier: Apache-2.0
//! Another cluster id in the write-ahead log of an etcd that does not run: logs of every layout, corrupt logs, and a real
//! etcd with running members of the lost cluster. `LONG=1` tries many more logs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k3s_snapshot::error::{Code, Kind, code_of, kind_of};
use k3s_snapshot::etcd_files::{Fence, Fenced, WalInfo, WalScan, fence, wal_info};
use proptest::prelude::{
    Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use crate::support::ctl;
use crate::support::etcd::{Etcd, START};
use crate::support::eventually;
use crate::support::k3s_root::Layout;
use crate::support::ports::Ports;
use crate::support::require::{self, require};
use crate::wal_writer::{self, ENTRY, METADATA, SNAPSHOT, STATE, Writer, entry, numbers};

// --- Logs of every layout

#[derive(Debug, Clone)]
struct Case {
    node: u64,
    cluster: u64,
    new: u64,
    /// The checksum at the beginning of the first file. It is not 0 if etcd has deleted earlier files.
    crc: u32,
    /// For each file, the lengths of the data of its entries.
    files: Vec<Vec<usize>>,
    /// Zeros after the last record of the last file.
    behind: usize,
}

fn ids() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 1..300_u64, Just(1_u64), Just(u64::MAX)].prop_map(|id| id.max(1))
}

fn cases() -> impl Strategy<Value = Case> {
    let len = prop_oneof![20 => 0..200_usize, 5 => 200..6000_usize, 1 => 250_000..300_000_usize, 1 => Just(2 << 20)];
    let files = proptest::collection::vec(proptest::collection::vec(len, 0..25), 1..4);
    let behind = prop_oneof![Just(0_usize), 1..40_usize, Just(90_000)].prop_map(|words| 8 * words);
    (ids(), ids(), ids(), prop_oneof![Just(0_u32), any::<u32>()], files, behind)
        .prop_map(|(node, cluster, new, crc, files, behind)| Case { node, cluster, new, crc, files, behind })
}

impl Case {
    /// The files and their facts.
    fn log(&self) -> (Vec<Vec<u8>>, WalInfo) {
        let metadata = numbers(&[self.node, self.cluster]);
        let (mut files, mut crc, mut index, mut records) = (Vec::new(), self.crc, 0, 0);
        let mut term = 0;
        for (i, entries) in self.files.iter().enumerate() {
            let mut writer = Writer::new(crc, &metadata);
            records += 3 + 2 * entries.len() as u64;
            match i {
                0 => writer.record(SNAPSHOT, Some(&numbers(&[0, 0]))),
                _ => writer.record(STATE, Some(&numbers(&[term, 1, index]))),
            }
            for len in entries {
                index += 1;
                term = 2 + index / 10;
                let data: Vec<u8> = (0..*len).map(|b| (b * 13 + i) as u8).collect();
                writer.record(ENTRY, Some(&entry(term, index, &data)));
                writer.record(STATE, Some(&numbers(&[term, self.node, index])));
            }
            let (file, sum) = writer.end();
            files.push(file);
            crc = sum;
        }
        let last = files.last_mut().unwrap();
        last.resize(last.len() + self.behind, 0);
        let info = WalInfo { node_id: self.node, cluster_id: self.cluster, last_index: index, term, records };
        (files, info)
    }
}

/// The log with another cluster id, without the zeros at its end, and its facts before.
fn fenced(files: &[Vec<u8>], id: u64) -> anyhow::Result<(Vec<Vec<u8>>, WalInfo)> {
    let mut fence = Fence::new(id)?;
    let mut new = Vec::new();
    for file in files {
        let mut out = Vec::new();
        let written = fence.file(&&file[..], &mut out)?;
        assert_eq!(written, out.len() as u64);
        new.push(out);
    }
    Ok((new, fence.finish()?))
}

fn info(files: &[Vec<u8>]) -> anyhow::Result<WalInfo> {
    let mut scan = WalScan::new();
    files.iter().try_for_each(|file| scan.file(&&file[..]))?;
    scan.finish()
}

/// The part of records that checksums cover. They cover neither the type of a record nor its padding; etcd does not find
/// a change there either.
fn data_of(records: &[wal_writer::Entry]) -> Vec<Option<&[u8]>> {
    records.iter().map(|(_, data)| data.as_deref()).collect()
}

fn config() -> ProptestConfig {
    let long = std::env::var_os("LONG").is_some_and(|v| v == "1");
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(if long { 2000 } else { 40 }) }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn only_the_cluster_id_changes_and_it_can_be_changed_back(case in cases()) {
        let (files, before) = case.log();
        prop_assert_eq!(&info(&files).unwrap(), &before);
        let (new, was) = fenced(&files, case.new).unwrap();
        prop_assert_eq!(&was, &before);
        prop_assert_eq!(info(&new).unwrap(), WalInfo { cluster_id: case.new, ..before.clone() });
        let metadata = numbers(&[case.node, case.new]);
        let wanted: Vec<_> = wal_writer::read(&files)
            .into_iter()
            .map(|(kind, data)| if kind == METADATA { (kind, Some(metadata.clone())) } else { (kind, data) })
            .collect();
        prop_assert!(wal_writer::read(&new) == wanted, "another record");
        let (mut back, _) = fenced(&new, case.cluster).unwrap();
        let last = back.last_mut().unwrap();
        last.resize(last.len() + case.behind, 0);
        prop_assert!(back == files, "not what it was");
    }

    #[test]
    fn a_changed_or_truncated_log_is_refused(
        case in cases(), at in any::<usize>(), change in 1..=255_u8, cut in any::<usize>(),
    ) {
        let (files, before) = case.log();
        let records = wal_writer::read(&files);
        let file = at % files.len();
        let mut damaged = files.clone();
        let at = at / files.len() % files[file].len();
        damaged[file][at] ^= change;
        if let Ok((new, _)) = fenced(&damaged, case.cluster) {
            prop_assert!(data_of(&wal_writer::read(&new)) == data_of(&records), "a change at {at} of file {file} was not found");
        }
        let cut = cut % files[file].len();
        let mut short = files.clone();
        short[file].truncate(cut);
        if let Ok(found) = info(&short) {
            // Cut between two records at the end of the log.
            prop_assert!(file + 1 == files.len() && found.records <= before.records, "{cut} of file {file}");
        }
        for gone in 0..files.len() {
            let mut fewer = files.clone();
            fewer.remove(gone);
            // Nothing shows that the first or the last file is missing.
            prop_assert!(info(&fewer).is_err() || gone == 0 || gone + 1 == files.len());
        }
    }
}

/// Every byte and every length of a small log.
#[test]
fn a_corrupt_log_gives_an_error_and_no_panic() {
    let case =
        Case { node: 1 << 60, cluster: 7, new: 9, crc: 0, files: vec![vec![3, 90, 0], vec![40]], behind: 24 };
    let (files, before) = case.log();
    let records = wal_writer::read(&files);
    let (mut refused, mut same) = (0, 0);
    for file in 0..files.len() {
        for at in 0..files[file].len() {
            for change in 1..=255 {
                let mut damaged = files.clone();
                damaged[file][at] ^= change;
                match fenced(&damaged, case.cluster) {
                    Ok((new, _)) => {
                        assert!(
                            data_of(&wal_writer::read(&new)) == data_of(&records),
                            "{at} of file {file} ^ {change}"
                        );
                        same += 1;
                    }
                    Err(e) => {
                        assert_eq!(code_of(&e), Code::DatabaseCorrupt, "{e:#}");
                        refused += 1;
                    }
                }
            }
            let mut short = files.clone();
            short[file].truncate(at);
            let whole = info(&short).is_ok_and(|found| found == before);
            assert!(!whole || (file == 1 && files[1][at..].iter().all(|b| *b == 0)), "{at} of file {file}");
        }
    }
    assert!(refused > 50_000 && same > 0 && same < refused / 4, "{refused} {same}");
}

#[test]
fn malformed_logs_are_refused() {
    let metadata = numbers(&[1, 2]);
    let whole = |records: &[(u8, &[u8])]| {
        let mut writer = Writer::new(0, &metadata);
        records.iter().for_each(|(kind, data)| writer.record(*kind, Some(data)));
        writer.end().0
    };
    let good = entry(2, 1, b"x");
    let mut tail = whole(&[(ENTRY, &good)]);
    tail.extend([0; 64]);
    tail.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    let mut lengths = whole(&[]);
    lengths.extend(u64::to_le_bytes(u64::MAX >> 8));
    let mut tops = whole(&[]);
    tops.extend(u64::to_le_bytes(1 << 62));
    let other = Writer::new(0, &numbers(&[1, 3])).end().0;
    let rows: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("no file", vec![]),
        ("an empty file", vec![vec![]]),
        ("zeros", vec![vec![0; 4096]]),
        ("text", vec![b"text, which is no length".to_vec()]),
        ("an unknown type", vec![whole(&[(6, b"x")])]),
        ("a second record of metadata", vec![whole(&[(METADATA, &metadata)])]),
        ("an entry without an index", vec![whole(&[(ENTRY, b"\x08\x00\x10\x02")])]),
        ("a state that is none", vec![whole(&[(STATE, b"\x0b")])]),
        ("a long state", vec![whole(&[(STATE, &vec![0; 70_000])])]),
        ("metadata without a cluster", vec![Writer::new(0, &numbers(&[1])).end().0]),
        ("other metadata in the second file", vec![Writer::new(0, &metadata).end().0, other]),
        ("bytes behind the end", vec![tail]),
        ("a length near 2^56", vec![lengths]),
        ("a length of nothing but padding", vec![tops]),
    ];
    for (name, files) in rows {
        let e = info(&files).unwrap_err();
        assert_eq!(code_of(&e), Code::DatabaseCorrupt, "{name}: {e:#}");
        assert!(fenced(&files, 5).is_err(), "{name}");
    }
    assert_eq!(info(&[whole(&[(ENTRY, &good)])]).unwrap().last_index, 1);
    assert_eq!(kind_of(&Fence::new(0).unwrap_err()), Kind::Refused);
}

/// A newer etcd can have more fields in the metadata.
#[test]
fn unknown_fields_of_the_metadata_are_kept() {
    let metadata = [numbers(&[1, 2]), b"\x1a\x03abc\x20\x09".to_vec()].concat();
    let (new, _) = fenced(&[Writer::new(0, &metadata).end().0], 300).unwrap();
    let wanted = [numbers(&[1, 300]), b"\x1a\x03abc\x20\x09".to_vec()].concat();
    assert_eq!(wal_writer::read(&new)[1], (METADATA, Some(wanted)));
}

// --- In a directory

fn write_log(dir: &Path, files: &[Vec<u8>]) {
    for (i, file) in files.iter().enumerate() {
        std::fs::write(dir.join(format!("{i:016x}-{:016x}.wal", i * 100)), file).unwrap();
    }
}

fn all_files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), std::fs::read(e.path()).unwrap())).collect()
}

#[test]
fn a_directory_is_rewritten_keeps_its_sizes_and_a_second_call_changes_nothing() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let dir = tempfile::tempdir().unwrap();
    let case =
        Case { node: 5, cluster: 6, new: 1 << 63, crc: 0, files: vec![vec![30; 9], vec![7]], behind: 64_000 };
    let (files, before) = case.log();
    write_log(dir.path(), &files);
    // A preallocated file of etcd, and a new file of an interrupted call.
    let first = "0000000000000000-0000000000000000.wal";
    std::fs::write(dir.path().join("1.tmp"), [0; 512]).unwrap();
    std::fs::write(dir.path().join(format!("{first}.k3s-snapshot.tmp")), b"half").unwrap();
    std::fs::set_permissions(dir.path().join(first), std::fs::Permissions::from_mode(0o640)).unwrap();
    let root = require::root().is_ok();
    if root {
        std::os::unix::fs::chown(dir.path().join(first), Some(7), Some(8)).unwrap();
    }
    assert_eq!(fence(dir.path(), case.new).unwrap(), Fenced { old: 6, new: case.new });
    let after = all_files(dir.path());
    let names: Vec<&str> = after.keys().map(String::as_str).collect();
    assert_eq!(names, [first, "0000000000000001-0000000000000064.wal", "1.tmp"]);
    let new: Vec<Vec<u8>> = after.values().take(2).cloned().collect();
    assert_eq!(info(&new).unwrap(), WalInfo { cluster_id: case.new, ..before });
    assert_eq!(new[1].len(), files[1].len(), "the last file keeps the size it was created with");
    let kept = std::fs::metadata(dir.path().join(first)).unwrap();
    assert_eq!(kept.mode() & 0o7777, 0o640);
    assert!(!root || (kept.uid(), kept.gid()) == (7, 8));

    assert_eq!(fence(dir.path(), case.new).unwrap(), Fenced { old: case.new, new: case.new });
    assert_eq!(all_files(dir.path()), after);
    assert_eq!(fence(dir.path(), 6).unwrap(), Fenced { old: case.new, new: 6 });
    assert_eq!(wal_info(dir.path()).unwrap().cluster_id, 6);
}

#[test]
fn an_incomplete_log_is_not_changed() {
    let case = Case { node: 5, cluster: 6, new: 7, crc: 0, files: vec![vec![30; 9], vec![7, 90]], behind: 0 };
    let (mut files, _) = case.log();
    let len = files[1].len();
    files[1].truncate(len - 3);
    let dir = tempfile::tempdir().unwrap();
    write_log(dir.path(), &files);
    let before = all_files(dir.path());
    assert_eq!(code_of(&fence(dir.path(), 7).unwrap_err()), Code::DatabaseCorrupt);
    assert_eq!(all_files(dir.path()), before);
    assert_eq!(code_of(&fence(&dir.path().join("none"), 7).unwrap_err()), Code::Io);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(code_of(&wal_info(empty.path()).unwrap_err()), Code::DatabaseCorrupt);
}

// --- A real etcd

const NEW: u64 = 0xA1B2_C3D4_E5F6_0718;

fn wal_dir(etcd: &Etcd) -> PathBuf {
    etcd.root.server().join("db/etcd/member/wal")
}

/// The cluster id that etcd reports.
fn cluster_id(etcd: &Etcd) -> u64 {
    etcd.client(async |c| c.status().await).header().unwrap().cluster_id()
}

fn count(etcd: &Etcd) -> i64 {
    let options = etcd_client::GetOptions::new().with_all_keys().with_count_only();
    etcd.client(async |c| c.get("", Some(options)).await).count()
}

/// Another member of the cluster of `first`, up and healthy.
fn join(first: &Etcd, number: usize) -> Etcd {
    let ports = Ports::free();
    let (name, url) =
        (format!("server-{number}-0000000{number}"), format!("https://127.0.0.1:{}", ports.peer));
    let tls = || first.root.certs().mutual();
    // For some seconds after a change of members, etcd refuses the next change.
    eventually("a member is added", Duration::from_secs(20), || {
        first.try_client(tls(), async |c| c.member_add([&url], None).await).is_ok()
    });
    let members = first.client(async |c| c.member_list().await);
    let mut peers = vec![format!("{name}={url}")];
    let others = members.members().iter().filter(|m| !m.name().is_empty());
    peers.extend(others.map(|m| format!("{}={}", m.name(), m.peer_urls()[0])));
    let layout = Layout {
        name,
        ca_of: Some(first.root.data_dir()),
        initial_cluster: peers.join(","),
        joins: true,
        ..Layout::default()
    };
    let mut member = Etcd::prepare(&layout, ports);
    assert!(member.launch(&member.root.etcd_config()), "another process took a port");
    member.wait_healthy();
    member
}

#[test]
fn a_fenced_etcd_keeps_its_data_and_accepts_writes_and_members() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.fill(500, 2000);
    let (old, member, revision) = (cluster_id(&etcd), etcd.member_id(), etcd.revision());
    etcd.stop();
    let before = wal_info(&wal_dir(&etcd)).unwrap();
    assert_eq!((before.cluster_id, before.node_id), (old, member));
    assert!(before.last_index > 5 && before.term >= 2 && before.records > 10, "{before:?}");
    let size = |etcd: &Etcd| all_files(&wal_dir(etcd)).values().map(Vec::len).collect::<Vec<_>>();
    let sizes = size(&etcd);
    assert_eq!(fence(&wal_dir(&etcd), NEW).unwrap(), Fenced { old, new: NEW });
    assert_eq!(wal_info(&wal_dir(&etcd)).unwrap(), WalInfo { cluster_id: NEW, ..before });
    assert_eq!(size(&etcd), sizes);

    etcd.restart();
    assert_eq!((cluster_id(&etcd), etcd.member_id(), etcd.revision()), (NEW, member, revision));
    assert_eq!(count(&etcd), 500);
    etcd.put("/after", "one");
    etcd.stop();
    etcd.restart();
    assert_eq!((cluster_id(&etcd), etcd.get("/after").as_deref()), (NEW, Some("one")));
    etcd.stop();
    let later = wal_info(&wal_dir(&etcd)).unwrap();
    assert_eq!(later.cluster_id, NEW);
    etcd.restart();

    // A member that joins gets the new id.
    let second = join(&etcd, 2);
    etcd.wait_healthy();
    etcd.put("/both", "two");
    assert_eq!((cluster_id(&second), second.get("/both").as_deref()), (NEW, Some("two")));
    assert_eq!(count(&second), 502);
}

/// etcd begins a new file after 64 MB.
#[test]
fn a_log_of_several_files_is_fenced() {
    require!(require::etcd_programs());
    let mut etcd = Etcd::start();
    etcd.fill(800, 100_000);
    let revision = etcd.revision();
    etcd.stop();
    let files = all_files(&wal_dir(&etcd)).keys().filter(|name| name.ends_with(".wal")).count();
    assert!(files > 1, "{files} file");
    let before = wal_info(&wal_dir(&etcd)).unwrap();
    fence(&wal_dir(&etcd), NEW).unwrap();
    assert_eq!(wal_info(&wal_dir(&etcd)).unwrap(), WalInfo { cluster_id: NEW, ..before });
    etcd.restart();
    assert_eq!((cluster_id(&etcd), etcd.revision(), count(&etcd)), (NEW, revision, 800));
    etcd.fill(400, 100_000);
    etcd.stop();
    assert_eq!(wal_info(&wal_dir(&etcd)).unwrap().cluster_id, NEW);
    etcd.restart();
    assert_eq!(cluster_id(&etcd), NEW);
}

/// The first of three members is restored. As with K3s, it has the same address as before, and so the same member id and
/// cluster id. The other two start with the data of the lost cluster.
#[test]
fn members_of_the_lost_cluster_do_not_reach_a_fenced_one() {
    require!(require::etcd_programs());
    let mut first = Etcd::start();
    first.fill(100, 500);
    first.put("/both", "from before");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("snapshot");
    first.snapshot_save(&file);
    let mut lost = [join(&first, 2), join(&first, 3)];
    lost[0].put("/both", "of the lost cluster");
    let (old, member) = (cluster_id(&first), first.member_id());
    lost.iter_mut().chain([&mut first]).for_each(Etcd::stop);

    let restored = dir.path().join("data");
    let peer = format!("https://127.0.0.1:{}", first.root.ports.peer);
    ctl::snapshot_restore_as(&file, &restored, &first.root.member_name(), &peer).unwrap();
    let live = first.root.server().join("db/etcd/member");
    std::fs::rename(&live, dir.path().join("lost")).unwrap();
    std::fs::rename(restored.join("member"), &live).unwrap();
    let info = wal_info(&wal_dir(&first)).unwrap();
    assert_eq!((info.cluster_id, info.node_id), (old, member), "the ids of the lost cluster");
    fence(&wal_dir(&first), NEW).unwrap();
    first.restart();
    first.put("/new", "one");

    // The two members are a majority of the lost cluster and elect a leader.
    for member in &mut lost {
        assert!(member.launch(&member.root.etcd_config()), "another process took a port");
    }
    lost.iter().for_each(Etcd::wait_healthy);
    assert_eq!((cluster_id(&lost[0]), lost[1].get("/new")), (old, None));
    eventually("the id of the cluster keeps them apart", START, || {
        [first.log(), lost[0].log(), lost[1].log()].concat().contains("cluster ID mismatch")
    });
    std::thread::sleep(Duration::from_secs(3));
    lost[1].put("/both", "of the lost cluster, later");
    assert!(first.healthy(), "{}", first.log());
    first.put("/new", "two");
    assert_eq!(first.get("/new").as_deref(), Some("two"));
    assert_eq!(first.get("/both").as_deref(), Some("from before"));
    assert_eq!((count(&first), cluster_id(&first), first.member_id()), (102, NEW, member));
    assert_eq!(first.client(async |c| c.member_list().await).members().len(), 1);
}
