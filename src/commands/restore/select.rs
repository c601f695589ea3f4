// SPDX-License-Identifier: Apache-2.0
//! Selects the snapshot, makes it a file that no other program can take away, and verifies that file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::context::Context;
use super::latest::Latest;
use super::remote::RemoteSnapshot;
use crate::archive::zip;
use crate::commands::authenticity::{self, Found};
use crate::commands::check::{check_snapshot, not_a_snapshot, summarize};
use crate::error::{Code, Fault, Kind, kind_of};
use crate::host::{Draft, Scratch};
use crate::inspect::{self, Content, Datastore};
use crate::io::ReadAt;
use crate::model::authenticity::Authenticity;
use crate::model::report::{Report, Row, rfc3339};
use crate::model::restore::SnapshotRef;
use crate::model::snapshot::{Digest, FindingRecord, Freshness, Manifest, Snapshot, State};
use crate::model::warning::WarningCode;
use crate::store::Opened;

const NOT_AUTHENTIC_HINT: &str =
    "Nothing was touched. Restore another snapshot; 'k3s-snapshot list' shows them.";

/// A snapshot that exists.
pub(super) struct Selected {
    snapshot: Snapshot,
    recorded: Option<Manifest>,
    source: Source,
    /// The cluster that its content must be of, if `latest` has selected it.
    cluster: Option<String>,
}

/// Where a selected snapshot is.
enum Source {
    /// A file of this machine.
    Local(PathBuf),
    /// The bucket.
    Remote(RemoteSnapshot),
}

/// A pinned file that is a whole snapshot.
pub(super) struct VerifiedSnapshot {
    pub(super) reference: SnapshotRef,
    pub(super) content: Content,
    /// Seconds; `None` if it is dated in the future.
    pub(super) age: Option<u64>,
}

/// The snapshot that is meant. Nothing is guessed: what fits twice is refused.
///
/// # Errors
/// If no snapshot was given, it does not exist, or more than one fits.
pub(super) fn select(cx: &Context, report: &mut Report) -> Result<Selected> {
    let options = cx.options;
    let missing = |what: &str| {
        Fault::new(Code::MissingArgument, what.to_owned())
            .hint("Give one snapshot: a name from 'k3s-snapshot list', a path, or 'latest'.")
    };
    match options.target {
        Some("") => Err(missing("the name of the snapshot is empty").into()),
        None if options.before.is_none() => Err(missing("no snapshot was given").into()),
        Some("latest") | None => latest(cx, report),
        Some(_) if options.before.is_some() => {
            Err(missing("--before goes with 'latest', not with the name of a snapshot").into())
        }
        Some(target) => match target.rsplit_once('/') {
            None => by_name(cx, target),
            Some((dir, file)) => {
                let dir = Path::new(if dir.is_empty() { "/" } else { dir });
                local(cx.stores.directory(dir).open(file)?)
            }
        },
    }
}

fn local(opened: Opened) -> Result<Selected> {
    let path = opened.snapshot.location.strip_prefix("file://").map(PathBuf::from);
    let path = path.context("the snapshot is not a file of this machine")?;
    let source = Source::Local(path);
    Ok(Selected { recorded: opened.manifest, snapshot: opened.snapshot, source, cluster: None })
}

/// The snapshot of this name: in the snapshot directory, else in the bucket.
fn by_name(cx: &Context, file: &str) -> Result<Selected> {
    match (cx.stores.local().open(file), cx.stores.remote()) {
        (Err(e), Some(remote)) if kind_of(&e) == Kind::NotFound => remote_one(remote, file, &e),
        (opened, _) => local(opened?),
    }
}

fn remote_one(
    remote: Result<super::context::RemoteSnapshots>,
    file: &str,
    not_local: &anyhow::Error,
) -> Result<Selected> {
    let (snapshot, recorded, remote) = RemoteSnapshot::open(remote?, file, not_local)?;
    Ok(Selected { snapshot, recorded, source: Source::Remote(remote), cluster: None })
}

/// The newest snapshot of the cluster of this server.
fn latest(cx: &Context, report: &mut Report) -> Result<Selected> {
    let Latest { snapshot, is_remote, cluster } = super::latest::find(cx, report)?;
    let selected = match (is_remote, cx.stores.remote()) {
        (true, Some(remote)) => remote_one(remote, &snapshot.file, &anyhow::anyhow!("it was the newest"))?,
        _ => local(cx.stores.local().open(&snapshot.file)?)?,
    };
    Ok(Selected { cluster, ..selected })
}

impl Selected {
    /// The datastore that it is of: that of this server. Known from the name, else from the beginning of the file.
    ///
    /// # Errors
    /// [`Code::OtherDatastore`] if this server has another one.
    pub(super) fn datastore(&self, cx: &Context) -> Result<Datastore> {
        let of_data = |data: &dyn ReadAt| inspect::datastore_of(data).unwrap_or_default();
        let datastore = match (&self.snapshot.name, &self.source) {
            (Some(name), _) if name.suffix.is_sqlite() => Datastore::Sqlite,
            (Some(_), _) => Datastore::Etcd,
            (None, Source::Local(path)) => of_data(&cx.machine.files.scratch().open(path)?),
            (None, Source::Remote(remote)) => of_data(remote.data()),
        };
        ensure_same_datastore(cx, &self.snapshot.file, datastore).map(|()| datastore)
    }

    /// Copies the snapshot into the scratch directory and verifies every byte of that copy.
    ///
    /// # Errors
    /// [`Code::SnapshotCorrupt`], or if it cannot be read or copied.
    pub(super) fn pin_and_verify(&self, cx: &Context, report: &mut Report) -> Result<VerifiedSnapshot> {
        let (file, scratch) = (&self.snapshot.file, cx.machine.files.scratch());
        let zipped = match (&self.snapshot.name, &self.source) {
            (Some(name), _) => name.suffix.is_zip(),
            (None, Source::Local(path)) => zip::is_zip(&scratch.open(path)?)?,
            (None, Source::Remote(remote)) => zip::is_zip(remote.data())?,
        };
        let pinned = match &self.source {
            Source::Remote(remote) => {
                let draft = remote.download(file, &scratch, cx.machine)?;
                let size = draft.reader()?.size();
                match zipped {
                    true => unpack(&draft.reader()?, file, &scratch)?,
                    false => scratch.publish_snapshot(draft, size)?,
                }
            }
            Source::Local(path) if zipped => unpack(&scratch.open(path)?, file, &scratch)?,
            Source::Local(path) => cx.machine.files.pin(path)?,
        };
        cx.machine.progress.step(&format!("verifying {}", file.escape_debug()), Some(self.snapshot.size));
        let data = scratch.open(&pinned)?;
        let (content, digest) = self.verify(cx, &data)?;
        let authenticity = self.authenticity(cx, &content, (digest, data.size()), zipped);
        if let Some(error) = authenticity::error(authenticity, file) {
            return Err(error.hint(NOT_AUTHENTIC_HINT).into());
        }
        self.warn_if_not_authenticated(authenticity, report);
        self.warn_if_not_current(digest, report);
        let row = Row::from_snapshot(&self.snapshot, None);
        report.snapshots.push(Row {
            state: State::Verified,
            revision: Some(content.facts.revision),
            key_revisions: Some(content.facts.key_revisions),
            token_hash: content.facts.token_hashes.clone(),
            cluster_id: content.facts.cluster_id.clone(),
            sha256: (!zipped).then(|| digest.to_string()),
            authenticity,
            findings: vec![],
            ..row
        });
        let reference = SnapshotRef {
            name: file.clone(),
            location: self.snapshot.location.clone(),
            sha256: digest,
            size: data.size(),
            revision: content.facts.revision,
            created_at: self.snapshot.created_at,
        };
        let age = cx.cluster.now.checked_sub(self.snapshot.created_at);
        Ok(VerifiedSnapshot { reference, content, age })
    }

    /// Whether the pinned file is what the code in the manifest was made for.
    fn authenticity(
        &self,
        cx: &Context,
        content: &Content,
        plain: (Digest, u64),
        zipped: bool,
    ) -> Option<Authenticity> {
        let another_file = self.recorded.as_ref().is_some_and(|m| m.plain_sha256 != plain.0);
        if another_file && matches!(self.source, Source::Local(_)) {
            return None;
        }
        // What is in a zip was compared, not the zip.
        let stored = (!zipped).then_some(plain);
        let found =
            Found { file: &self.snapshot.file, stored, plain: Some(plain), facts: Some(&content.facts) };
        found.authenticity(cx.cluster.keys, self.recorded.as_ref())
    }

    /// Everyone who can write to the bucket can put a snapshot there. What is on this machine is protected by its owner.
    fn warn_if_not_authenticated(&self, authenticity: Option<Authenticity>, report: &mut Report) {
        let problem = authenticity.and_then(Authenticity::problem);
        if let (Some(problem), Source::Remote(_)) = (problem, &self.source) {
            let file = self.snapshot.file.escape_debug();
            let message = format!("it is not known whether '{file}' from the bucket is authentic: {problem}");
            report.warn(WarningCode::AuthenticityUnverified, message);
        }
    }

    /// A server without a quorum saves what it has, which can be old data with a new date.
    fn warn_if_not_current(&self, digest: Digest, report: &mut Report) {
        let recorded = self.recorded.as_ref().filter(|m| m.plain_sha256 == digest);
        let why = match recorded.and_then(|m| m.freshness.as_ref()) {
            None | Some(Freshness::Current { .. }) => return,
            Some(Freshness::Behind { cluster_revision }) => {
                format!("the cluster was at revision {cluster_revision} when it was saved")
            }
            Some(Freshness::Unknown { reason }) => reason.clone(),
        };
        report.warn(
            WarningCode::SnapshotNotCurrent,
            format!("'{}' may hold older data than its date: {why}", self.snapshot.file.escape_debug()),
        );
    }

    fn verify(&self, cx: &Context, data: &dyn ReadAt) -> Result<(Content, Digest)> {
        let file = &self.snapshot.file;
        let context = || format!("verifying '{}'", file.escape_debug());
        if let Some(datastore) = inspect::datastore_of(data) {
            ensure_named(cx, file, datastore)?;
        }
        let checked = check_snapshot(data, false, cx.machine.progress).with_context(context)?;
        let mut findings = checked.findings.clone();
        if inspect::datastore_of(data).is_none() {
            findings = vec![not_a_snapshot(data)];
        }
        let digest = checked.digests.map(|d| Digest(d.file)).context("hashing the snapshot")?;
        if !findings.is_empty() {
            return Err(corrupt(file, &findings));
        }
        if let Some(old) =
            self.recorded.as_ref().filter(|m| m.verified_at.is_some() && m.plain_sha256 != digest)
        {
            // Whole, but another file than the one that was recorded under this name.
            log::warn!(
                "'{}' is another file than the one recorded on {}",
                file.escape_debug(),
                rfc3339(old.checked_at)
            );
        }
        let finding = |f: String| corrupt(file, &[FindingRecord::new("content", f)]);
        let db_len = inspect::database_len(data.size()).map_err(|f| finding(f.to_string()))?;
        let content = inspect::read_content(data, db_len, None)
            .with_context(context)?
            .map_err(|all| finding(all.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        self.ensure_cluster(content.facts.cluster_id.as_deref())?;
        Ok((content, digest))
    }

    /// Fails if `latest` has selected the snapshot by its name and its content is of another cluster.
    fn ensure_cluster(&self, found: Option<&str>) -> Result<()> {
        let (Some(expected), Some(found)) = (&self.cluster, found) else { return Ok(()) };
        if found.starts_with(expected.as_str()) {
            return Ok(());
        }
        let file = self.snapshot.file.escape_debug();
        let what = format!(
            "the newest snapshot '{file}' is of another cluster: its id is {found}, that of this server is {expected}"
        );
        Err(Fault::new(Code::OtherCluster, what)
            .hint("Give the name of a snapshot instead of 'latest'; 'k3s-snapshot list --details -o json' shows the clusters.")
            .into())
    }
}

/// Fails if this server has another datastore than the snapshot, or would start with another one.
///
/// # Errors
/// [`Code::OtherDatastore`].
fn ensure_same_datastore(cx: &Context, file: &str, datastore: Datastore) -> Result<()> {
    let shown = file.escape_debug();
    if cx.cluster.datastore.is_some_and(|own| own != datastore) {
        let what = format!(
            "'{shown}' is a snapshot of {}, and this server uses another datastore",
            datastore.name()
        );
        let hint = match datastore {
            Datastore::Etcd => {
                "Give a snapshot of SQLite from 'k3s-snapshot list'. To use the other one, restore it on a new machine."
            }
            Datastore::Sqlite => {
                "Give a snapshot of embedded etcd from 'k3s-snapshot list'. To return to SQLite, follow /usr/share/doc/k3s-snapshot/docs/sqlite.md."
            }
        };
        return Err(Fault::new(Code::OtherDatastore, what).hint(hint).into());
    }
    if datastore == Datastore::Sqlite && cx.cluster.starts_etcd {
        let what = format!(
            "'{shown}' is a snapshot of SQLite, and K3s is set to start with embedded etcd (cluster-init)"
        );
        return Err(Fault::new(Code::OtherDatastore, what)
            .hint("Remove 'cluster-init' from the configuration of K3s. After the restore, /usr/share/doc/k3s-snapshot/docs/sqlite.md describes the move to etcd.")
            .into());
    }
    Ok(())
}

/// Fails if the content is of another datastore than the name: a name can be wrong, and a zip does not show what is in it.
///
/// # Errors
/// [`Code::OtherDatastore`].
fn ensure_named(cx: &Context, file: &str, datastore: Datastore) -> Result<()> {
    ensure_same_datastore(cx, file, datastore)?;
    if datastore == cx.machine.files.datastore {
        return Ok(());
    }
    let what = format!("'{}' has the name of another datastore", file.escape_debug());
    Err(Fault::new(Code::OtherDatastore, what)
        .hint("Rename the file: the names of snapshots of SQLite end in '.sqlite' or '.sqlite.zip'.")
        .into())
}

/// Unpacks a zip into the scratch directory.
fn unpack(data: &dyn ReadAt, file: &str, scratch: &Scratch) -> Result<PathBuf> {
    let draft: Draft = scratch.draft()?;
    let room = |size: u64| draft.ensure_free_space(size);
    match zip::unpack(data, &room, &mut &draft)
        .with_context(|| format!("unpacking '{}'", file.escape_debug()))?
    {
        zip::Unpacked::Damaged(why) => Err(corrupt(file, &[FindingRecord::new("zip", why)])),
        zip::Unpacked::Whole(_) => {
            let size = draft.reader()?.size();
            scratch.publish_snapshot(draft, size)
        }
    }
}

fn corrupt(file: &str, findings: &[FindingRecord]) -> anyhow::Error {
    Fault::new(
        Code::SnapshotCorrupt,
        format!("'{}' is corrupt: {}", file.escape_debug(), summarize(findings)),
    )
    .hint("Nothing was touched. Run 'k3s-snapshot verify --all' to find a snapshot that is verified.")
    .into()
}
