// SPDX-License-Identifier: Apache-2.0
//! One suite that every store passes: memory, a local directory, a bucket. A new store is three lines at the end.

use k3s_snapshot::error::{Code, Fault, Kind, code_of, kind_of};
use k3s_snapshot::host::NoProgress;
use k3s_snapshot::io::ReadAt;
use k3s_snapshot::model::name::{SnapshotName, Suffix};
use k3s_snapshot::model::snapshot::{
    Digest, FileId, FindingRecord, MANIFEST_VERSION, Manifest, Snapshot, State,
};
use k3s_snapshot::store::local::Local;
use k3s_snapshot::store::{LocalStore, RemoteStore, Store, VerifiedFile};
use sha2::Digest as _;

use crate::support::bucket::Bucket;
use crate::support::memory::{Bytes, Memory};
use crate::support::objects::filler;

/// A manifest of these bytes, as a save would write it.
pub(crate) fn manifest(bytes: &[u8]) -> Manifest {
    let sha = Digest(sha2::Sha256::digest(bytes).into());
    Manifest {
        version: MANIFEST_VERSION,
        name: String::new(),
        directory: String::new(),
        file: FileId { dev: 0, ino: 0, size: 0, mtime_ns: 0, ctime_ns: 0 },
        stored_sha256: sha,
        expected_sha256: None,
        plain_sha256: sha,
        plain_size: bytes.len() as u64,
        revision: 7,
        key_revisions: 3,
        token_hash: vec!["ba1d715a4f9b".into()],
        cluster_id: Some("6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11".into()),
        node: Some("server-1".into()),
        base: Some("on-demand".into()),
        etcd_version: None,
        method: None,
        method_reason: None,
        missing_entries: None,
        k3s_version: None,
        etcd_storage_version: None,
        authentication: None,
        members: vec![],
        alarms: vec![],
        freshness: None,
        findings: vec![],
        saved_at: Some(5),
        checked_at: 6,
        upload: None,
        kit: None,
        verified_at: Some(6),
        other: Default::default(),
    }
}

/// Bytes of a size that a plain snapshot can have.
pub(crate) fn bytes(seed: u64, blocks: usize) -> Vec<u8> {
    filler(seed, blocks * 512 + 32).into_bytes()
}

pub(crate) fn name(stem: &str, at: u64) -> SnapshotName {
    SnapshotName { stem: stem.into(), at, suffix: Suffix::Plain }
}

fn read(store: &dyn Store, file: &str) -> Vec<u8> {
    let opened = store.open(file).unwrap();
    let mut all = vec![0; opened.data.size() as usize];
    // In pieces, as every reader does.
    for (i, piece) in all.chunks_mut(100_000).enumerate() {
        opened.data.read_exact_at(piece, i as u64 * 100_000).unwrap();
    }
    let mut one = [0];
    let end = opened.data.size();
    assert_eq!(
        opened.data.read_exact_at(&mut one, end).unwrap_err().kind(),
        std::io::ErrorKind::UnexpectedEof
    );
    if end > 100 {
        let mut some = [0; 50];
        opened.data.read_exact_at(&mut some, end - 77).unwrap();
        assert_eq!(some[..], all[all.len() - 77..all.len() - 27]);
    }
    all
}

fn states(store: &dyn Store) -> Vec<(String, State)> {
    let listing = store.list().unwrap();
    assert!(listing.complete);
    let mut all: Vec<_> = listing.snapshots.into_iter().map(|s| (s.file, s.state)).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

/// Uploads what was verified.
pub(crate) fn upload(
    store: &dyn RemoteStore,
    name: &SnapshotName,
    data: &dyn ReadAt,
    manifest: &Manifest,
) -> anyhow::Result<Snapshot> {
    store.upload(name, &VerifiedFile::new(data, manifest)?, &NoProgress)
}

/// Puts a snapshot into a store.
type Put<'a> = &'a dyn Fn(&SnapshotName, &VerifiedFile<'_>) -> anyhow::Result<Snapshot>;

fn suite(store: &dyn Store, put: Put<'_>, plant: &dyn Fn(&str, &[u8])) {
    let put = |name: &SnapshotName, data: &dyn ReadAt, manifest: &Manifest| {
        put(name, &VerifiedFile::new(data, manifest)?)
    };
    assert!(states(store).is_empty(), "empty at first");
    assert_eq!(kind_of(&store.open("on-demand-server-1-5").err().unwrap()), Kind::NotFound);

    // Small, and what is put can be listed, opened and read.
    let (small, first) = (bytes(1, 4), name("on-demand-server-1", 5));
    let done = put(&first, &Bytes(small.clone()), &manifest(&small)).unwrap();
    assert_eq!((done.state, done.size), (State::Verified, small.len() as u64));
    assert_eq!(states(store), [(first.to_string(), State::Verified)]);
    assert_eq!(read(store, &first.to_string()), small);
    let opened = store.open(&first.to_string()).unwrap();
    assert_eq!(opened.snapshot.state, State::Verified);
    assert_eq!(opened.manifest.as_ref().unwrap().revision, 7);
    assert_eq!(opened.manifest.unwrap().file, opened.id);

    // Never over another.
    let other = bytes(2, 5);
    let refused = put(&first, &Bytes(other.clone()), &manifest(&other)).unwrap_err();
    assert!(matches!(kind_of(&refused), Kind::Refused | Kind::Busy), "{refused:#}");
    assert_eq!(read(store, &first.to_string()), small);

    // Large: in parts, where the store knows parts.
    let (large, second) = (bytes(3, 26_000), name("on-demand-server-1", 6));
    let done = put(&second, &Bytes(large.clone()), &manifest(&large)).unwrap();
    assert_eq!(done.state, State::Verified);
    assert!(read(store, &second.to_string()) == large, "the bytes come back");

    // Interrupted, or not the file that was verified: nothing of it counts as a snapshot, and the next try succeeds.
    for (at, broken) in [(9, &small), (10, &large)] {
        let third = name("on-demand-server-1", at);
        let source = Breaks(Bytes(broken.clone()), broken.len() as u64 / 2);
        put(&third, &source, &manifest(broken)).unwrap_err();
        for at in [0, broken.len() / 2, broken.len() - 1] {
            let mut rotten = broken.clone();
            rotten[at] ^= 1;
            let e = put(&third, &Bytes(rotten), &manifest(broken)).unwrap_err();
            assert_eq!(code_of(&e), Code::SnapshotCorrupt, "byte {at}: {e:#}");
        }
        assert_eq!(states(store).len(), 2);
        assert_eq!(kind_of(&store.open(&third.to_string()).err().unwrap()), Kind::NotFound);
        let done = put(&third, &Bytes(broken.clone()), &manifest(broken)).unwrap();
        assert_eq!((done.state, states(store).len()), (State::Verified, 3));
        assert!(read(store, &third.to_string()) == *broken);
        assert!(store.delete(&[&third.to_string()]).iter().all(|(_, r)| r.is_ok()));
    }

    // What others put is unverified, foreign or corrupt.
    plant("etcd-snapshot-server-2-7", &bytes(4, 2));
    plant("readme.txt", b"hello");
    plant("etcd-snapshot-server-2-8", b"");
    let odd = ["on demand+x-server&<1>'\"%41-9", "snäpshot-x-9"];
    for name in odd {
        plant(name, &bytes(5, 2));
    }
    let all = states(store);
    let state =
        |file: &str| all.iter().find(|(f, _)| f == file).unwrap_or_else(|| panic!("no {file} in {all:?}")).1;
    assert_eq!(state("etcd-snapshot-server-2-7"), State::Unverified);
    assert_eq!(state("readme.txt"), State::Foreign);
    assert_eq!(state("etcd-snapshot-server-2-8"), State::Corrupt);
    for name in odd {
        assert_eq!(state(name), State::Unverified, "{name}");
        assert_eq!(read(store, name), bytes(5, 2), "{name}");
    }
    assert_eq!(read(store, "etcd-snapshot-server-2-8"), b"");

    // A manifest is kept, amended, and replaced by the next.
    assert!(!store.amend("etcd-snapshot-server-2-7", &mut |_| panic!("there is no manifest")).unwrap());
    let opened = store.open("etcd-snapshot-server-2-7").unwrap();
    let mut verified = manifest(&bytes(4, 2));
    (verified.name, verified.file) = ("etcd-snapshot-server-2-7".into(), opened.id);
    store.record(&verified.name, &mut |_| Some(verified.clone())).unwrap();
    assert_eq!(store.open(&verified.name).unwrap().snapshot.state, State::Verified);
    assert!(states(store).contains(&(verified.name.clone(), State::Verified)));
    let finding = FindingRecord::new("page-tree", "page 3");
    let changed = store.amend(&verified.name, &mut |m| m.findings.push(finding.clone())).unwrap();
    assert!(changed);
    assert!(states(store).contains(&(verified.name.clone(), State::Corrupt)));
    let opened = store.open(&verified.name).unwrap();
    assert_eq!((opened.snapshot.state, opened.manifest.unwrap().revision), (State::Corrupt, 7));
    store.record(&verified.name, &mut |_| Some(verified.clone())).unwrap();
    assert!(states(store).contains(&(verified.name.clone(), State::Verified)));

    // Deleted, also one that never existed.
    let gone = [odd[0], odd[1], "etcd-snapshot-server-2-7", "never-there-5"];
    for (file, result) in store.delete(&gone) {
        result.unwrap_or_else(|e| panic!("{file}: {e:#}"));
    }
    let left: Vec<String> = states(store).into_iter().map(|(f, _)| f).collect();
    assert_eq!(left, ["etcd-snapshot-server-2-8", &*first.to_string(), &*second.to_string(), "readme.txt"]);
    assert_eq!(kind_of(&store.open(odd[0]).err().unwrap()), Kind::NotFound);

    // More than any page holds, and all of them deleted at once.
    let many: Vec<String> = (0..2_100).map(|at| format!("many-n-{at}")).collect();
    many.iter().for_each(|file| plant(file, &bytes(6, 1)));
    assert_eq!(states(store).iter().filter(|(file, _)| file.starts_with("many")).count(), many.len());
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert!(store.delete(&many).iter().all(|(_, r)| r.is_ok()));
    assert_eq!(states(store).len(), left.len());
}

/// A file on a disk that fails when this byte is read.
struct Breaks(Bytes, u64);

impl ReadAt for Breaks {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        if (offset..offset + buf.len() as u64).contains(&self.1) {
            return Err(std::io::Error::from_raw_os_error(5));
        }
        self.0.read_exact_at(buf, offset)
    }
}

/// No name leads out of the location.
fn stays_inside(store: &dyn Store) {
    for name in ["../outside", "/etc/passwd", "..", ".", "a/b-5", ""] {
        assert!(store.open(name).is_err(), "{name}");
        let results = store.delete(&[name]);
        assert!(results.iter().all(|(_, r)| r.is_err()), "{name}");
    }
}

#[test]
fn memory_conforms() {
    let store = Memory::default();
    suite(&store, &|name, file| store.put(name, file), &|file, bytes| store.plant(file, bytes));
}

#[test]
fn a_local_directory_conforms() {
    let (dir, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Local::new(dir.path(), state.path(), false);
    let put = |name: &SnapshotName, file: &VerifiedFile<'_>| {
        let draft = store.draft()?;
        draft.fill_from(file.data(), 1, u64::MAX, &NoProgress)?;
        let hashed = k3s_snapshot::inspect::hash(&draft.reader()?, file.data().size(), &mut |_| ())?;
        if Digest(hashed.file) != file.sha256() {
            return Err(Fault::new(Code::SnapshotCorrupt, "the draft is not the file").into());
        }
        let published = store.publish(draft, name, file.data().size(), file.manifest().clone())?;
        published.recorded.map(|()| published.snapshot)
    };
    suite(&store, &put, &|file, bytes| std::fs::write(dir.path().join(file), bytes).unwrap());
    stays_inside(&store);
}

#[test]
fn a_bucket_conforms() {
    let bucket = Bucket::start();
    let store = bucket.store();
    let put = |name: &SnapshotName, file: &VerifiedFile<'_>| store.upload(name, file, &NoProgress);
    suite(&store, &put, &|file, bytes| bucket.plant(&format!("backups/k3s/{file}"), bytes));
    stays_inside(&store);
    assert!(bucket.front.uploads().is_empty());
    let outside: Vec<String> = bucket.keys().into_iter().filter(|k| !k.starts_with("backups/k3s/")).collect();
    assert!(outside.iter().all(|k| !k.ends_with(".json") || k.starts_with('.')), "{outside:?}");
}
