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
pub(crate) enum Keys {
    /// Private keys, for the kit that the snapshot names.
    Identities(Identities),
    /// A kit that was opened already, with its name.
    Kit(Box<Kit>, String),
    /// The server token, without a kit.
    Token(Secret),
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
        return Err(Fault::new(Code::OtherCluster, what)
            .hint("Omit --cluster, or name another snapshot.")
            .into());
    }
    let (kit, token) = match keys {
        Keys::Token(token) => (None, token.clone()),
        Keys::Kit(kit, name) => (Some((Kit::clone(kit), name.clone())), kit.tokens.server.clone()),
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
        s.state == State::Verified
            && s.name.is_some()
            && s.created_at <= limit
            && !s.file.starts_with(&safety)
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
        let described =
            rows().map(|(id, _, newest)| describe(wanted, id, newest)).collect::<Result<Vec<_>>>()?;
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
    let has_node =
        manifest.and_then(|m| m.node.as_deref()).is_some_and(|node| node.eq_ignore_ascii_case(cluster));
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
            return Err(Fault::new(Code::TokenMismatch, what)
                .hint("Use the kit or the token of this snapshot.")
                .into());
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
                let what =
                    format!("it is not known whether the newest snapshot '{}' is authentic", shown(file));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;
    use crate::model::kit::tests::kit as kit_of_test;
    use crate::model::manifest::tests::manifest;
    use crate::model::name::SnapshotName;
    use crate::model::snapshot::{FileId, Listing, Manifest};

    const ONE: &str = "6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11";
    const OTHER: &str = "0b7c6a8f-3a52-4d0b-9d1e-5b7c6a8f2e11";
    const NOW: u64 = 1_800_000_000;

    /// The data of a snapshot, which is not read here.
    struct Unread;

    impl crate::io::ReadAt for Unread {
        fn size(&self) -> u64 {
            0
        }

        fn read_exact_at(&self, _: &mut [u8], _: u64) -> std::io::Result<()> {
            Err(std::io::ErrorKind::UnexpectedEof.into())
        }
    }

    /// A bucket with these snapshots.
    struct Bucket(Vec<Snapshot>, bool);

    impl Store for Bucket {
        fn list(&self) -> Result<Listing> {
            // A listing of a bucket has no manifests.
            let row = |s: &Snapshot| Snapshot {
                cluster_id: s.cluster_id().and_then(|id| id.get(..8)).map(str::to_owned),
                manifest: None,
                ..s.clone()
            };
            let snapshots = self.0.iter().map(row).collect();
            Ok(Listing { snapshots, complete: true, manifests_readable: self.1 })
        }

        fn open(&self, file: &str) -> Result<Opened> {
            let snapshot = self.0.iter().find(|s| s.file == file).cloned();
            let snapshot = snapshot.ok_or_else(|| Fault::new(Code::SnapshotNotFound, "none"))?;
            Ok(Opened {
                data: Box::new(Unread),
                id: FileId { dev: 1, ino: 2, size: 3, mtime_ns: 4, ctime_ns: 5 },
                manifest: snapshot.manifest.clone(),
                snapshot,
            })
        }

        fn record(
            &self,
            _: &str,
            _: &mut dyn FnMut(Option<&Manifest>) -> Option<Manifest>,
        ) -> Result<Option<Manifest>> {
            Err(anyhow::anyhow!("nothing is written"))
        }

        fn delete(&self, _: &[&str]) -> Vec<(String, Result<bool>)> {
            vec![]
        }

        fn delete_orphan_manifests(&self, _: u64) -> Result<usize> {
            Ok(0)
        }
    }

    /// A snapshot that was saved `age` seconds ago, with an authentication code of a token.
    fn snapshot(base: &str, age: u64, cluster: &str, state: State, token: Option<&str>) -> Snapshot {
        let created_at = NOW.saturating_sub(age);
        let file = format!("{base}-server-1-{created_at}");
        let (node, cluster_id) = (Some("server-1".to_owned()), Some(cluster.to_owned()));
        let mut m = Manifest { name: file.clone(), node, cluster_id, ..manifest() };
        m.token_hash = vec![token::hash("geheim")];
        if let Some(token) = token {
            m.authentication = Keyring::new([&Secret::new(token)]).authenticate(&[], &m.covered_facts());
        }
        Snapshot {
            name: SnapshotName::parse(&file),
            location: format!("s3://b/{file}"),
            file,
            size: 544,
            created_at,
            state,
            manifest: Some(m),
            key_revisions: None,
            cluster_id: None,
        }
    }

    fn selected(bucket: &Bucket, name: Option<&str>, cluster: Option<&str>) -> Result<Selected> {
        let wanted = Wanted { store: bucket, name, cluster, safety_base: "pre-restore", now: NOW };
        let selected = select(&wanted, None, &Keys::Kit(Box::new(kit_of_test()), "kit".to_owned()))?;
        selected.ensure_fits(bucket, false).map(|()| selected)
    }

    fn file(found: Result<Selected>) -> String {
        found.unwrap().opened.snapshot.file
    }

    fn code(found: Result<Selected>) -> Code {
        code_of(&found.err().unwrap())
    }

    #[test]
    fn the_newest_verified_snapshot_of_one_cluster_is_meant() {
        let good = |age| snapshot("timer", age, ONE, State::Verified, Some("geheim"));
        let bucket = Bucket(
            vec![
                good(300),
                good(200),
                snapshot("corrupt", 100, ONE, State::Corrupt, Some("geheim")),
                snapshot("unverified", 90, ONE, State::Unverified, Some("geheim")),
                snapshot("pre-restore", 80, ONE, State::Verified, Some("geheim")),
                Snapshot { created_at: NOW + 1000, ..good(50) },
            ],
            true,
        );
        assert_eq!(file(selected(&bucket, None, None)), good(200).file);
        assert_eq!(file(selected(&bucket, Some(&good(300).file), None)), good(300).file);
        assert_eq!(code(selected(&bucket, Some(&good(300).file), Some("ffff"))), Code::OtherCluster);
        assert_eq!(code(selected(&bucket, Some("none-1"), None)), Code::SnapshotNotFound);
        assert_eq!(code(selected(&Bucket(vec![], true), None, None)), Code::SnapshotNotFound);
        assert_eq!(code(selected(&Bucket(vec![good(1)], false), None, None)), Code::ListingIncomplete);
    }

    #[test]
    fn several_clusters_need_the_name_of_one() {
        let (one, mut other) = (
            snapshot("timer", 300, ONE, State::Verified, Some("geheim")),
            snapshot("timer", 200, OTHER, State::Verified, Some("geheim")),
        );
        other.manifest.as_mut().unwrap().node = Some("server-9".to_owned());
        let (a, b) = (one.file.clone(), other.file.clone());
        let bucket = Bucket(vec![one, other], true);
        let error = selected(&bucket, None, None).err().unwrap();
        assert_eq!(code_of(&error), Code::ClusterAmbiguous);
        for word in ["6f9c1f0e", "0b7c6a8f", "server-1", "server-9"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        for cluster in [ONE, "6f9c", "6f9c1f0e", "server-1"] {
            assert_eq!(file(selected(&bucket, None, Some(cluster))), a, "{cluster}");
        }
        // The kit of another cluster.
        assert_eq!(code(selected(&bucket, None, Some("Server-9"))), Code::OtherCluster);
        assert_eq!(code(selected(&bucket, Some(&b), None)), Code::OtherCluster);
        assert_eq!(code(selected(&bucket, None, Some("server-2"))), Code::ClusterNotFound);
    }

    #[test]
    fn a_snapshot_that_no_holder_of_the_token_has_saved_is_not_the_newest() {
        let good = snapshot("timer", 300, ONE, State::Verified, Some("geheim"));
        let forged = |token| snapshot("forged", 200, ONE, State::Verified, token);
        let with = |newest: Snapshot| Bucket(vec![good.clone(), newest], true);
        for token in [None, Some("other")] {
            assert_eq!(code(selected(&with(forged(token)), None, None)), Code::AuthenticityUnverified);
        }
        let mut replayed = forged(Some("geheim"));
        replayed.manifest.as_mut().unwrap().revision = 1;
        assert_eq!(code(selected(&with(replayed), None, None)), Code::NotAuthentic);
        // An old program has saved all of them.
        let all = Bucket(vec![forged(None)], true);
        assert_eq!(file(selected(&all, None, None)), forged(None).file);
        let mut rotated = forged(Some("geheim"));
        rotated.manifest.as_mut().unwrap().token_hash = vec!["0123456789ab".to_owned()];
        assert_eq!(code(selected(&with(rotated), None, None)), Code::TokenMismatch);
    }

    #[test]
    fn a_snapshot_without_a_kit_needs_one_or_a_token() {
        let bucket = Bucket(vec![snapshot("timer", 300, ONE, State::Verified, Some("geheim"))], true);
        let (key, _) = crate::archive::age::generate();
        let identities = Identities::parse(&key).unwrap();
        let wanted =
            Wanted { store: &bucket, name: None, cluster: None, safety_base: "pre-restore", now: NOW };
        assert_eq!(code(select(&wanted, None, &Keys::Identities(identities))), Code::KitNotFound);
        let selected = select(&wanted, None, &Keys::Token(Secret::new("geheim"))).unwrap();
        assert!(selected.kit.is_none() && selected.ensure_fits(&bucket, false).is_ok());
    }
}
