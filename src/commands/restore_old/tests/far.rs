// SPDX-License-Identifier: Apache-2.0
//! Snapshots that lie in the bucket: another folder stands in for it.
#![cfg(test)]

use super::*;

const LATER: &str = "on-demand-server-2-1795339300";

/// A world whose folder lacks the snapshot, and whose bucket has what the closure plants there.
fn world(target: &'static str, plant: impl FnOnce(&Path)) -> World {
    let mut world = World::new();
    let far = world.root.path().join("bucket");
    fs::create_dir(&far).unwrap();
    plant(&far);
    world.target = target;
    world.far = Some(far);
    world
}

fn bare(target: &'static str, plant: impl FnOnce(&Path)) -> World {
    let world = world(target, plant);
    fs::remove_file(world.db().join("snapshots").join(NAME)).unwrap();
    world
}

#[track_caller]
fn asked(world: &World) -> bool {
    world.log.borrow().contains(&"open-bucket")
}

#[test]
fn a_name_that_is_not_here_is_fetched_and_restored() {
    let world = bare(NAME, |far| fs::write(far.join(NAME), SNAPSHOT).unwrap());
    world.run(false).unwrap();
    assert!(world.serves() && world.restored());
    assert!(!world.db().join("snapshots").join(NAME).exists(), "it is not put among the snapshots");
    free(&world, "fetched");
}

#[test]
fn a_name_that_is_here_asks_no_bucket() {
    let world = world(NAME, |_| ());
    world.run(false).unwrap();
    assert!(world.restored() && !asked(&world));
}

#[test]
fn a_zip_is_fetched_unpacked_and_proven() {
    const ZIP: &str = "on-demand-server-1-1795339215.zip";
    for damage in [false, true] {
        let world = bare(ZIP, |far| {
            let file = fs::File::create(far.join(ZIP)).unwrap();
            let mut bytes = SNAPSHOT.to_vec();
            if damage {
                bytes[9000] ^= 1;
            }
            crate::archive::zip::pack(&bytes.as_slice(), NAME, 0, &file, &NoProgress).unwrap();
        });
        let before = Before::of(&world);
        match (world.run(false), damage) {
            (Ok(()), false) => assert!(world.restored()),
            (Err(e), true) => {
                assert_eq!(kind_of(&e), Kind::Corrupt, "{e:#}");
                before.holds(&world, "damaged");
            }
            (done, _) => panic!("damage: {damage}: {done:?}"),
        }
        free(&world, "zip");
    }
}

#[test]
fn the_newest_is_the_newest_of_both_places() {
    // Here the older one; a later one there, and one that a restore of another server has saved.
    let both = |far: &Path| {
        fs::write(far.join(LATER), SNAPSHOT).unwrap();
        fs::write(far.join("pre-restore-server-2-1795339400"), b"not this one").unwrap();
    };
    let far = world("latest", both);
    far.run(false).unwrap();
    assert!(far.restored());
    let opened = far.log.borrow().iter().filter(|what| **what == "open-bucket").count();
    assert_eq!(opened, 2, "listed, then fetched from");
    // The same in both places is taken from here.
    let same = world("latest", |far| fs::write(far.join(NAME), b"short").unwrap());
    same.run(false).unwrap();
    assert!(same.restored());
    // A newer one here.
    let here = world("latest", |far| fs::write(far.join("on-demand-server-1-5"), b"older").unwrap());
    here.run(false).unwrap();
    assert!(here.restored());
}

#[test]
fn a_bucket_that_cannot_be_asked_is_no_reason_to_guess() {
    let mut world = world("latest", |_| ());
    world.far = Some(world.root.path().join("nowhere"));
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert!(e.to_string().contains("the newest snapshot may lie in the bucket"), "{e:#}");
    assert!(crate::error::hint_of(&e).unwrap().contains("--s3=false"));
    before.holds(&world, "not listed");
}

#[test]
fn what_is_in_neither_place_is_missing_and_both_are_named() {
    let world = bare(NAME, |_| ());
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!(kind_of(&e), Kind::NotFound);
    let text = e.to_string();
    assert!(text.contains("/snapshots'") && text.contains("/bucket'"), "{text}");
    before.holds(&world, "missing");
}

#[test]
fn what_is_damaged_there_touches_nothing() {
    let world = bare(NAME, |far| fs::write(far.join(NAME), &SNAPSHOT[..SNAPSHOT.len() / 2]).unwrap());
    let before = Before::of(&world);
    let e = world.run(false).unwrap_err();
    assert_eq!(kind_of(&e), Kind::Corrupt, "{e:#}");
    before.holds(&world, "damaged");
}
