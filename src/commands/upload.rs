// SPDX-License-Identifier: Apache-2.0
//! The second half of save: uploads the new snapshot, then the snapshots whose upload is pending.
//!
//! What is uploaded must have the digest that verification found. A file that has another one by now is not uploaded:
//! it is recorded as corrupt, and the other pending snapshots are uploaded anyway.

use anyhow::{Context, Result};

use super::extra_metadata;
use super::kit::KitUploads;
use super::pending::{pending_uploads, record_upload, set_upload_state};
use crate::error::{Code, Fault, Kind, code_of, hint_of, kind_of};
use crate::host::Progress;
use crate::model::name::SnapshotName;
use crate::model::report::{Report, Row};
use crate::model::snapshot::{FileId, FindingRecord, Snapshot, State, Upload};
use crate::model::warning::WarningCode;
use crate::source::ClusterObjects;
use crate::store::{LocalKits, LocalStore, RemoteStore, VerifiedFile};

/// An unfinished upload of this age belongs to no running process, in seconds: K3s gives up after minutes.
const STALE_UPLOAD_AGE: u64 = 24 * 60 * 60;

/// Opens the bucket when it is needed: a save is kept locally first, whatever is wrong with the bucket.
pub type OpenRemote<'a> = &'a dyn Fn() -> Result<Box<dyn RemoteStore>>;

/// The same for a save: the settings of the bucket may be in an object of the cluster that was saved.
pub type OpenOfCluster<'a> = &'a dyn Fn(&dyn ClusterObjects) -> Result<Box<dyn RemoteStore>>;

/// The bucket that a save uploads to.
pub struct Bucket<'a> {
    /// Opens it.
    pub open: OpenOfCluster<'a>,
    /// The Secret of the cluster with its settings, if they are in one.
    pub secret: Option<&'a str>,
    /// Whether pending uploads of earlier saves are made too.
    pub backlog: bool,
}

/// What an upload needs to know.
pub(super) struct UploadRequest<'a> {
    pub(super) local: &'a dyn LocalStore,
    pub(super) bucket: &'a Bucket<'a>,
    /// The recovery kits of this machine, if any are sealed.
    pub(super) kits: Option<&'a LocalKits>,
    /// The objects of the cluster that was saved.
    pub(super) objects: &'a dyn ClusterObjects,
    /// `<base>-<node>` of the new snapshot: its own unfinished uploads may be aborted.
    pub(super) stem: String,
    /// Seconds since the epoch.
    pub(super) now: u64,
    /// Hash of the token of this server, if it is known.
    pub(super) token: Option<&'a str>,
}

/// Uploads the new snapshot, then the backlog. Failures go into the report: the snapshot is kept locally.
pub(super) fn upload_with_backlog(
    req: &UploadRequest,
    saved: &Snapshot,
    progress: &dyn Progress,
    report: &mut Report,
) {
    // Pending from now on: a kill in the middle leaves a pending upload, not a gap.
    set_upload_state(req.local, &saved.file, Upload::Pending { reason: None, at: None });
    let remote = match (req.bucket.open)(req.objects) {
        Ok(remote) => remote,
        Err(e) => return fail(report, &saved.file, "the bucket", &e),
    };
    let backlog = pending_uploads(req.local, &saved.file, report);
    let is_ours = |file: &str, began: u64| {
        let known = file == saved.file || backlog.iter().any(|s| s.file == file);
        let of_this_node = || SnapshotName::parse(file).is_some_and(|name| name.stem == req.stem);
        known || req.now.saturating_sub(began) > STALE_UPLOAD_AGE && of_this_node()
    };
    let pending: Vec<&str> = backlog.iter().map(|s| s.file.as_str()).collect();
    let aborted = remote.abort_stale_uploads(&is_ours, &pending);
    if aborted > 0 {
        log::debug!("{aborted} unfinished upload(s) of earlier saves removed from {}", remote.url());
    }
    let mut kits = KitUploads::new(req.kits);
    if let Err(e) = upload_one(req, (&*remote, &mut kits), &saved.file, progress, report) {
        fail(report, &saved.file, &remote.url(), &e);
        if concerns_the_bucket(&e) {
            return;
        }
    }
    if !req.bucket.backlog {
        return;
    }
    for snapshot in &backlog {
        log::info!("uploading '{}', whose upload is pending", snapshot.file.escape_debug());
        let Err(e) = upload_one(req, (&*remote, &mut kits), &snapshot.file, progress, report) else {
            continue;
        };
        // Another object has its name: no later save could change that.
        if code_of(&e) == Code::S3ObjectExists {
            let message = format!("'{}' was not uploaded: {e:#}", snapshot.file.escape_debug());
            report.warn(WarningCode::UploadSkipped, message);
            continue;
        }
        fail(report, &snapshot.file, &remote.url(), &e);
        if concerns_the_bucket(&e) {
            return;
        }
    }
}

/// Whether the next upload would fail in the same way. What concerns one file does not stop the others.
fn concerns_the_bucket(e: &anyhow::Error) -> bool {
    !matches!(
        code_of(e),
        Code::SnapshotCorrupt
            | Code::SnapshotNotFound
            | Code::SnapshotChanged
            | Code::Io
            | Code::Unexpected
            | Code::PermissionDenied
            | Code::NotASnapshot
            | Code::NotVerified
            | Code::S3ObjectExists
    )
}

fn upload_one(
    req: &UploadRequest,
    (remote, kits): (&dyn RemoteStore, &mut KitUploads),
    file: &str,
    progress: &dyn Progress,
    report: &mut Report,
) -> Result<()> {
    let opened = req.local.open(file)?;
    let mut manifest = opened.manifest.context("the manifest of the snapshot is gone")?;
    let name = opened.snapshot.name.context("the name is not that of a snapshot")?;
    progress.step(&format!("uploading {}", file.escape_debug()), Some(opened.data.size()));
    // The upload state is of the local file; it does not belong into the bucket.
    manifest.upload = None;
    kits.ensure(remote, manifest.kit.as_deref(), report);
    let uploaded = VerifiedFile::new(&*opened.data, &manifest)
        .and_then(|verified| remote.upload(&name, &verified, progress));
    match uploaded {
        Ok(uploaded) => {
            if uploaded.state != State::Verified && manifest.state() == State::Verified {
                report.warn(
                    WarningCode::UploadUnverified,
                    format!(
                        "'{}' was uploaded, but the store reports no checksum: only the size is verified",
                        uploaded.location
                    ),
                );
            }
            let state = Upload::Uploaded { location: Some(uploaded.location.clone()), at: Some(req.now) };
            record_upload(req.local, file, opened.id, state);
            extra_metadata::upload(req.local, remote, &manifest, report);
            report.snapshots.push(Row::from_snapshot(&uploaded, req.token));
            Ok(())
        }
        Err(e) => {
            if code_of(&e) == Code::SnapshotCorrupt {
                record_corruption(req, file, opened.id, &e);
            } else {
                let state = Upload::Pending { reason: Some(format!("{e:#}")), at: Some(req.now) };
                set_upload_state(req.local, file, state);
            }
            Err(e)
        }
    }
}

/// The file no longer has the content that was verified: from now on it is known to be corrupt. `id` is that of the file that
/// was read: another program may have replaced the file, and a listing shows the finding of this version only.
fn record_corruption(req: &UploadRequest, file: &str, id: FileId, e: &anyhow::Error) {
    let finding = FindingRecord::new("changed", format!("{e:#}"));
    let amended = req.local.amend(file, &mut |m| {
        m.expected_sha256 = m.verified_sha256();
        m.file = id;
        m.checked_at = req.now;
        if !m.findings.contains(&finding) {
            m.findings.push(finding.clone());
        }
    });
    if let Err(e) = amended {
        log::warn!("{e:#}; the finding is not recorded");
    }
}

fn fail(report: &mut Report, file: &str, location: &str, cause: &anyhow::Error) {
    let what = format!("'{}' was kept here, but not uploaded to {location}: {cause:#}", file.escape_debug());
    let hint = match (hint_of(cause), kind_of(cause)) {
        // The next save would fail in the same way: say what to change, nothing else.
        (Some(hint), Kind::Config | Kind::Refused | Kind::Corrupt) => hint.to_owned(),
        (Some(hint), _) => format!("{hint} The next save retries the upload."),
        (None, _) => "The next save retries the upload.".to_owned(),
    };
    report.fail(&Fault::new(Code::UploadFailed, what).hint(hint).into());
}
