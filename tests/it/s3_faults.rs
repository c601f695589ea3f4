// SPDX-License-Identifier: Apache-2.0
//! Every single fault at every single request of an upload, a list, a download and a deletion: it is overcome, or it
//! ends in an error with the right code. Nothing unfinished stays in the bucket, and no answer is believed twice.

use std::time::Duration;

use k3s_snapshot::error::{Kind, kind_of};
use k3s_snapshot::host::NoProgress;
use k3s_snapshot::model::snapshot::State;
use k3s_snapshot::store::s3::S3;
use k3s_snapshot::store::{RemoteStore, Store};

use crate::conformance::{bytes, manifest, name};
use crate::support::bucket::Bucket;
use crate::support::front::Fault;
use crate::support::memory::Bytes;

/// What passes: one more try is enough.
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

/// Runs `deed` once to count its requests, then with each fault at each of them. `deed` gets a number of its own.
fn everywhere(bucket: &Bucket, deed: &dyn Fn(u64) -> anyhow::Result<()>, check: &dyn Fn(u64, bool, &str)) {
    bucket.front.plan(&[]);
    deed(1000).unwrap();
    let requests: Vec<String> =
        bucket.front.seen().iter().map(|s| format!("{} {}", s.method, s.target)).collect();
    let mut run = 1000;
    for (fault, passes) in
        passing().into_iter().map(|f| (f, true)).chain(lasting().into_iter().map(|f| (f, false)))
    {
        for (n, request) in requests.iter().enumerate() {
            // A refusal of a HEAD has no body to say this in.
            if fault == Fault::Refuse(400, "RequestTimeout") && request.starts_with("HEAD") {
                continue;
            }
            run += 1;
            bucket.front.plan(&[(n, fault.clone())]);
            let done = deed(run);
            bucket.front.plan(&[]);
            let what = format!("{fault:?} at request {n} ({request})");
            if passes {
                done.as_ref().map_or_else(|e| panic!("{what}: {e:#}"), drop);
            }
            if let Err(e) = &done {
                let said = format!("{e:#}");
                assert!(!said.contains("X-Amz") && !said.contains("geheim"), "{what}: {said}");
                let kind = kind_of(e);
                let fits = match fault {
                    Fault::Refuse(..) => kind == Kind::Refused,
                    Fault::Redirect => kind == Kind::Config,
                    _ => matches!(kind, Kind::Failed | Kind::Refused | Kind::NotFound),
                };
                assert!(fits, "{what}: {kind:?} {said}");
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
        &|run| store.upload(&name("on-demand-n", run), &data, &known, &NoProgress).map(drop),
        &|run, done, what| {
            let file = name("on-demand-n", run).to_string();
            let listed = store.list().unwrap().snapshots.into_iter().find(|s| s.file == file);
            if done {
                let state = listed.unwrap_or_else(|| panic!("{what}: it is not there")).state;
                // Only where the manifest was refused may it be unchecked.
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
            k3s_snapshot::io::ReadAt::read_exact_at(&reader, &mut all, 0)?;
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
            store.upload(&name(stem, run), &data, &known, &NoProgress).unwrap();
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
fn what_a_kill_leaves_behind_is_swept_and_only_that() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    let data = Bytes(bytes(9, 25_000));
    // The requests of an upload are HEAD, POST, PUT...: all later ones fail, the abort included.
    let faults: Vec<_> = (2..60).map(|n| (n, Fault::Refuse(403, "AccessDenied"))).collect();
    bucket.front.plan(&faults);
    for run in [1, 2] {
        let _ =
            store.upload(&name("on-demand-n", run), &data, &manifest(&data.0), &NoProgress).err().unwrap();
        bucket.front.plan(&faults);
    }
    bucket.front.plan(&[]);
    assert_eq!(bucket.front.uploads().len(), 2);
    assert_eq!(store.abort_stale_uploads(&|file, began| file == "on-demand-n-1" && began > 0, &[]), 1);
    assert_eq!(bucket.front.uploads(), ["backups/k3s/on-demand-n-2"]);
    // A store that lists the uploads of a key only to who names it whole.
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
        ("outside the folder", page(&object("backups/k3s-other/a-5", "5"), false, "")),
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
        let e = store.list().err().unwrap_or_else(|| panic!("{what}: believed"));
        assert_eq!(kind_of(&e), Kind::Failed, "{what}: {e:#}");
    }
    bucket.front.plan(&[(0, page(&object("backups/k3s/../../x-5", "5"), false, ""))]);
    let listing = store.list().unwrap();
    assert_eq!(listing.snapshots[0].state, State::Foreign, "a name that leads out is a stray");
    assert!(store.open(&listing.snapshots[0].file).is_err());
}

#[test]
fn a_wrong_size_in_the_listing_or_the_head_is_not_believed() {
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
fn ten_thousand_snapshots_are_twenty_requests() {
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
    assert_eq!(listing.snapshots.len(), 10_000, "a sibling folder's are not ours");
    assert_eq!(bucket.front.seen().len(), 20);
}

#[test]
fn what_a_dead_save_had_sent_is_found_to_be_ours_and_other_objects_are_not() {
    let bucket = Bucket::start();
    let store = store(&bucket);
    for (run, blocks) in [(1, 4), (2, 25_000)] {
        let data = Bytes(bytes(9, blocks));
        store.upload(&name("a", run), &data, &manifest(&data.0), &NoProgress).unwrap();
        std::fs::remove_file(bucket.object(&format!("backups/k3s/.metadata/a-{run}.3.json"))).unwrap();
        let again = store.upload(&name("a", run), &data, &manifest(&data.0), &NoProgress).unwrap();
        assert_eq!(again.state, State::Verified);
        assert!(
            store.list().unwrap().snapshots.iter().all(|s| s.state == State::Verified),
            "its manifest is back"
        );
        let other = Bytes(bytes(10, blocks));
        assert_eq!(
            kind_of(&store.upload(&name("a", run), &other, &manifest(&other.0), &NoProgress).err().unwrap()),
            Kind::Refused
        );
    }
}
