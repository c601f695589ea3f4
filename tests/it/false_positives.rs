// SPDX-License-Identifier: Apache-2.0
//! Verification must not report damage in a healthy database: whatever a real etcd does to its file by writing, deleting,
//! compacting and defragmenting, a snapshot of it is verified. `ETCD_BIN_DIR` selects another etcd.

use std::fs;

use etcd_client::{DeleteOptions, PutOptions, Txn, TxnOp};

use crate::support::cli::Tool;
use crate::support::etcd::Etcd;
use crate::support::objects::filler;
use crate::support::require::{self, require};

/// A repeatable sequence of numbers.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

fn churn(etcd: &Etcd, numbers: &mut Numbers) {
    let change = numbers.below(9);
    etcd.client(async |c| {
        match change {
            // Many small values, several at one revision.
            0..=2 => {
                for _ in 0..20 {
                    let keys: std::collections::BTreeSet<u64> =
                        (0..1 + numbers.below(60)).map(|_| numbers.below(5_000)).collect();
                    let size = 1 + numbers.below(700) as usize;
                    let puts: Vec<_> = keys
                        .iter()
                        .map(|k| TxnOp::put(format!("/registry/k/{k:05}"), filler(*k, size), None))
                        .collect();
                    c.txn(Txn::new().and_then(puts)).await?;
                }
            }
            // Values of many pages, and empty values.
            3 => {
                for k in 0..4 {
                    let size = numbers.below(600_000) as usize;
                    c.put(format!("/registry/big/{k}"), filler(k, size), None).await?;
                    c.put(format!("/registry/none/{k}"), "", None).await?;
                }
            }
            // A range of keys, perhaps all of them.
            4 => {
                let from = numbers.below(5_000);
                let to = format!("/registry/k/{:05}", from + numbers.below(2_000));
                c.delete(format!("/registry/k/{from:05}"), Some(DeleteOptions::new().with_range(to))).await?;
            }
            5 => {
                c.delete("/registry/", Some(DeleteOptions::new().with_prefix())).await?;
            }
            // A key that is deleted with its lease.
            6 => {
                let lease = c.lease_grant(600, None).await?.id();
                c.put("/registry/leases/a", "x", Some(PutOptions::new().with_lease(lease))).await?;
                if numbers.below(2) == 0 {
                    c.lease_revoke(lease).await?;
                }
            }
            7 => {
                let revision = c.get("a", None).await?.header().map_or(0, |h| h.revision());
                let back = numbers.below(50) as i64;
                // Refused if the revision is compacted already.
                let _ = c.compact((revision - back).max(1), None).await;
            }
            _ => {
                c.defragment().await?;
            }
        }
        Ok(())
    });
}

#[test]
fn every_snapshot_of_a_changing_etcd_is_verified() {
    require!(require::etcd_programs());
    let etcd = Etcd::start();
    let mut numbers = Numbers(20_261_122);
    let rounds = if std::env::var_os("LONG").is_some() { 600 } else { 60 };
    for round in 0..rounds {
        churn(&etcd, &mut numbers);
        let run = Tool::new("save").on(&etcd.root).args(&["--report", "json"]).run();
        assert_eq!(run.code, Some(0), "round {round}: {run:#?}");
        assert_eq!(run.json()["snapshots"][0]["state"], "verified");
        for name in etcd.root.snapshot_names() {
            fs::remove_file(etcd.root.snapshots().join(name)).unwrap();
        }
    }
}
