// SPDX-License-Identifier: Apache-2.0
//! Which snapshot is restored, and with which kit. Nothing is guessed: a bucket that holds several clusters needs the name of one.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};

use crate::archive::age::Identities;
use crate::commands::authenticity;
use crate::commands::kit::read_kit;
use crate::error::{Code, Fault};
use crate::model::authenticity::{Authenticity, Keyring};
use crate::model::kit::Kit;
use crate::model::report::rfc3339;
use crate::model::secret::Secret;
use crate::model::snapshot::{MIN_CLUSTER_DIGITS, Snapshot, State};
use crate::model::token;
use crate::store::{KitStore, Opened, Store};
use crate::util::MAX_CLOCK_SKEW;

/// What opens the bootstrap data of the snapshot.
pub(crate) enum Keys<'a> {
    /// Private keys, for the kit that the snapshot names.
    Identities(&'a Identities),
    /// A kit that was opened already, with its name.
    Kit(&'a Kit, &'a str),
    /// The server token, without a kit.
    Token(&'a Secret),
}

/// Where it is looked for.
pub(super) struct Wanted<'a> {
    /// The snapshots.
    pub(super) store: &'a dyn Store,
    /// The name of a snapshot; `None` for the newest verified one.
    pub(super) name: Option<&'a str>,
    /// The beginning of the id of a cluster, or the name of one of its nodes.
    pub(super) cluster: Option<&'a str>,
    /// The base name of snapshots of the state before a restore, which are not meant.
    pub(super) safety_base: &'a str,
    /// Seconds since the epoch.
    pub(super) now: u64,
}

/// The snapshot, with what opens it.
pub(super) struct Selected {
    pub(super) opened: Opened,
    /// The kit and its name; `None` if the token was given.
    pub(super) kit: Option<(Kit, String)>,
    /// The server token.
    pub(super) token: Secret,
    /// The other verified snapshots of its cluster, the newest first.
    older: Vec<String>,
}

/// Selects the snapshot and opens its kit.
///
/// # Errors
/// If nothing, or more than one cluster, fits, or the kit cannot be opened.
pub(super) fn select(wanted: &Wanted, kits: Option<&dyn KitStore>, keys: &Keys) -> Result<Selected> {
    let (file, older) = match wanted.name {
        Some(name) => (name.to_owned(), vec![]),
        None => newest(wanted)?,
    };
    let opened = wanted.store.open(&file)?;
    if let (Some(_), Some(cluster)) = (wanted.name, wanted.cluster)
        && !is_of(&opened, cluster)
    {
        let what = format!("'{}' is not a snapshot of the cluster '{}'", shown(&file), shown(cluster));
        return Err(Fault::new(Code::OtherCluster, what).hint("Omit --cluster, or name another snapshot.").into());
    }
    let (kit, token) = match keys {
        Keys::Token(token) => (None, (*token).clone()),
        Keys::Kit(kit, name) => (Some(((*kit).clone(), (*name).to_owned())), kit.tokens.server.clone()),
        Keys::Identities(identities) => {
            let (kit, name) = kit_of(&opened, kits, identities)?;
            let token = kit.tokens.server.clone();
            (Some((kit, name)), token)
        }
    };
    Ok(Selected { opened, kit, token, older })
}

/// The kit that the manifest of a snapshot names.
fn kit_of(opened: &Opened, kits: Option<&dyn KitStore>, identities: &Identities) -> Result<(Kit, String)> {
    let missing = |why: &str| {
        let what = format!("the snapshot '{}' {why}", shown(&opened.snapshot.file));
        Fault::new(Code::KitNotFound, what)
            .hint("Give a kit with --kit FILE, or the server token with --token-file FILE.")
    };
    let name = opened.manifest.as_ref().and_then(|manifest| manifest.kit.as_deref());
    let name = name.ok_or_else(|| missing("names no recovery kit"))?;
    let kits = kits.ok_or_else(|| missing("is in a location without recovery kits"))?;
    Ok((read_kit(kits, name, identities)?, name.to_owned()))
}

/// The newest verified snapshot of the one cluster that is meant, and the older ones.
fn newest(wanted: &Wanted) -> Result<(String, Vec<String>)> {
    let listing = wanted.store.list()?;
    if !listing.complete || !listing.manifests_readable {
        return Err(Fault::new(Code::ListingIncomplete, "not everything in the bucket could be listed")
            .hint("Correct the permissions of the key, or give the name of a snapshot.")
            .into());
    }
    let limit = wanted.now.saturating_add(MAX_CLOCK_SKEW);
    let safety = format!("{}-", wanted.safety_base);
    let mut all: Vec<Snapshot> = listing.sorted();
    all.retain(|s| {
        s.state == State::Verified && s.name.is_some() && s.created_at <= limit && !s.file.starts_with(&safety)
    });
    all.reverse();
    let mut clusters: BTreeMap<&str, Vec<&Snapshot>> = BTreeMap::new();
    for snapshot in &all {
        let id = snapshot.cluster_id().and_then(|id| id.get(..MIN_CLUSTER_DIGITS)).unwrap_or_default();
        clusters.entry(id).or_default().push(snapshot);
    }
    let of_cluster = one_cluster(wanted, &clusters)?;
    let mut files = of_cluster.iter().map(|snapshot| snapshot.file.clone());
    let newest = files.next().ok_or_else(|| {
        Fault::new(Code::SnapshotNotFound, "there is no verified snapshot to rebuild from")
            .hint("Run 'k3s-snapshot list --s3' to see the snapshots, and give the name of one.")
    })?;
    Ok((newest, files.collect()))
}

/// The snapshots of the cluster that is meant, the newest first.
fn one_cluster<'a>(
    wanted: &Wanted,
    clusters: &'a BTreeMap<&str, Vec<&'a Snapshot>>,
) -> Result<&'a [&'a Snapshot]> {
    let rows = || clusters.iter().filter_map(|(id, all)| Some((*id, all.as_slice(), *all.first()?)));
    let Some(cluster) = wanted.cluster else {
        if clusters.len() < 2 {
            return Ok(clusters.values().next().map_or(&[], Vec::as_slice));
        }
        let described = rows().map(|(id, _, newest)| describe(wanted, id, newest)).collect::<Result<Vec<_>>>()?;
        let what = format!("the bucket holds snapshots of several clusters: {}", described.join("; "));
        return Err(Fault::new(Code::ClusterAmbiguous, what).hint("Name one with --cluster ID.").into());
    };
    let mut found = Vec::new();
    for (id, all, newest) in rows() {
        let is_id = !id.is_empty() && (id.starts_with(cluster) || cluster.starts_with(id));
        if is_id || is_of(&wanted.store.open(&newest.file)?, cluster) {
            found.push(all);
        }
    }
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(Fault::new(
            Code::ClusterNotFound,
            format!("there is no verified snapshot of the cluster '{}'", shown(cluster)),
        )
        .hint("Run the command without --cluster to see the clusters in the bucket.")
        .into()),
        _ => Err(Fault::new(
            Code::ClusterAmbiguous,
            format!("'{}' fits more than one cluster in the bucket", shown(cluster)),
        )
        .hint("Give more digits of the cluster id.")
        .into()),
    }
}

/// One cluster for the operator: its id, the node that saved its newest snapshot, and when.
fn describe(wanted: &Wanted, id: &str, newest: &Snapshot) -> Result<String> {
    let opened = wanted.store.open(&newest.file)?;
    let node = opened.manifest.as_ref().and_then(|m| m.node.clone()).unwrap_or_else(|| "unknown".to_owned());
    let id = if id.is_empty() { "unknown id" } else { id };
    Ok(format!("{id} (server '{}', newest snapshot of {})", shown(&node), rfc3339(newest.created_at)))
}

/// Whether a snapshot is of a cluster with this id, or was saved by a node with this name.
fn is_of(opened: &Opened, cluster: &str) -> bool {
    let manifest = opened.manifest.as_ref();
    let has_node = manifest.and_then(|m| m.node.as_deref()).is_some_and(|node| node.eq_ignore_ascii_case(cluster));
    has_node || cluster.len() >= 4 && opened.snapshot.cluster_id().is_some_and(|id| id.starts_with(cluster))
}

impl Selected {
    /// Fails unless the token is the one that the snapshot needs, and a holder of the token saved it, as far as its manifest
    /// tells. The restore reads the snapshot itself.
    ///
    /// # Errors
    /// [`Code::TokenMismatch`], [`Code::OtherCluster`], [`Code::NotAuthentic`], or [`Code::AuthenticityUnverified`] if older
    /// snapshots are authentic and this one is not known to be.
    pub(super) fn ensure_fits(&self, store: &dyn Store, force: bool) -> Result<()> {
        let token = &self.token;
        let file = &self.opened.snapshot.file;
        let manifest = self.opened.manifest.as_ref();
        let hash = token::hash(token.expose());
        let needs = manifest.map(|m| m.token_hash.clone()).unwrap_or_default();
        if !needs.is_empty() && !needs.contains(&hash) {
            let what = format!(
                "the server token has the hash {hash}, and the snapshot '{}' needs {}",
                shown(file),
                needs.join(" or ")
            );
            return Err(Fault::new(Code::TokenMismatch, what).hint("Use the kit or the token of this snapshot.").into());
        }
        if let (Some((kit, _)), Some(id)) = (&self.kit, self.opened.snapshot.cluster_id())
            && kit.cluster_id.as_deref().is_some_and(|of_kit| of_kit != id)
        {
            let what = format!("the recovery kit is of another cluster than the snapshot '{}'", shown(file));
            return Err(Fault::new(Code::OtherCluster, what).hint("Use the kit of this snapshot.").into());
        }
        let keyring = Keyring::new([token]);
        let check = |opened: &Opened| {
            let m = opened.manifest.as_ref();
            m.and_then(|m| keyring.check(m.authentication.as_ref(), &m.covered_facts()))
        };
        let found = check(&self.opened).unwrap_or(Authenticity::Missing);
        if let Some(error) = authenticity::error(Some(found), file) {
            return Err(error.hint("Give the name of another snapshot.").into());
        }
        if found == Authenticity::Authentic || force {
            return Ok(());
        }
        for older in &self.older {
            let opened = store.open(older).context("looking for an authentic snapshot")?;
            if check(&opened) == Some(Authenticity::Authentic) {
                let what = format!("it is not known whether the newest snapshot '{}' is authentic", shown(file));
                let hint = format!("Give a name: '{}' is the newest authentic snapshot.", shown(older));
                return Err(Fault::new(Code::AuthenticityUnverified, what).hint(hint).into());
            }
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}
