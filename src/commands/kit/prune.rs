// SPDX-License-Identifier: Apache-2.0
//! Deletes the kits that no snapshot needs any more. If it is not known which are needed, all are kept.

use anyhow::Result;

use crate::model::kit::{KitName, KitNeeds, StoredKit, unneeded};
use crate::model::report::Report;
use crate::model::retention::ClusterScope;
use crate::model::snapshot::Snapshot;
use crate::model::warning::WarningCode;
use crate::store::{KitStore, LocalKits, RemoteStore};

/// Deletes kits of this machine. `left` are the snapshots of the snapshot directory that were not deleted.
pub(in crate::commands) fn prune_local(kits: &LocalKits, left: &[&Snapshot], now: u64, report: &mut Report) {
    let unnamed =
        left.iter().filter(|s| s.name.is_some() && s.manifest.as_ref().is_none_or(|m| m.kit.is_none()));
    let unnamed: Vec<u64> = unnamed.map(|s| s.created_at).collect();
    finish(prune(kits, &|_| true, &unnamed, now), report);
}

/// Deletes kits of these clusters from a bucket.
pub(in crate::commands) fn prune_remote(
    remote: &dyn RemoteStore,
    clusters: ClusterScope,
    now: u64,
    report: &mut Report,
) {
    let Some(kits) = remote.kits() else { return };
    let is_meant = |kit: &StoredKit| match clusters {
        ClusterScope::All => true,
        ClusterScope::Own(id) => kit.name.cluster().is_some_and(|cluster| id.starts_with(cluster)),
        ClusterScope::Unknown => false,
    };
    finish(prune(kits, &is_meant, &[], now), report);
}

fn prune(
    store: &dyn KitStore,
    is_meant: &dyn Fn(&StoredKit) -> bool,
    unnamed: &[u64],
    now: u64,
) -> Result<usize> {
    let mut kits = store.kits()?;
    kits.retain(is_meant);
    // Most runs end here, without a look at every manifest.
    if unneeded(&kits, &KitNeeds::default(), now).is_empty() {
        return Ok(0);
    }
    let mut needs = store.needs()?;
    needs.unnamed.extend(unnamed);
    let unneeded: Vec<KitName> = unneeded(&kits, &needs, now);
    for name in &unneeded {
        store.delete_kit(name)?;
        log::info!("deleted the recovery kit '{}', which no snapshot needs", name.to_string().escape_debug());
    }
    Ok(unneeded.len())
}

fn finish(pruned: Result<usize>, report: &mut Report) {
    if let Err(e) = pruned {
        report.warn(WarningCode::TidyFailed, format!("recovery kits are kept: {e:#}"));
    }
}
