// SPDX-License-Identifier: Apache-2.0
//! Every fault at every request of an upload, a listing, a download and a deletion: the operation succeeds, or it ends in
//! an error of the right kind. Nothing unfinished stays in the bucket.

use std::time::Duration;

use k3s_snapshot::error::{Code, Kind, code_of, kind_of};
use k3s_snapshot::host::NoProgress;
use k3s_snapshot::io::ReadAt;
use k3s_snapshot::model::snapshot::{FindingRecord, State};
use k3s_snapshot::store::s3::S3;
use k3s_snapshot::store::{RemoteStore, Store};

use crate::conformance::{bytes, manifest, name, upload};
use crate::support::bucket::Bucket;
use crate::support::front::Fault;
use crate::support::memory::Bytes;

/// What passes: one more attempt succeeds.
fn passing() -> Vec<Fault> {
    vec![
        Fault::Refuse(500, "InternalError"),
        Fault::Refuse(503, "SlowDown"),
        Fault::Refuse(400, "RequestTimeout"),
        Fault::Reset,
        Fault::Lose,
        Fault::Cut,
        Fault::Stall,
        Fault::Hang,
        Fault::Slow,
    ]
}

/// What does not pass.
fn lasting() -> Vec<Fault> {
    vec![Fault::Refuse(403, "AccessDenied"), Fault::Redirect, Fault::Garbage]
}

fn store(bucket: &Bucket) -> S3 {
    bucket.store_with(|s| {
        s.timeout = Duration::from_millis(400);
        s.parallel = 2;
    })
}

/// Runs `operation` once to count its requests, then with each fault at each of them. Each run has its own number.
fn everywhere(
    bucket: &Bucket,
    operation: &dyn Fn(u64) -> anyhow::Result<()>,
    check: &dyn Fn(u64, bool, &str),
) {
    bucket.front.plan(&[]);
    operation(1000).unwrap();
    let requests: Vec<String> =
        bucket.front.seen().iter().map(|s| format!("{} {}", s.method, s.target)).collect();
    let mut run = 1000;
    for (fault, passes) in
        passing().into_iter().map(|f| (f, true)).chain(lasting().into_iter().map(|f| (f, false)))
    {
        for (n, request) in requests.iter().enumerate() {
            // A refused HEAD has no body for this code.
            if fault == Fault::Refuse(400, "RequestTimeout") && request.starts_with("HEAD") {
                continue;
            }
            run += 1;
            bucket.front.plan(&[(n, fault.clone())]);
            let done = operation(run);
            bucket.front.plan(&[]);
            let what = format!("{fault:?} at request {n} ({request})");
            if passes {
                done.as_ref().map_or_else(|e| panic!("{what}: {e:#}"), drop);
            }
            if let Err(e) = &done {
                let message = format!("{e:#}");
                assert!(!message.contains("X-Amz") && !message.contains("geheim"), "{what}: {message}");
                let kind = kind_of(e);
                let fits = match fault {
                    Fault::Refuse(..) => kind == Kind::Refused,
                    Fault::Redirect => kind == Kind::Config,
                    _ => matches!(kind, Kind::Failed | Kind::Refused | Kind::NotFound),
                };
                assert!(fits, "{what}: {kind:?} {message}");
            }
            assert!(bucket.front.uploads().is_empty(), "{what} left {:?}", bucket.front.uploads());
            check(run, done.is_ok(), &what);
        }
    }
}

fn uploads(blocks: usize) {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, blocks));
    let known = manifest(&data.0);
    everywhere(
        &bucket,
        &|run| upload(&store, &name("on-demand-n", run), &data, &known).map(drop),
        &|run, done, what| {
            let file = name("on-demand-n", run).to_string();
            let listed = store.list().unwrap().snapshots.into_iter().find(|s| s.file == file);
            if done {
                let state = listed.unwrap_or_else(|| panic!("{what}: it is not there")).state;
                // Only if the manifest was refused, the object may be unverified.
                assert!(state == State::Verified || what.contains(".metadata"), "{what}: {state:?}");
                let there = std::fs::read(bucket.object(&format!("backups/k3s/{file}"))).unwrap();
                assert!(there == data.0, "{what}: other bytes");
            }
        },
    );
}

#[test]
fn an_upload_in_one_piece_survives_every_fault() {
    uploads(40);
}

#[test]
fn an_upload_in_parts_survives_every_fault() {
    uploads(25_000);
}

#[test]
fn a_list_survives_every_fault() {
    let bucket = Bucket::start();
    for i in 0..1200 {
        bucket.plant(&format!("backups/k3s/on-demand-n-{}", 5000 + i), b"x");
    }
    let store = store(&bucket);
    everywhere(
        &bucket,
        &|_| {
            let listing = store.list()?;
            assert!(listing.complete);
            assert_eq!(listing.snapshots.len(), 1200);
            Ok(())
        },
        &|_, _, _| (),
    );
}

#[test]
fn a_download_goes_on_where_it_broke() {
    let bucket = Bucket::start();
    let data = bytes(9, 25_000);
    bucket.plant("backups/k3s/on-demand-n-5", &data);
    let store = store(&bucket);
    let to = tempfile::tempdir().unwrap();
    everywhere(
        &bucket,
        &|_| {
            let opened = store.open("on-demand-n-5")?;
            let draft = k3s_snapshot::host::Draft::new(to.path())?;
            draft.fill_from(&*opened.data, 3, 5 << 20, &NoProgress)?;
            let reader = draft.reader()?;
            let mut all = vec![0; data.len()];
            reader.read_exact_at(&mut all, 0)?;
            assert!(all == data, "other bytes");
            Ok(())
        },
        &|_, _, _| (),
    );
}

#[test]
fn a_deletion_survives_every_fault_and_keeps_the_manifest_of_what_stays() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 4));
    let known = manifest(&data.0);
    for run in 1000..1100 {
        for stem in ["a", "b"] {
            upload(&store, &name(stem, run), &data, &known).unwrap();
        }
    }
    everywhere(
        &bucket,
        &|run| {
            let names = ["a", "b"].map(|stem| name(stem, run).to_string());
            let names = names.each_ref().map(String::as_str);
            store.list()?;
            store.delete(&names).into_iter().try_for_each(|(_, r)| r.map(drop))
        },
        &|run, done, what| {
            for stem in ["a", "b"] {
                let file = name(stem, run).to_string();
                let listed = store.list().unwrap().snapshots.into_iter().find(|s| s.file == file);
                assert!(!done || listed.is_none(), "{what}: it is still there");
                assert!(listed.is_none_or(|s| s.state == State::Verified), "{what}: it lost its manifest");
            }
        },
    );
}

#[test]
fn unfinished_uploads_of_a_killed_save_are_aborted_and_no_others() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 25_000));
    // The requests of an upload are HEAD, POST, PUT...: all later ones fail, the abort included.
    let faults: Vec<_> = (2..60).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect();
    bucket.front.plan(&faults);
    for run in [1, 2] {
        let _ = upload(&store, &name("on-demand-n", run), &data, &manifest(&data.0)).err().unwrap();
        bucket.front.plan(&faults);
    }
    bucket.front.plan(&[]);
    assert_eq!(bucket.front.uploads().len(), 2);
    assert_eq!(store.abort_stale_uploads(&|file, began| file == "on-demand-n-1" && began > 0, &[]), 1);
    assert_eq!(bucket.front.uploads(), ["backups/k3s/on-demand-n-2"]);
    // A store that lists the uploads of a key only in a request for this very key.
    bucket.front.plan(&[(0, Fault::Answer("<ListMultipartUploadsResult/>".into()))]);
    assert_eq!(store.abort_stale_uploads(&|_, _| true, &["on-demand-n-2"]), 1);
    assert!(bucket.front.uploads().is_empty());
}

fn page(contents: &str, truncated: bool, next: &str) -> Fault {
    Fault::Answer(format!(
        "<ListBucketResult><IsTruncated>{truncated}</IsTruncated><NextContinuationToken>{next}</NextContinuationToken>{contents}</ListBucketResult>"
    ))
}

fn object(key: &str, size: &str) -> String {
    format!(
        "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
    )
}

#[test]
fn a_listing_that_lies_ends_in_an_error() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let inside = "backups/k3s/a-5";
    let huge = format!("<a>{}", "x".repeat(9 << 20));
    for (what, fault) in [
        ("the same token again", page(&object(inside, "5"), true, "t")),
        ("no token", page("", true, "")),
        ("outside the prefix", page(&object("backups/k3s-other/a-5", "5"), false, "")),
        ("no size", page(&object(inside, ""), false, "")),
        ("a size below zero", page(&object(inside, "-5"), false, "")),
        ("a size beyond all", page(&object(inside, "99999999999999999999999"), false, "")),
        ("another document", Fault::Answer("<html/>".into())),
        (
            "a bomb",
            Fault::Answer("<!DOCTYPE x [<!ENTITY a 'b'>]><ListBucketResult>&a;</ListBucketResult>".into()),
        ),
        ("no end", Fault::Answer(huge)),
    ] {
        bucket.front.always(fault);
        let e = store.list().err().unwrap_or_else(|| panic!("{what}: accepted"));
        assert_eq!(kind_of(&e), Kind::Failed, "{what}: {e:#}");
    }
    bucket.front.plan(&[(0, page(&object("backups/k3s/../../x-5", "5"), false, ""))]);
    assert!(store.list().unwrap().snapshots.is_empty(), "a name that leads out of the prefix");
}

#[test]
fn objects_of_other_prefixes_are_neither_listed_nor_entered() {
    let bucket = Bucket::start();
    let data = bytes(9, 4);
    for key in
        ["a-5", "below/a-6", "below/.metadata/a-6.7.-.json", "below/more/a-7", ".metadata/below/a-5.7.-.json"]
    {
        bucket.plant(&format!("backups/k3s/{key}"), &data);
    }
    let store = store(&bucket);
    bucket.front.plan(&[]);
    let files: Vec<String> = store.list().unwrap().snapshots.into_iter().map(|s| s.file).collect();
    assert_eq!(files, ["a-5"]);
    assert!(bucket.front.seen().iter().all(|s| !s.target.contains("below")));
    // A store that does not know the delimiter lists everything at once.
    let all = ["backups/k3s/a-5", "backups/k3s/below/a-6", "backups/k3s/.metadata/a-5.7.6f9c1f0e.json"];
    let all: String = all.iter().map(|key| object(key, "2080")).collect();
    bucket
        .front
        .plan(&[(0, page(&all, false, "")), (1, page(&all[all.rfind("<Contents>").unwrap()..], false, ""))]);
    let rows = store.list().unwrap().snapshots;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].state, rows[0].key_revisions), (State::Verified, Some(7)));
    assert_eq!(rows[0].cluster_id.as_deref(), Some("6f9c1f0e"));
}

#[test]
fn a_listing_shows_the_cluster_of_each_snapshot_without_opening_one() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 4));
    let ours = manifest(&data.0);
    let mut theirs = ours.clone();
    theirs.cluster_id = Some("0badcafe-0000-4000-8000-000000000000".into());
    let mut unknown = ours.clone();
    unknown.cluster_id = None;
    for (at, manifest) in [(1, &ours), (2, &theirs), (3, &unknown)] {
        upload(&store, &name("a", at), &data, manifest).unwrap();
    }
    bucket.plant("backups/k3s/a-4", &data.0);
    bucket.front.plan(&[]);
    let mut rows = store.list().unwrap().snapshots;
    rows.sort_by(|a, b| a.file.cmp(&b.file));
    let clusters: Vec<Option<&str>> = rows.iter().map(|r| r.cluster_id()).collect();
    assert_eq!(clusters, [Some("6f9c1f0e"), Some("0badcafe"), None, None]);
    assert_eq!(rows[0].is_of_cluster(ours.cluster_id.as_deref().unwrap()), Some(true));
    assert_eq!(rows[1].is_of_cluster(ours.cluster_id.as_deref().unwrap()), Some(false));
    assert_eq!(rows[2].is_of_cluster(ours.cluster_id.as_deref().unwrap()), None);
    assert_eq!(bucket.front.seen().len(), 2, "two listings and nothing else");
    // What a listing does not tell, one request does.
    let owner = store.owner_of("a-2").unwrap().unwrap();
    assert_eq!((owner.cluster_id, owner.node.as_deref()), (theirs.cluster_id, Some("server-1")));
    assert_eq!(store.owner_of("a-9").unwrap(), None);
}

/// A disk that gives other bytes from the n-th read of this byte on.
struct Rots {
    bytes: Vec<u8>,
    at: usize,
    from_read: usize,
    reads: std::sync::atomic::AtomicUsize,
}

impl ReadAt for Rots {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> std::io::Result<()> {
        self.bytes.as_slice().read_exact_at(buf, offset)?;
        let offset = offset as usize;
        if (offset..offset + buf.len()).contains(&self.at) {
            let reads = self.reads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if reads >= self.from_read {
                buf[self.at - offset] ^= 1;
            }
        }
        Ok(())
    }
}

#[test]
fn a_file_that_rots_before_or_during_its_upload_never_becomes_an_object() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let mut run = 0;
    for blocks in [4, 25_000] {
        let good = bytes(9, blocks);
        let known = manifest(&good);
        for at in [0, good.len() / 2, good.len() - 1] {
            for from_read in [0, 1] {
                run += 1;
                let what = format!("{blocks} blocks, byte {at}, read {from_read}");
                let data = Rots { bytes: good.clone(), at, from_read, reads: Default::default() };
                let e = upload(&store, &name("a", run), &data, &known).unwrap_err();
                let code = code_of(&e);
                // From the second read on, the digest in the request is the right one, and the store compares it.
                let want = if from_read == 0 { Code::SnapshotCorrupt } else { Code::S3DigestMismatch };
                assert_eq!(code, want, "{what}: {e:#}");
                let rows = store.list().unwrap().snapshots;
                // The server of the tests keeps a body whose digest is wrong; the front only says that it is.
                assert!(rows.iter().all(|s| s.state != State::Verified), "{what}");
                assert!(rows.is_empty() || from_read == 1, "{what}");
                store.delete(&[&name("a", run).to_string()]);
                assert!(bucket.front.uploads().is_empty(), "{what}: {:?}", bucket.front.uploads());
            }
        }
        // An object that claims to be ours is compared with the file, too.
        upload(&store, &name("b", run), &Bytes(good.clone()), &known).unwrap();
        let data = Rots { bytes: good.clone(), at: 7, from_read: 0, reads: Default::default() };
        let e = upload(&store, &name("b", run), &data, &known).unwrap_err();
        assert_eq!(code_of(&e), Code::SnapshotCorrupt, "{e:#}");
        store.delete(&[&name("b", run).to_string()]);
    }
}

#[test]
fn what_was_never_verified_or_is_corrupt_is_not_uploaded() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 4));
    let mut known = manifest(&data.0);
    known.verified_at = None;
    assert_eq!(code_of(&upload(&store, &name("a", 1), &data, &known).unwrap_err()), Code::NotVerified);
    let mut known = manifest(&data.0);
    known.findings.push(FindingRecord::new("page-tree", "page 3"));
    assert_eq!(code_of(&upload(&store, &name("a", 1), &data, &known).unwrap_err()), Code::SnapshotCorrupt);
    assert!(bucket.front.seen().is_empty());
}

#[test]
fn web_pages_are_no_objects_and_large_requests_have_a_code_of_their_own() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 4));
    let put = |at| upload(&store, &name("a", at), &data, &manifest(&data.0));
    bucket.front.always(Fault::Page);
    let e = put(1).unwrap_err();
    assert_eq!(code_of(&e), Code::S3InvalidResponse, "{e:#}");
    assert!(store.open("a-1").is_err_and(|e| code_of(&e) == Code::S3InvalidResponse));
    bucket.front.plan(&[(1, Fault::Refuse(413, ""))]);
    let e = put(2).unwrap_err();
    assert_eq!(code_of(&e), Code::S3BodyTooLarge, "{e:#}");
}

#[test]
fn a_prefix_with_too_many_objects_is_refused_before_it_fills_the_memory() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    // 101 pages of 1000 objects, as a lying store would send them without an end.
    let pages: Vec<_> = (0..120)
        .map(|n| {
            let objects: String =
                (0..1000).map(|i| object(&format!("backups/k3s/a-{}", n * 1000 + i), "544")).collect();
            (n, page(&objects, true, &format!("t{n}")))
        })
        .collect();
    bucket.front.plan(&pages);
    assert_eq!(code_of(&store.list().unwrap_err()), Code::S3TooManyObjects);
    assert!(bucket.front.seen().len() <= 103, "{}", bucket.front.seen().len());
}

#[test]
fn a_wrong_size_in_the_response_to_head_is_an_error_of_the_read() {
    let bucket = Bucket::start();
    let data = bytes(9, 4);
    bucket.plant("backups/k3s/a-5", &data);
    let store = store(&bucket);
    bucket.front.plan(&[(0, Fault::Header("content-length", "999999".into()))]);
    let opened = store.open("a-5").unwrap();
    let mut buf = [0; 10];
    assert!(opened.data.read_exact_at(&mut buf, 0).is_err());
}

#[test]
fn a_listing_of_ten_thousand_snapshots_needs_no_request_for_each() {
    let bucket = Bucket::start();
    for i in 0..10_000 {
        bucket.plant(&format!("backups/k3s/on-demand-n-{}", 100_000 + i), b"x");
    }
    for i in 0..10_000 {
        bucket.plant(&format!("backups/k3s/.metadata/on-demand-n-{}.7.json", 100_000 + i), b"{}");
    }
    bucket.plant("backups/k3s-other/on-demand-n-5", b"x");
    let store = bucket.store_with(|s| s.timeout = Duration::from_secs(60));
    bucket.front.plan(&[]);
    let listing = store.list().unwrap();
    assert_eq!(listing.snapshots.len(), 10_000, "another prefix is not ours");
    // Ten pages of each, and one more because the metadata directory is an item of the first listing.
    assert_eq!(bucket.front.seen().len(), 21);
}

#[test]
fn an_object_of_a_killed_save_is_adopted_and_another_object_is_not() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    for (run, blocks) in [(1, 4), (2, 25_000)] {
        let data = Bytes(bytes(9, blocks));
        upload(&store, &name("a", run), &data, &manifest(&data.0)).unwrap();
        std::fs::remove_file(bucket.object(&format!("backups/k3s/.metadata/a-{run}.3.6f9c1f0e.json")))
            .unwrap();
        let again = upload(&store, &name("a", run), &data, &manifest(&data.0)).unwrap();
        assert_eq!(again.state, State::Verified);
        assert!(
            store.list().unwrap().snapshots.iter().all(|s| s.state == State::Verified),
            "its manifest is back"
        );
        let other = Bytes(bytes(10, blocks));
        assert_eq!(
            kind_of(&upload(&store, &name("a", run), &other, &manifest(&other.0)).err().unwrap()),
            Kind::Refused
        );
    }
}
