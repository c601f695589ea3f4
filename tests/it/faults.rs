// SPDX-License-Identifier: Apache-2.0
//! The fault table of save, prune, delete, fetch and upload: kills, signals and failing calls at every call that concerns a
//! file, and servers that are silent, slow, cut or wrong at every request. After each fault, nothing that was verified is lost,
//! no name has a part of a snapshot, the exit code is true, and the next run succeeds.
//!
//! `LONG=1` tries every point of the servers and every third one of the files, otherwise a sample is tried.

mod disk;
mod network;
mod systemd;
mod table;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::support::cli::Tool;
use crate::support::etcd::Etcd;
use crate::support::k3s_root::Layout;
use world::{PASSWORD, World};

/// An etcd with little in it, and a snapshot of it.
fn etcd() -> (Etcd, Vec<u8>) {
    let etcd = Etcd::start_with(Layout { token: PASSWORD.into(), ..Layout::default() });
    etcd.bootstrap(PASSWORD);
    etcd.fill(20, 500);
    let row = Tool::new("save").on(&etcd.root).report().expect(0).row();
    let file = etcd.root.snapshots().join(row["name"].as_str().unwrap());
    (etcd, std::fs::read(file).unwrap())
}

/// Every point with `LONG=1`, otherwise one of `sample`, beginning at another one in each command.
fn sample<T>(points: Vec<T>, sample: usize, first: usize) -> Vec<T> {
    let step = if std::env::var_os("LONG").is_some_and(|v| v == "1") { 1 } else { sample };
    points.into_iter().skip(first % step).step_by(step).collect()
}

/// Tries each point, in as many worlds as there are workers.
fn try_all<T: Sync>(
    etcd: &Etcd,
    data: &[u8],
    workers: usize,
    points: &[T],
    one: &(dyn Fn(&World<'_>, &T) + Sync),
) {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let world = World::new(etcd, data);
                while let Some(point) = points.get(next.fetch_add(1, Relaxed)) {
                    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one(&world, point)));
                    if let Err(panic) = done {
                        *failed.lock().unwrap() = Some(panic);
                        return;
                    }
                }
            });
        }
    });
    if let Some(panic) = failed.into_inner().unwrap() {
        std::panic::resume_unwind(panic);
    }
}
