// SPDX-License-Identifier: Apache-2.0
//! What a command is given, and the adapters that several commands build from it.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::config_secret;
use crate::config::config_secret::{ConfigSecret, SecretValues};
use crate::config::etcd;
use crate::config::k3s::K3sFlagsState;
use crate::config::options::OptionId;
use crate::config::paths::in_root;
use crate::config::settings::Settings;
use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault};
use crate::host::datastore::{self, Found, Said};
use crate::host::fs::permission_context;
use crate::host::open_files;
use crate::host::{Draft, Progress};
use crate::model::method::Method;
use crate::model::report::Report;
use crate::model::s3_config::S3Config;
use crate::model::token;
use crate::source::etcd::EtcdStream;
use crate::source::pinned::PinnedCopy;
use crate::source::reflink::ReflinkSource;
use crate::source::sqlite::SqliteProbe;
use crate::source::{ClusterObjects, Source};
use crate::store::local::Local;
use crate::store::s3::S3;
use crate::store::{LocalKits, LocalStore, RemoteStore};

/// The directory for large files that exist only during a run.
const SCRATCH: &str = "/var/tmp";

/// Loads the settings again.
pub(crate) type Reload<'a> = dyn Fn(&[(OptionId, String)]) -> Result<Settings> + 'a;

/// What a command is given in addition to its arguments.
pub(crate) struct Context<'a> {
    /// The settings in effect.
    pub(crate) settings: &'a Settings,
    /// The distribution.
    pub(crate) distribution: &'static Distribution,
    /// The one reading of the clock: seconds since the epoch.
    pub(crate) now: u64,
    /// Receives the progress.
    pub(crate) progress: &'a dyn Progress,
    /// Loads the settings again, with these options as if they were on the command line.
    pub(crate) reload: &'a Reload<'a>,
}

/// Where a snapshot of a running etcd can come from.
pub(super) struct Sources {
    /// The file system clones the database file.
    pub(super) clone: ReflinkSource,
    /// The database file is copied.
    pub(super) copy: PinnedCopy,
    /// etcd sends the snapshot.
    pub(super) stream: EtcdStream,
}

/// The files of an etcd that does not run. etcd cannot start as long as this exists.
pub(super) struct StoppedEtcd {
    /// The database.
    pub(super) db: PathBuf,
    /// The directory of the write-ahead log.
    pub(super) wal: PathBuf,
    _lock: File,
}

impl Sources {
    /// Those of a method, in the order in which they are tried.
    pub(super) fn into_sources_of(self, method: Method) -> Vec<Box<dyn Source>> {
        match method {
            Method::Auto => vec![Box::new(self.clone), Box::new(self.copy), Box::new(self.stream)],
            Method::Clone => vec![Box::new(self.clone)],
            Method::Copy => vec![Box::new(self.copy)],
            Method::Stream => vec![Box::new(self.stream)],
            Method::Offline | Method::Backup => vec![],
        }
    }
}

impl Context<'_> {
    /// The snapshot directory.
    pub(super) fn local_store(&self) -> Local {
        let s = self.settings;
        Local::new(&s.dir, &s.state_dir, s.dir_is_default)
    }

    /// The recovery kits of this machine.
    pub(super) fn kits(&self) -> LocalKits {
        LocalKits::new(&self.settings.state_dir)
    }

    /// The store of any other directory.
    pub(super) fn store_of(&self, dir: &Path) -> Local {
        Local::new(dir, &self.settings.state_dir, false)
    }

    /// The bucket. Data that must be verified before it is used is kept in an unnamed file until then.
    ///
    /// # Errors
    /// If the settings of the bucket cannot be used.
    pub(super) fn bucket(&self) -> Result<S3> {
        Context::open_bucket(self.bucket_config()?)
    }

    /// The settings of the bucket. If they are in a Secret, the datastore is asked for it.
    ///
    /// # Errors
    /// If they cannot be used, or the datastore cannot be read.
    pub(super) fn bucket_config(&self) -> Result<S3Config> {
        match self.settings.config_secret()? {
            None => self.settings.bucket(),
            Some(secret) => self.settings.bucket_of_secret(&secret, &self.secret_values(&secret)?),
        }
    }

    /// The bucket. If its settings are in a Secret, that is read from `objects`.
    ///
    /// # Errors
    /// As [`Context::bucket`].
    pub(super) fn bucket_from(&self, objects: &dyn ClusterObjects) -> Result<Box<dyn RemoteStore>> {
        let s = self.settings;
        let config = match s.config_secret()? {
            None => s.bucket()?,
            Some(secret) => s.bucket_of_secret(&secret, &config_secret::read(&secret, objects)?)?,
        };
        Ok(Box::new(Context::open_bucket(config)?))
    }

    /// The values of the Secret: from SQLite, also if K3s does not run, else from the running etcd.
    ///
    /// # Errors
    /// If the datastore cannot be read, or the Secret cannot be used.
    pub(super) fn secret_values(&self, secret: &ConfigSecret<'_>) -> Result<SecretValues> {
        let unread = |e| config_secret::unread(secret, &e);
        match self.datastore().map_err(unread)? {
            Found::Sqlite(db) => config_secret::read(secret, &SqliteProbe { db }),
            _ => config_secret::read(secret, &self.etcd().map_err(unread)?),
        }
    }

    pub(super) fn open_bucket(config: S3Config) -> Result<S3> {
        if let Some(why) = config.unreadable_for_k3s() {
            log::info!("{why}");
        }
        S3::new(config)
    }

    /// An unnamed file with room for this many bytes. It is in the snapshot directory only if no other place has room:
    /// that is the disk of etcd.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(super) fn scratch(&self, size: u64) -> Result<Draft> {
        let fits = |draft: Draft| draft.ensure_free_space(size).map(|()| draft);
        Draft::new(Path::new(SCRATCH)).and_then(fits).or_else(|_| self.local_store().draft().and_then(fits))
    }

    /// Whether this machine has, or should have, snapshots of its own: a snapshot directory that was set or exists, or
    /// the data-dir of a server. A laptop has neither.
    pub(super) fn has_local_store(&self) -> bool {
        let s = self.settings;
        // What cannot be looked at counts as existing: the command then fails with the reason.
        let may_exist = |path: &Path| match path.symlink_metadata() {
            Ok(_) => true,
            Err(e) => !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
        };
        !s.dir_is_default || may_exist(&s.dir) || may_exist(&s.data_dir.join(distribution::SERVER))
    }

    /// Fails on a machine without K3s: an empty list would look like good news there.
    ///
    /// # Errors
    /// [`Code::DataDirNotFound`].
    pub(super) fn require_local_store(&self) -> Result<()> {
        if self.has_local_store() {
            return Ok(());
        }
        let s = self.settings;
        Err(Fault::new(
            Code::DataDirNotFound,
            format!("'{}' is not the data directory of a {} server", s.data_dir.display(), s.distribution.name),
        )
        .hint(
            "Check that the disk is mounted, or set --data-dir DIRECTORY, or --dir DIRECTORY for the snapshots, or --s3 \
             for a bucket.",
        )
        .into())
    }

    /// The hash of the token of this server: from the token file, else from the configuration of K3s.
    ///
    /// # Errors
    /// If a token file that was set cannot be read.
    pub(super) fn token_hash(&self) -> Result<Option<String>> {
        let s = self.settings;
        let text = match std::fs::read_to_string(&s.token_file) {
            Ok(text) => Some(text),
            // A token file that was set must be readable.
            Err(e) if s.token_file_is_named => {
                let context = format!("reading the token file '{}'", s.token_file.display());
                return Err(anyhow::Error::from(e).context(Fault::new(Code::TokenFileUnreadable, context)));
            }
            Err(_) => s.token.as_ref().map(|t| t.expose().to_owned()),
        };
        Ok(text.filter(|t| !t.trim().is_empty()).map(|t| token::hash(&t)))
    }

    /// What the configuration of K3s tells about its datastore.
    pub(super) fn datastore_config(&self) -> Said<'_> {
        let s = self.settings;
        Said {
            external: s.datastore_scheme.as_deref(),
            sqlite: s.sqlite_file.as_deref(),
            cluster_init: s.cluster_init,
            joins: s.flags.last("server").is_some(),
            disable_etcd: s.disable_etcd,
        }
    }

    /// Whether the run ends here: `requested` by a timer, on a machine that is not expected to have a datastore with
    /// snapshots. If there should be one, or that is not known, the command goes on and fails with its own error.
    ///
    /// # Errors
    /// If the data-dir cannot be examined.
    pub(super) fn should_skip(&self, requested: bool, report: &mut Report) -> Result<bool> {
        let s = self.settings;
        if !requested || !s.etcd_endpoints.is_empty() {
            return Ok(false);
        }
        match datastore::look(s.distribution, &s.data_dir, self.datastore_config())? {
            // If not all flags of K3s are known, its etcd may be in another directory, or a flag may ask for it.
            Found::Nothing(without) if without.expected && s.k3s_flags == K3sFlagsState::Known => {
                report.skip(without.why);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The datastore to save. If endpoints are set, that etcd is meant, whatever the data-dir looks like.
    ///
    /// # Errors
    /// If this machine has no datastore that has snapshots.
    pub(super) fn datastore(&self) -> Result<Found> {
        let s = self.settings;
        if !s.etcd_endpoints.is_empty() {
            return Ok(Found::Etcd);
        }
        match datastore::look(s.distribution, &s.data_dir, self.datastore_config())? {
            // The etcd of another root has no data-dir to look at; without an address, that is the error.
            Found::Nothing(_) if s.root != Path::new("/") => Ok(Found::Etcd),
            Found::Nothing(without) => Err(without.into_fault().into()),
            found => Ok(found),
        }
    }

    /// The sources to save etcd from. If endpoints are set, that etcd is meant, whatever the data-dir looks like.
    ///
    /// # Errors
    /// If this machine has no embedded etcd, or its configuration cannot be read.
    pub(super) fn sources(&self) -> Result<Sources> {
        let s = self.settings;
        if s.etcd_endpoints.is_empty() && s.root == Path::new("/") {
            datastore::require_etcd(s.distribution, &s.data_dir, self.datastore_config())?;
        }
        let etcd = self.etcd()?;
        let db = match s.etcd_endpoints.is_empty() {
            true => Ok(self.database_file()?),
            false => Err("etcd-endpoints is set, so the database file may be on another machine".to_owned()),
        };
        Ok(Sources {
            clone: ReflinkSource { db: db.clone(), etcd: etcd.clone(), only: s.method == Method::Clone },
            copy: PinnedCopy { db, etcd: etcd.clone() },
            stream: etcd,
        })
    }

    /// The database file of the local etcd.
    fn database_file(&self) -> Result<PathBuf> {
        Ok(self.etcd_dir()?.join(distribution::ETCD_DB_FILE))
    }

    /// The directory of the local etcd, which may be configured to be another one than the default of K3s.
    fn etcd_dir(&self) -> Result<PathBuf> {
        let s = self.settings;
        Ok(match self.etcd_config()?.data_dir {
            Some(dir) => in_root(&s.root, Path::new(&dir)),
            None => s.data_dir.join(distribution::ETCD_DIR),
        })
    }

    /// The database of a stopped etcd, locked against its start.
    ///
    /// # Errors
    /// If this machine has no embedded etcd, there is no database, or a process has it open.
    pub(super) fn stopped_etcd(&self) -> Result<StoppedEtcd> {
        let s = self.settings;
        if s.root == Path::new("/") {
            datastore::require_etcd(s.distribution, &s.data_dir, self.datastore_config())?;
        }
        let dir = self.etcd_dir()?;
        let db = dir.join(distribution::ETCD_DB_FILE);
        let in_use = || {
            Fault::new(
                Code::DatabaseInUse,
                format!("reading '{}' offline: a process has it open", db.display()),
            )
            .hint(format!(
                "Save without --offline. If etcd does not answer, stop it with 'systemctl stop {}' first.",
                s.distribution.unit.trim_end_matches(".service")
            ))
        };
        if db.try_exists().is_ok_and(|exists| !exists) {
            let what = format!("the database '{}' does not exist", db.display());
            return Err(Fault::new(Code::DatabaseNotFound, what)
                .hint("Set the data directory of a server with embedded etcd with --data-dir.")
                .into());
        }
        if open_files::held(std::slice::from_ref(&db)).contains(&true) {
            return Err(in_use().into());
        }
        let lock = File::open(&db)
            .map_err(|e| permission_context(e, format!("opening the database '{}'", db.display())))?;
        lock.try_lock_shared().map_err(|_| in_use())?;
        Ok(StoppedEtcd { db, wal: dir.join(distribution::ETCD_WAL_DIR), _lock: lock })
    }

    /// The etcd of this machine, or the one that is set.
    ///
    /// # Errors
    /// If none is set below `--root`, or the configuration of etcd cannot be read.
    pub(super) fn etcd(&self) -> Result<EtcdStream> {
        let s = self.settings;
        let mut endpoints = s.etcd_endpoints.clone();
        if endpoints.is_empty() {
            if s.root != Path::new("/") {
                return Err(Fault::new(
                    Code::EtcdEndpointRequired,
                    "connecting to etcd: with --root, the address of etcd must be set",
                )
                .hint("Set the address with --etcd-endpoints https://ADDRESS:2379.")
                .into());
            }
            endpoints = self.etcd_config()?.client_urls;
            if endpoints.is_empty() {
                endpoints = distribution::ETCD_ENDPOINTS.map(str::to_owned).to_vec();
            }
        }
        Ok(EtcdStream {
            endpoints,
            cacert: s.etcd_cacert.clone(),
            cert: s.etcd_cert.clone(),
            key: s.etcd_key.clone(),
            stall: s.stall_timeout,
            rate_limit: s.rate_limit,
            unit: s.unit.clone().unwrap_or_else(|| s.distribution.unit.to_owned()),
        })
    }

    /// The size of the database file of the local etcd; `None` if it is not known.
    pub(super) fn database_bytes(&self) -> Option<u64> {
        let is_local = self.settings.etcd_endpoints.is_empty();
        let file = is_local.then(|| self.database_file().ok()).flatten()?;
        std::fs::metadata(file).ok().map(|meta| meta.len())
    }

    /// What K3s wrote for its etcd. Only if there is no such file, defaults are used.
    fn etcd_config(&self) -> Result<etcd::EtcdConfig> {
        let path = self.settings.data_dir.join(distribution::ETCD_CONFIG);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
            Err(e) => {
                return Err(permission_context(
                    e,
                    format!("reading the configuration of etcd '{}'", path.display()),
                ));
            }
        };
        etcd::parse(&text).map_err(|why| {
            Fault::new(
                Code::EtcdConfigUnreadable,
                format!("reading the configuration of etcd '{}': {why}", path.display()),
            )
            .hint("Set the address of etcd with --etcd-endpoints https://ADDRESS:2379.")
            .into()
        })
    }
}
