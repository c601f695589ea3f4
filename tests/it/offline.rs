// SPDX-License-Identifier: Apache-2.0
//! save --offline: the database of an etcd that does not run, on a file system that cannot clone.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use k3s_snapshot::error::Code;
use k3s_snapshot::model::warning::WarningCode;
use serde_json::Value;

use crate::clone::file_of;
use crate::support::cli::{Run, Tool};
use crate::support::ctl;
use crate::support::etcd::Etcd;
use crate::support::k3s_root::Layout;
use crate::support::require::{self, require};

fn etcd() -> Etcd {
    let etcd = Etcd::start_with(Layout { token: "labtoken".into(), ..Layout::default() });
    etcd.bootstrap("labtoken");
    etcd.fill(400, 4_000);
    etcd
}

fn save(etcd: &Etcd, args: &[&str]) -> Run {
    Tool::new("save").on(&etcd.root).arg("--offline").args(args).report()
}

fn member(etcd: &Etcd) -> PathBuf {
    etcd.root.server().join("db/etcd/member")
}

/// A verified snapshot with the method `offline`, which etcdutl restores. Returns its row.
#[track_caller]
fn assert_saved(etcd: &Etcd, run: &Run) -> Value {
    assert_eq!(run.code, Some(3), "{run:#?}");
    let row = run.row();
    assert_eq!((&row["method"], &row["state"]), (&"offline".into(), &"verified".into()), "{run:#?}");
    assert_eq!(row["freshness"]["state"], "unknown", "{run:#?}");
    let file = file_of(etcd, &row);
    assert_eq!(ctl::snapshot_status(&file).unwrap()["revision"], row["revision"]);
    let restored = tempfile::tempdir().unwrap();
    ctl::snapshot_restore(&file, &restored.path().join("data")).unwrap();
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    row
}

#[test]
fn stopped_etcd_is_saved_and_nothing_is_missing() {
    require!(require::etcd_programs());
    let mut etcd = etcd();
    let revision = etcd.revision();
    etcd.stop();
    let run = save(&etcd, &[]);
    let row = assert_saved(&etcd, &run);
    assert_eq!((&row["revision"], &row["missing_entries"]), (&revision.into(), &0.into()), "{run:#?}");
    assert!(!run.warns(WarningCode::WalEntriesMissing) && !run.warns(WarningCode::WalUnreadable), "{run:#?}");
    let zip = save(&etcd, &["--snapshot-compress", "--name", "z"]).row();
    assert_eq!((&zip["method"], &zip["revision"]), (&"offline".into(), &revision.into()), "{zip}");
    Tool::new("verify").on(&etcd.root).arg("--all").run().expect(0);
    // etcd starts on its own files afterwards.
    etcd.restart();
    assert_eq!(etcd.revision(), revision);
}

#[test]
fn killed_etcd_is_saved_with_the_number_of_missing_entries() {
    require!(require::etcd_programs());
    // etcd commits its database once a minute, so that a kill leaves entries in the log only.
    let layout = Layout::default().etcd_arg("backend-batch-interval", "60000000000");
    let mut etcd = Etcd::start_with(layout);
    etcd.bootstrap("labtoken");
    // A snapshot makes etcd commit.
    etcd.snapshot_save(&etcd.root.path().join("before"));
    for i in 0..50 {
        etcd.put(&format!("/registry/late/{i}"), "x");
    }
    let revision = etcd.revision();
    etcd.kill();
    let run = save(&etcd, &[]);
    let row = assert_saved(&etcd, &run);
    let missing = row["missing_entries"].as_u64().unwrap();
    assert!(missing >= 50 && row["revision"].as_i64().unwrap() + 50 <= revision, "{run:#?}");
    assert!(run.warns(WarningCode::WalEntriesMissing), "{run:#?}");
    // The list has it too.
    let list = Tool::new("list").on(&etcd.root).report().expect(0);
    assert_eq!(list.row()["missing_entries"], missing);
    // The last record is incomplete, as after a power failure.
    let log = fs::read_dir(member(&etcd).join("wal")).unwrap().map(|e| e.unwrap().path());
    let log = log.filter(|p| p.extension().is_some_and(|e| e == "wal")).max().unwrap();
    let end = fs::read(&log).unwrap().iter().rposition(|b| *b != 0).unwrap() as u64;
    let file = OpenOptions::new().write(true).open(&log).unwrap();
    file.write_all_at(&[0x55; 3], end - 2).unwrap();
    let run = save(&etcd, &["--name", "torn"]);
    assert_eq!(run.code, Some(3), "{run:#?}");
    let row = run.row();
    assert!(row["missing_entries"].as_u64().unwrap() <= missing, "{run:#?}");
    assert!(run.warns(WarningCode::WalEntriesMissing), "{run:#?}");
    // There is no log.
    fs::remove_dir_all(member(&etcd).join("wal")).unwrap();
    fs::create_dir(member(&etcd).join("wal")).unwrap();
    let run = save(&etcd, &["--name", "without"]);
    assert_eq!((run.code, &run.row()["missing_entries"]), (Some(3), &Value::Null), "{run:#?}");
    assert!(run.warns(WarningCode::WalUnreadable), "{run:#?}");
}

#[test]
fn database_that_is_open_absent_or_corrupt_is_refused() {
    require!(require::etcd_programs());
    let mut etcd = etcd();
    save(&etcd, &[]).fails(Code::DatabaseInUse).with_hint();
    std::thread::sleep(Duration::from_millis(300));
    etcd.stop();
    let db = member(&etcd).join("snap/db");
    // A process that has it open, without a lock.
    let open = fs::File::open(&db).unwrap();
    save(&etcd, &[]).fails(Code::DatabaseInUse);
    drop(open);
    save(&etcd, &["--method", "copy"]).expect(2);
    let bytes = fs::read(&db).unwrap();
    let mut corrupt = bytes.clone();
    corrupt[8192..].iter_mut().step_by(4096).for_each(|b| *b ^= 0x55);
    fs::write(&db, corrupt).unwrap();
    save(&etcd, &[]).fails(Code::DatabaseCorrupt);
    fs::remove_file(&db).unwrap();
    save(&etcd, &[]).fails(Code::DatabaseNotFound).with_hint();
    assert_eq!(etcd.root.snapshot_names(), [""; 0], "nothing was kept");
}
