// SPDX-License-Identifier: Apache-2.0
//! The directories and the bucket that a fault is tried on, and what must hold after it, whatever the fault was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use k3s_snapshot::host::Draft;
use k3s_snapshot::inspect;
use k3s_snapshot::model::name::SnapshotName;
use k3s_snapshot::model::snapshot::{Manifest, State};
use k3s_snapshot::store::local::Local;
use k3s_snapshot::store::{LocalStore, Store};
use rusqlite::config::DbConfig;

use crate::conformance::{manifest, name, upload};
use crate::support::bucket::{ACCESS, Bucket, NAME, SECRET};
use crate::support::cli::{Run, Tool};
use crate::support::etcd::Etcd;
use crate::support::kine::Kine;
use crate::support::memory::Bytes;

/// A command with its arguments, as the table tries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Save,
    /// Of SQLite.
    SaveSqlite,
    /// Into a zip.
    Compress,
    /// Into the bucket too.
    Upload,
    Prune,
    /// In the bucket too.
    PruneBucket,
    Delete,
    DeleteBucket,
    Fetch,
    Verify,
    List,
}

impl Command {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Command::Save => "save",
            Command::SaveSqlite => "save of SQLite",
            Command::Compress => "save --snapshot-compress",
            Command::Upload => "save --s3",
            Command::Prune => "prune",
            Command::PruneBucket => "prune --s3",
            Command::Delete => "delete",
            Command::DeleteBucket => "delete --s3",
            Command::Fetch => "fetch",
            Command::Verify => "verify --all",
            Command::List => "list --s3",
        }
    }

    pub(crate) fn uses_bucket(self) -> bool {
        use Command::{DeleteBucket, Fetch, List, PruneBucket, Upload};
        matches!(self, Upload | PruneBucket | DeleteBucket | Fetch | List)
    }

    fn saves(self) -> bool {
        matches!(self, Command::Save | Command::SaveSqlite | Command::Compress | Command::Upload)
    }

    fn deletes(self) -> bool {
        use Command::{Delete, DeleteBucket, Prune, PruneBucket};
        matches!(self, Prune | PruneBucket | Delete | DeleteBucket)
    }
}

/// The prefix in the bucket.
const PREFIX: &str = "backups/k3s/";
/// The password of the token of the server.
pub(crate) const PASSWORD: &str = "labtoken-with-a-secret";
/// When the snapshots here were made.
const THEN: u64 = 1_795_000_000;

/// One worker's directories.
pub(crate) struct World<'a> {
    etcd: &'a Etcd,
    dir: tempfile::TempDir,
    pub(crate) bucket: Bucket,
    /// A whole snapshot.
    data: Vec<u8>,
}

impl<'a> World<'a> {
    pub(crate) fn new(etcd: &'a Etcd, data: &[u8]) -> World<'a> {
        let dir = tempfile::tempdir().unwrap();
        let world = World { etcd, dir, bucket: Bucket::start(), data: data.to_vec() };
        for below in ["snapshots", "state", "run", "fetched"] {
            fs::create_dir(world.at(below)).unwrap();
        }
        fs::write(world.at("k3s.yaml"), "node-name: server-1\n").unwrap();
        let db = world.at("sqlite/server/db/state.db");
        fs::create_dir_all(db.parent().unwrap()).unwrap();
        let kine = Kine::create(&db, 4096);
        kine.0.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
        for n in 0..40 {
            kine.put(&format!("/registry/configmaps/default/{n}"), &[n; 9000]);
        }
        for (stem, at) in world.kept().into_iter().chain(world.to_delete()) {
            world.put(stem, at);
            world.put_into_bucket(stem, at);
        }
        world
    }

    pub(crate) fn at(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn store(&self) -> Local {
        Local::new(&self.at("snapshots"), &self.at("state"), false)
    }

    /// What no command here may delete: stem and time.
    fn kept(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("manual-server-1", THEN),
            ("manual-server-1", THEN + 60),
            ("timer-server-1", THEN + 500),
            ("timer-server-1", THEN + 600),
        ]
    }

    /// What prune and delete delete.
    fn to_delete(&self) -> Vec<(&'static str, u64)> {
        vec![("timer-server-1", THEN + 100), ("timer-server-1", THEN + 200)]
    }

    fn names(of: &[(&str, u64)]) -> Vec<String> {
        of.iter().map(|(stem, at)| format!("{stem}-{at}")).collect()
    }

    /// With the facts that verify finds, so that verify changes nothing that prune looks at.
    fn manifest(&self) -> Manifest {
        let length = inspect::database_len(self.data.len() as u64).unwrap();
        let facts = inspect::verify(&self.data.as_slice(), length).unwrap().facts;
        Manifest {
            revision: facts.revision,
            key_revisions: facts.key_revisions,
            cluster_id: facts.cluster_id,
            token_hash: facts.token_hashes,
            ..manifest(&self.data)
        }
    }

    fn put(&self, stem: &str, at: u64) {
        let store = self.store();
        let draft: Draft = store.draft().unwrap();
        draft.append(&self.data).unwrap();
        let done = store.publish(draft, &name(stem, at), self.data.len() as u64, self.manifest()).unwrap();
        assert!(done.recorded.is_ok());
    }

    fn put_into_bucket(&self, stem: &str, at: u64) {
        let uploaded =
            upload(&self.bucket.store(), &name(stem, at), &Bytes(self.data.clone()), &self.manifest());
        assert_eq!(uploaded.unwrap().state, State::Verified);
    }

    /// Makes the beginning again: what was deleted is there, what was made is gone.
    pub(crate) fn reset(&self) {
        self.bucket.front.plan(&[]);
        let all: BTreeSet<String> =
            World::names(&[self.kept(), self.to_delete()].concat()).into_iter().collect();
        for below in ["snapshots", "fetched"] {
            for file in files(&self.at(below)) {
                if below == "fetched" || !all.contains(&file) {
                    fs::remove_file(self.at(below).join(&file)).unwrap();
                }
            }
        }
        for file in self.manifests() {
            let known = file.strip_suffix(".json").is_some_and(|f| all.contains(f));
            if !known && file != ".lock" {
                fs::remove_file(self.manifest_dir().join(&file)).unwrap();
            }
        }
        for (stem, at) in self.kept().into_iter().chain(self.to_delete()) {
            let file = format!("{stem}-{at}");
            let whole = self.at("snapshots").join(&file).exists()
                && self.manifest_dir().join(format!("{file}.json")).exists();
            if !whole {
                let _ = fs::remove_file(self.at("snapshots").join(&file));
                self.put(stem, at);
            }
            if !self.bucket.object(&format!("{PREFIX}{file}")).exists() {
                self.put_into_bucket(stem, at);
            }
        }
        for key in self.bucket.keys() {
            let file = key.strip_prefix(PREFIX).unwrap_or(&key);
            let ours = all.iter().any(|name| file == name || file.starts_with(&format!(".metadata/{name}.")));
            if !ours {
                fs::remove_file(self.bucket.object(&key)).unwrap();
            }
        }
        self.bucket.front.forget_uploads();
    }

    fn manifest_dir(&self) -> PathBuf {
        let all = fs::read_dir(self.at("state/manifests")).unwrap();
        all.map(|e| e.unwrap().path()).find(|p| p.is_dir()).expect("a directory of manifests")
    }

    fn manifests(&self) -> Vec<String> {
        files(&self.manifest_dir())
    }

    /// The directories whose calls are counted.
    pub(crate) fn below(&self) -> Vec<PathBuf> {
        vec![self.dir.path().to_owned(), self.etcd.root.data_dir()]
    }

    pub(crate) fn tool(&self, command: Command) -> Tool {
        let word = command.as_str().split(' ').next().unwrap();
        let data_dir =
            if command == Command::SaveSqlite { self.at("sqlite") } else { self.etcd.root.data_dir() };
        let mut tool = Tool::new(word).arg("--data-dir").arg(data_dir);
        tool = tool.arg("--config").arg(self.at("k3s.yaml")).arg("--dir").arg(self.at("snapshots"));
        tool = tool.arg("--state-dir").arg(self.at("state")).arg("--run-dir").arg(self.at("run"));
        if command.uses_bucket() {
            let port = self.bucket.front.port();
            tool = tool
                .env("K3S_SNAPSHOT_S3_ENDPOINT", format!("http://127.0.0.1:{port}"))
                .env("K3S_SNAPSHOT_S3_BUCKET", NAME)
                .env("K3S_SNAPSHOT_S3_FOLDER", PREFIX)
                .env("K3S_SNAPSHOT_S3_TIMEOUT", "1s")
                .env("AWS_ACCESS_KEY_ID", ACCESS)
                .env("AWS_SECRET_ACCESS_KEY", SECRET)
                .env("HOME", "/nonexistent")
                .env("HTTP_PROXY", "")
                .env("NO_PROXY", "*");
        }
        let victims = World::names(&self.to_delete());
        match command {
            Command::SaveSqlite => tool,
            Command::Save => tool.args(&["--stall-timeout", "1s"]),
            Command::Compress => tool.args(&["--snapshot-compress", "--stall-timeout", "1s"]),
            Command::Upload => tool.args(&["--s3", "--stall-timeout", "1s"]),
            Command::Prune => tool.args(&["--snapshot-retention", "2"]),
            Command::PruneBucket => tool.args(&["--snapshot-retention", "2", "--s3", "--s3-retention", "2"]),
            Command::Delete => tool.arg("--yes").args(&victims),
            Command::DeleteBucket => tool.args(&["--yes", "--s3"]).args(&victims),
            Command::Fetch => tool.arg(&World::names(&self.kept())[0]).arg(self.at("fetched")),
            Command::Verify => tool.arg("--all"),
            Command::List => tool.args(&["--s3"]),
        }
    }

    /// What is wrong after this run. `faulty` if a fault was made in it.
    pub(crate) fn losses(&self, command: Command, run: &Run, faulty: bool) -> Vec<String> {
        self.check(command, run, faulty, false)
    }

    /// The same if the bucket gives other bytes than it has, or denies what it has: then a snapshot there may be called corrupt or
    /// missing.
    pub(crate) fn losses_if_bucket_is_wrong(&self, command: Command, run: &Run) -> Vec<String> {
        self.check(command, run, true, true)
    }

    fn check(&self, command: Command, run: &Run, faulty: bool, wrong_bucket: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let code = run.code;
        let killed = faulty && matches!(run.signal, Some(9 | 15));
        match code {
            Some(0) => {}
            // Nothing here is corrupt or missing, and no command line is wrong.
            Some(1 | 3 | 75 | 77 | 78) if faulty => {}
            Some(4 | 65) if wrong_bucket => {}
            // SQLite reports an error of the disk at a read as a corrupt database.
            Some(65) if faulty && command == Command::SaveSqlite => {}
            _ if killed => {}
            _ => wrong.push(format!("it ended with {code:?} and signal {:?}", run.signal)),
        }
        for (what, secret) in [("the password of the token", PASSWORD), ("the key of the bucket", SECRET)] {
            if run.stdout.contains(secret) || run.stderr.contains(secret) {
                wrong.push(format!("{what} is in the output"));
            }
        }
        if run.stderr.contains("panicked") {
            wrong.push("it panicked".to_owned());
        }
        self.losses_here(command, &mut wrong);
        self.losses_in_bucket(command, &mut wrong);
        if code.is_some() {
            self.lies(command, run, wrong_bucket, &mut wrong);
        }
        wrong
    }

    /// The same if another command ran at the same time: it may have deleted what it deletes, and hold the lock.
    pub(crate) fn losses_of_two(&self, command: Command, other: Command, run: &Run) -> Vec<String> {
        let gone = other.deletes() && (command.deletes() || command == Command::Verify);
        if gone && run.code == Some(4) {
            return Vec::new();
        }
        let deleting = if other.deletes() && !command.deletes() { other } else { command };
        let mut wrong = Vec::new();
        let fits = matches!(run.code, Some(0 | 75)) || (command == Command::Fetch && run.code == Some(77));
        if !fits {
            wrong.push(format!("it ended with {:?} and signal {:?}", run.code, run.signal));
        }
        self.losses_here(deleting, &mut wrong);
        self.losses_in_bucket(deleting, &mut wrong);
        // What verify has seen may be deleted since.
        if run.code == Some(0) && !(command == Command::Verify && other.deletes()) {
            self.lies(command, run, false, &mut wrong);
        }
        wrong
    }

    /// After two at once: all that is there can be verified, and nothing is left over.
    pub(crate) fn after_two(&self) -> Vec<String> {
        let verified = self.run(self.tool(Command::Verify));
        let mut wrong = Vec::new();
        if verified.code != Some(0) {
            wrong.push(format!("the next verify: {verified:?}"));
        }
        wrong.extend(self.pruned_left_over());
        wrong
    }

    /// What was there before is there and whole; what has a snapshot's name is a whole snapshot.
    fn losses_here(&self, command: Command, wrong: &mut Vec<String>) {
        let listing = match self.store().list() {
            Ok(listing) => listing,
            Err(e) => return wrong.push(format!("it cannot be listed: {e:#}")),
        };
        if !listing.complete || !listing.manifests_readable {
            wrong.push("it cannot be listed completely".to_owned());
        }
        let states: BTreeMap<String, State> =
            listing.snapshots.into_iter().map(|s| (s.file, s.state)).collect();
        let mut must = self.kept();
        if !command.deletes() {
            must.extend(self.to_delete());
        }
        for file in World::names(&must) {
            if states.get(&file) != Some(&State::Verified) {
                wrong.push(format!("'{file}' was verified and is {:?}", states.get(&file)));
            }
            if fs::read(self.at("snapshots").join(&file)).ok().as_deref() != Some(&self.data) {
                wrong.push(format!("'{file}' has other bytes"));
            }
        }
        for (file, state) in &states {
            let path = self.at("snapshots").join(file);
            match SnapshotName::parse(file) {
                None => wrong.push(format!("'{file}' is left")),
                Some(_) if !is_whole(&path) => {
                    wrong.push(format!("'{file}' ({state:?}) is no whole snapshot"))
                }
                Some(_) => {}
            }
        }
        for file in files(&self.at("fetched")) {
            if fs::read(self.at("fetched").join(&file)).ok().as_deref() != Some(&self.data) {
                wrong.push(format!("'{file}' was fetched with other bytes"));
            }
        }
    }

    fn losses_in_bucket(&self, command: Command, wrong: &mut Vec<String>) {
        if !command.uses_bucket() {
            return;
        }
        let mut must = self.kept();
        if !command.deletes() {
            must.extend(self.to_delete());
        }
        let must: BTreeSet<String> = World::names(&must).into_iter().collect();
        let keys = self.bucket.keys();
        for file in &must {
            if !keys.iter().any(|key| key.starts_with(&format!("{PREFIX}.metadata/{file}."))) {
                wrong.push(format!("the object '{file}' has lost its manifest"));
            }
        }
        for file in
            must.iter().cloned().chain(keys.iter().filter_map(|k| k.strip_prefix(PREFIX)).map(str::to_owned))
        {
            let path = self.bucket.object(&format!("{PREFIX}{file}"));
            if !file.starts_with(".metadata/") && !is_whole(&path) {
                wrong.push(format!("the object '{file}' is no whole snapshot"));
            }
        }
        let uploads = self.bucket.front.uploads();
        if command != Command::Upload && !uploads.is_empty() {
            wrong.push(format!("unfinished uploads: {uploads:?}"));
        }
    }

    /// What the exit code and the report say, against what is there.
    fn lies(&self, command: Command, run: &Run, wrong_bucket: bool, wrong: &mut Vec<String>) {
        let Ok(report) = serde_json::from_str::<serde_json::Value>(&run.stdout) else {
            return wrong.push(format!("no report: {}", run.stderr));
        };
        let _ = run.json();
        let rows = report["snapshots"].as_array().cloned().unwrap_or_default();
        let good = run.code == Some(0);
        if good != report["error"].is_null() {
            wrong.push("the exit code and the error in the report differ".to_owned());
        }
        let mut here = 0;
        let mut there = 0;
        for row in &rows {
            let (file, location) =
                (row["name"].as_str().unwrap_or_default(), row["location"].as_str().unwrap_or_default());
            let path = match location.strip_prefix("file://") {
                Some(path) => PathBuf::from(path),
                None => self.bucket.object(&format!("{PREFIX}{file}")),
            };
            match row["deleted"].as_bool() {
                Some(true) if path.exists() => {
                    wrong.push(format!("'{location}' is called deleted and is there"))
                }
                // A bucket may have deleted what it has not confirmed.
                Some(false) if !path.exists() && location.starts_with("file://") => {
                    wrong.push(format!("'{location}' is called not deleted and is gone"))
                }
                None if row["state"] == "verified" && row["action"] != "remove" && !is_whole(&path) => {
                    wrong.push(format!("'{location}' is called verified and is not whole"));
                }
                _ => {}
            }
            match location.starts_with("file://") {
                true => here += 1,
                false => there += 1,
            }
        }
        if !good {
            return;
        }
        if command.saves() {
            if here != 1 || rows[0]["state"] != "verified" {
                wrong.push("it succeeded without a verified snapshot".to_owned());
            }
            if command == Command::Upload && there == 0 {
                wrong.push("it succeeded without an uploaded object".to_owned());
            }
        }
        if command.deletes() {
            for file in World::names(&self.to_delete()) {
                if self.at("snapshots").join(&file).exists() {
                    wrong.push(format!("it succeeded and '{file}' is there"));
                }
                if command.uses_bucket()
                    && !wrong_bucket
                    && self.bucket.object(&format!("{PREFIX}{file}")).exists()
                {
                    wrong.push(format!("it succeeded and the object '{file}' is there"));
                }
            }
        }
        if command == Command::Fetch && files(&self.at("fetched")).len() != 1 {
            wrong.push("it succeeded and there is no file".to_owned());
        }
        if command == Command::Verify && rows.iter().any(|r| r["state"] != "verified") {
            wrong.push("it succeeded and not all are verified".to_owned());
        }
    }

    /// The same command again, and a prune: both succeed, and nothing is left over.
    pub(crate) fn after(&self, command: Command) -> Vec<String> {
        self.bucket.front.plan(&[]);
        let mut wrong = Vec::new();
        if command == Command::Fetch {
            for file in files(&self.at("fetched")) {
                fs::remove_file(self.at("fetched").join(file)).unwrap();
            }
        }
        let tool = self.tool(command);
        // What the run with the fault has deleted is no error now.
        let tool = if matches!(command, Command::Delete | Command::DeleteBucket) {
            tool.arg("--ignore-missing")
        } else {
            tool
        };
        let next = tool.report();
        wrong.extend(
            self.losses(command, &next, false)
                .into_iter()
                .map(|w| format!("the next run: {w}: {}", next.stderr)),
        );
        wrong.extend(self.pruned_left_over());
        wrong
    }

    /// What a prune does not remove of what is left over.
    fn pruned_left_over(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.left_over().is_empty() {
            return wrong;
        }
        let pruned = self.tool(Command::Prune).args(&["--keep-within", "1000d"]).report();
        if pruned.code != Some(0) {
            wrong.push(format!("the next prune: {pruned:?}"));
        }
        wrong.extend(self.left_over().into_iter().map(|file| format!("'{file}' is left forever")));
        wrong
    }

    fn left_over(&self) -> Vec<String> {
        let mut left: Vec<String> = self
            .manifests()
            .into_iter()
            .filter(|file| {
                let of = file.strip_suffix(".json").filter(|f| !f.starts_with('.'));
                let known = of.is_some_and(|f| self.at("snapshots").join(f).exists());
                !known && file != ".lock"
            })
            .collect();
        left.extend(files(&self.at("run")).into_iter().filter(|file| !file.ends_with(".lock")));
        left.extend(files(&self.at("state")));
        left.extend(files(&self.at("snapshots")).into_iter().filter(|f| SnapshotName::parse(f).is_none()));
        left.extend(files(&self.at("fetched")).into_iter().filter(|f| SnapshotName::parse(f).is_none()));
        left.extend(self.bucket.front.uploads().into_iter().map(|u| format!("upload of {u}")));
        left
    }

    /// Runs it with a deadline that a run with silent servers keeps.
    pub(crate) fn run(&self, tool: Tool) -> Run {
        tool.deadline(Duration::from_secs(60)).report()
    }
}

/// The names of the files in a directory.
fn files(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut all: Vec<String> = entries
        .map(|e| e.unwrap())
        .filter(|e| !e.file_type().unwrap().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

/// Whether a file is a whole snapshot, plain or in a zip.
fn is_whole(path: &Path) -> bool {
    let Ok(mut bytes) = fs::read(path) else { return false };
    if path.extension().is_some_and(|e| e == "zip") {
        let script = "import sys,zipfile; z=zipfile.ZipFile(sys.argv[1]); assert z.testzip() is None; i,=z.infolist(); sys.stdout.buffer.write(z.read(i))";
        let out = std::process::Command::new("python3").args(["-c", script]).arg(path).output().unwrap();
        bytes = out.stdout;
    }
    let Ok(length) = inspect::database_len(bytes.len() as u64) else { return false };
    let whole = || {
        let data = Bytes(bytes);
        let digests = inspect::hash(&data, length, &mut |_| {})?;
        let trailer = inspect::trailer(&data, length)?;
        let checked = inspect::verify(&data, length)?;
        anyhow::Ok(inspect::check_trailer(&digests.database, &trailer).is_ok() && checked.is_clean())
    };
    whole().unwrap_or(false)
}
