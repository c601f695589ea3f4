// SPDX-License-Identifier: Apache-2.0
//! kit verify: opens a kit with an identity, and verifies that its token decrypts the bootstrap data of the newest snapshot.

use anyhow::{Context as _, Result};

use super::open::open_kit;
use crate::archive::age::Identities;
use crate::archive::zip;
use crate::commands::verify::download_while;
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::inspect::{self, Content};
use crate::io::ReadAt;
use crate::model::kit::{Kit, KitName, KitReport, KitSummary, KitVerification};
use crate::model::report::Report;
use crate::model::snapshot::{Snapshot, State};
use crate::model::{bootstrap, token};
use crate::store::{KitStore, LocalKits, Opened, Store};

/// What is verified, and with what.
pub(crate) struct VerifyRequest<'a> {
    /// The name of the kit; `None` for the one that the newest snapshot names.
    pub(crate) kit: Option<&'a str>,
    /// The kit of this name, if it was opened already.
    pub(crate) opened: Option<&'a Kit>,
    /// The private keys.
    pub(crate) identities: &'a Identities,
    /// Where the snapshots are.
    pub(crate) store: &'a dyn Store,
    /// Where the kits are.
    pub(crate) kits: &'a dyn KitStore,
    /// The kits of this machine, where the verification is recorded.
    pub(crate) local: &'a LocalKits,
    /// The public keys that are configured.
    pub(crate) recipients: &'a [String],
    /// How a snapshot is read.
    pub(crate) reading: Reading<'a>,
    /// Seconds since the epoch.
    pub(crate) now: u64,
}

/// How a snapshot is read that is opened with the token of a kit.
pub(crate) struct Reading<'a> {
    /// If the snapshots are in a bucket: how many requests a download may have in flight.
    pub(crate) parallel: Option<usize>,
    /// An unnamed file with room for this many bytes.
    pub(crate) scratch: &'a dyn Fn(u64) -> Result<Draft>,
}

/// Verifies a kit against the newest snapshot, and records the verification.
///
/// # Errors
/// If there is no kit or no snapshot, the kit cannot be opened, or its token does not open the snapshot.
pub(crate) fn verify(req: &VerifyRequest, progress: &dyn Progress, report: &mut Report) -> Result<()> {
    let in_force = req.local.sealed()?;
    let wanted = req.kit.or(in_force.as_ref().map(|sealed| sealed.name.as_str())).and_then(KitName::parse);
    let cluster = wanted.as_ref().and_then(KitName::cluster);
    let newest = newest(req.store, cluster)?;
    let opened = req.store.open(&newest.file)?;
    let of_snapshot = opened.manifest.as_ref().and_then(|manifest| manifest.kit.as_deref());
    let name = req.kit.or(of_snapshot).ok_or_else(|| {
        let what = format!("the newest snapshot '{}' names no recovery kit", newest.file.escape_debug());
        Fault::new(Code::KitNotFound, what)
            .hint("Set kit-recipients with 'k3s-snapshot kit init', then run 'k3s-snapshot save'.")
    })?;
    let kit = match req.opened {
        Some(kit) => kit.clone(),
        None => read_kit(req.kits, name, req.identities)?,
    };
    report.kit = Some(KitReport {
        name: Some(name.to_owned()),
        content: Some(KitSummary::new(&kit)),
        ..KitReport::default()
    });
    ensure_opens(&req.reading, &kit, &opened, progress)?;
    let is_in_force =
        in_force.is_some_and(|sealed| sealed.name == name && sealed.recipients == req.recipients);
    if is_in_force {
        req.local.record_verification(&KitVerification {
            kit: name.to_owned(),
            snapshot: newest.file.clone(),
            recipients: req.recipients.to_vec(),
            at: req.now,
        })?;
    }
    if let Some(kit) = &mut report.kit {
        (kit.snapshot, kit.recorded) = (Some(newest.file), Some(is_in_force));
    }
    Ok(())
}

/// Reads and opens the kit of this name.
///
/// # Errors
/// [`Code::KitNotFound`], or as [`open_kit`].
pub(crate) fn read_kit(kits: &dyn KitStore, name: &str, identities: &Identities) -> Result<Kit> {
    let missing = |why: &str| {
        let what = format!("the recovery kit '{}' {why}", name.escape_debug());
        Fault::new(Code::KitNotFound, what)
            .hint("Look for it in the bucket with --s3, and in /var/lib/k3s-snapshot/kits on the servers.")
    };
    let parsed = KitName::parse(name).ok_or_else(|| missing("has a name that no kit has"))?;
    let sealed = kits.read_kit(&parsed)?.ok_or_else(|| missing("does not exist"))?;
    open_kit(&sealed, name, identities)
}

/// The newest verified snapshot, of a cluster if that is known.
fn newest(store: &dyn Store, cluster: Option<&str>) -> Result<Snapshot> {
    let listing = store.list()?;
    let is_meant = |s: &Snapshot| {
        s.state == State::Verified
            && s.name.is_some()
            && cluster.is_none_or(|cluster| s.is_of_cluster(cluster) != Some(false))
    };
    let all = listing.snapshots.into_iter().filter(is_meant);
    all.max_by_key(|s| s.created_at).ok_or_else(|| {
        Fault::new(Code::SnapshotNotFound, "there is no verified snapshot to verify the recovery kit with")
            .hint("Save one with 'k3s-snapshot save'.")
            .into()
    })
}

/// Fails unless the token of the kit decrypts the bootstrap data of the snapshot.
///
/// # Errors
/// [`Code::TokenMismatch`], [`Code::BootstrapDataUnreadable`] or [`Code::OtherCluster`]; others if the snapshot cannot be read.
pub(crate) fn ensure_opens(req: &Reading, kit: &Kit, opened: &Opened, progress: &dyn Progress) -> Result<()> {
    let (file, hash) = (opened.snapshot.file.escape_debug(), token::hash(kit.tokens.server.expose()));
    let mismatch = |needs: &[&str]| {
        let needs = if needs.is_empty() { "none".to_owned() } else { needs.join(" or ") };
        let what = format!(
            "the token of the recovery kit has the hash {hash}, and the snapshot '{file}' needs {needs}"
        );
        Fault::new(Code::TokenMismatch, what)
            .hint("Save a new snapshot with 'k3s-snapshot save', then verify its kit.")
    };
    let content = content(req, opened, progress)?;
    let needs: Vec<&str> = content.bootstrap.iter().map(|b| b.hash.as_str()).collect();
    let sealed = content.bootstrap.iter().find(|b| b.hash == hash).ok_or_else(|| mismatch(&needs))?;
    let parsed = token::parse(&kit.tokens.server).map_err(|why| {
        Fault::new(Code::TokenInvalid, format!("the token of the recovery kit cannot be used: {why}"))
    })?;
    bootstrap::open(&sealed.value, &parsed.password).map_err(|why| {
        Fault::new(Code::BootstrapDataUnreadable, format!("opening the bootstrap data of '{file}': {why}"))
            .hint("Save a new snapshot with 'k3s-snapshot save', then verify its kit.")
    })?;
    match (&kit.cluster_id, &content.facts.cluster_id) {
        (Some(kit), Some(snapshot)) if kit != snapshot => Err(Fault::new(
            Code::OtherCluster,
            format!("the recovery kit is of the cluster {kit}, the snapshot '{file}' of {snapshot}"),
        )
        .hint("Name the kit of this cluster.")
        .into()),
        _ => Ok(()),
    }
}

/// What the snapshot holds; one in a bucket or in a zip is copied first.
fn content(req: &Reading, opened: &Opened, progress: &dyn Progress) -> Result<Content> {
    let (file, data) = (&opened.snapshot.file, &*opened.data);
    let copy = match req.parallel {
        Some(parallel) => {
            let draft = (req.scratch)(data.size())?;
            download_while(data, file, (parallel, true), &draft, progress, |_| Ok(()))?;
            Some(draft.reader()?)
        }
        None => None,
    };
    let data = copy.as_ref().map_or(data, |copy| copy as &dyn ReadAt);
    if !opened.snapshot.name.as_ref().is_some_and(|name| name.suffix.is_zip()) {
        return read_content(data, file);
    }
    let draft = (req.scratch)(zip::claimed_size(data).unwrap_or(0))?;
    zip::unpack(data, &|size| draft.ensure_free_space(size), &mut &draft)
        .with_context(|| format!("unpacking '{}'", file.escape_debug()))?;
    read_content(&draft.reader()?, file)
}

fn read_content(data: &dyn ReadAt, file: &str) -> Result<Content> {
    let corrupt = |why: String| {
        Fault::new(Code::SnapshotCorrupt, format!("'{}' is corrupt: {why}", file.escape_debug()))
            .hint("Save a new snapshot with 'k3s-snapshot save'.")
    };
    let db_len = inspect::database_len(data.size()).map_err(|finding| corrupt(finding.to_string()))?;
    let content = inspect::read_content(data, db_len, None)
        .with_context(|| format!("reading '{}'", file.escape_debug()))?;
    Ok(content.map_err(|all| corrupt(all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?)
}
