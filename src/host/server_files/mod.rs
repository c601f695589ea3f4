// SPDX-License-Identifier: Apache-2.0
//! The site of a restore: every file that it touches, and the only code that touches them. File work alone: no process is
//! started here, no unit asked, and each deed may be done again by whoever finds it half done.
//!
//! `record` is what a killed restore leaves behind; `gate` bars K3s; `keep` copies what K3s rewrites and puts it back.

mod backup;
mod start_block;
mod state_file;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::fs::{create_dir, sync_dir};
use super::{Draft, FileAt, Published, file_tree};
use crate::distribution;
use crate::error::{Code, Fault};
use crate::model::restore::RestoreState;
use crate::model::secret::Secret;

/// The folder of ours beside what is kept: hidden, and only root's.
const WORK: &str = ".k3s-snapshot-restore";

/// Where a restore works.
#[derive(Debug, Clone)]
pub struct ServerFiles {
    /// The folder of the record and of the gate.
    pub state: PathBuf,
    /// K3s's data-dir.
    pub data_dir: PathBuf,
    /// Where units are kept that an administrator makes.
    pub units: PathBuf,
    /// K3s's unit.
    pub unit: String,
    /// The configuration for kubectl that K3s writes.
    pub kubeconfig: PathBuf,
}

impl ServerFiles {
    fn server(&self) -> PathBuf {
        self.data_dir.join(distribution::SERVER)
    }

    fn db(&self) -> PathBuf {
        self.data_dir.join(distribution::DB)
    }

    /// The folder that etcd's database lies in.
    pub fn etcd(&self) -> PathBuf {
        self.data_dir.join(distribution::ETCD)
    }

    /// What a database is called that is moved aside, before the seconds.
    pub fn old(&self) -> String {
        self.db().join(distribution::ETCD_OLD).display().to_string()
    }

    /// Our folder beside the database, made where it is missing, with K3s's own folders above it as K3s would make them.
    fn near_db(&self) -> Result<PathBuf> {
        for (folder, mode) in [(self.data_dir.clone(), 0o755), (self.server(), 0o700), (self.db(), 0o700)] {
            match fs::DirBuilder::new().recursive(true).mode(mode).create(&folder) {
                Err(e) => Err(e).with_context(|| format!("creating '{}'", folder.display()))?,
                Ok(()) => sync_dir(folder.parent().unwrap_or(&folder))?,
            }
        }
        let work = self.db().join(WORK);
        create_dir(&work)?;
        sync_dir(&self.db())?;
        Ok(work)
    }

    /// Makes the snapshot a file that is ours alone, so that nobody's prune can take it away: another name of the same
    /// file, else a copy. K3s is given this one, and it is the one that is proven.
    pub fn pin(&self, snapshot: &Path, name: &str) -> Result<PathBuf> {
        let pinned = self.near_db()?.join(name);
        file_tree::remove(&pinned)?;
        let context = || format!("pinning '{}'", snapshot.display());
        // A link in the folder leads to another file, which may be exchanged: the file itself is meant.
        let file = snapshot.canonicalize().with_context(context)?;
        match fs::hard_link(&file, &pinned) {
            Ok(()) => sync_dir(&self.db().join(WORK))?,
            Err(e) => {
                log::debug!("no second name for '{}' ({e}); it is copied", file.display());
                let data = FileAt::new(File::open(&file).with_context(context)?)?;
                let draft = Draft::new(&self.near_db()?)?;
                let size = crate::io::ReadAt::size(&data);
                draft.ensure_free_space(size)?;
                draft.fill_from(&data, 1, u64::MAX, &super::NoProgress)?;
                self.publish(draft, name, size)?;
            }
        }
        Ok(pinned)
    }

    /// A file for what has to be unpacked, to be published as the pinned one.
    pub fn draft(&self) -> Result<Draft> {
        Draft::new(&self.near_db()?)
    }

    /// Gives a draft from [`Site::draft`] its name.
    pub fn publish(&self, draft: Draft, name: &str, size: u64) -> Result<PathBuf> {
        let pinned = self.db().join(WORK).join(name);
        file_tree::remove(&pinned)?;
        match draft.publish(name, size)? {
            Published::Done(_) => Ok(pinned),
            Published::Taken(_) => Err(anyhow::anyhow!("'{}' is there already", pinned.display())),
        }
    }

    /// Opens a file to be read by position.
    pub fn open(&self, file: &Path) -> Result<FileAt> {
        FileAt::new(File::open(file).with_context(|| format!("opening '{}'", file.display()))?)
    }

    /// The database that is in place, to be read; `None` where there is none.
    pub fn database(&self) -> Result<Option<FileAt>> {
        let path = self.data_dir.join(distribution::ETCD_DB);
        match File::open(&path) {
            Ok(file) => FileAt::new(file).map(Some),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("opening '{}'", path.display())),
        }
    }

    /// Whether a process has the database in its hands: etcd locks the file for as long as it runs.
    pub fn held(&self) -> Result<bool> {
        let Some(file) = self.database()? else { return Ok(false) };
        match file.try_lock() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(e)) => Err(e).context("looking whether etcd's database is in use"),
        }
    }

    /// The name that etcd's own member has here.
    pub fn member_name(&self) -> Option<String> {
        fs::read_to_string(self.etcd().join("name")).ok().map(|n| n.trim().to_owned())
    }

    /// Fails where the disk of the database has not this much left, beside what must stay free.
    pub fn room_for(&self, bytes: u64) -> Result<()> {
        Draft::new(&self.near_db()?)?.ensure_free_space(bytes)
    }

    /// Whether a reset without a fault has left what it has to: a database with its log, the mark of a reset, and the one
    /// that was live moved aside. Says what is missing.
    pub fn after_reset(&self, record: &RestoreState) -> Result<Result<(), String>> {
        let missing = |path: &Path| Ok::<bool, anyhow::Error>(file_tree::inode_id(path)?.is_none());
        if missing(&self.data_dir.join(distribution::ETCD_WAL))? {
            return Ok(Err("there is no new log of etcd".to_owned()));
        }
        if missing(&self.data_dir.join(distribution::RESET_FLAG))? {
            return Ok(Err("K3s has not marked the reset as done".to_owned()));
        }
        let live = file_tree::inode_id(&self.etcd())?;
        if record.live_database.is_some_and(|was| live.is_some_and(|now| now.is(was))) {
            return Ok(Err("the database is still the one that was live".to_owned()));
        }
        Ok(Ok(()))
    }

    /// Where the database that was live is now, where that is not its own place.
    pub fn old_database(&self, record: &RestoreState) -> Result<Option<PathBuf>> {
        let Some(live) = record.live_database else { return Ok(None) };
        self.find(live).map(|path| Some(path).filter(|p| *p != self.etcd()))
    }

    /// Whether the folder of the database is a mount point.
    pub fn etcd_is_a_mount(&self) -> Result<bool> {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        match statx(CWD, self.etcd(), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Ok(found) => Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOSYS) => Ok(false),
            Err(e) => Err(e).with_context(|| format!("looking at '{}'", self.etcd().display())),
        }
    }

    /// Moves the database aside, as K3s would, where there is one. With `copy`, an exact copy takes its place: for whoever
    /// rewrites it where it lies.
    pub fn set_aside(&self, now: u64, copy: bool) -> Result<()> {
        let (etcd, old) = (self.etcd(), self.db().join(format!("{}{now}", distribution::ETCD_OLD)));
        if file_tree::inode_id(&etcd)?.is_none() {
            return Ok(());
        }
        file_tree::rename_noreplace(&etcd, &old)?;
        if copy {
            file_tree::copy(&old, &etcd)?;
            self.settle()?;
        }
        Ok(())
    }

    /// The file of the database that was live, wherever it is now.
    pub fn old_file(&self, record: &RestoreState) -> Result<FileAt> {
        let live = record.live_database.context("there was no database")?;
        self.open(&self.find(live)?.join(distribution::ETCD_DB_FILE))
    }

    /// The file of settings for a reset.
    pub fn config_path(&self) -> PathBuf {
        self.db().join(WORK).join("config.yaml")
    }

    /// Writes the settings for a reset, for root's eyes only.
    pub fn write_config(&self, text: &Secret) -> Result<()> {
        let draft = Draft::new(&self.near_db()?)?;
        (&draft).write_all(text.expose().as_bytes()).context("writing the settings for the reset")?;
        draft.replace("config.yaml")
    }

    /// Brings what K3s has made to the disk: it does not do so for the names that it changed.
    pub fn settle(&self) -> Result<()> {
        let folder = File::open(self.db()).with_context(|| format!("opening '{}'", self.db().display()))?;
        rustix::fs::syncfs(&folder).context("writing the new database to the disk")
    }

    /// Removes K3s's mark of an earlier reset, so that a new one can be told. It is among what is kept.
    pub fn unmark(&self) -> Result<()> {
        let flag = self.data_dir.join(distribution::RESET_FLAG);
        file_tree::remove(&flag)?;
        sync_dir(&self.db())
    }

    /// Waits until K3s cannot meet a folder of its own: it names what it moves aside by the second.
    pub fn wait_for_a_free_second(&self, now: &dyn Fn() -> u64, pause: &dyn Fn()) -> Result<()> {
        for _ in 0..50 {
            let name = format!("{}{}", distribution::ETCD_OLD, now());
            if file_tree::inode_id(&self.db().join(name))?.is_none() {
                return Ok(());
            }
            pause();
        }
        Err(Fault::new(
            Code::FileExists,
            format!("'{}{}' is there already", self.db().display(), distribution::ETCD_OLD),
        )
        .into())
    }
}
