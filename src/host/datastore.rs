// SPDX-License-Identifier: Apache-2.0
//! Which datastore a K3s server uses, by the rules of K3s. Embedded etcd and SQLite have snapshots.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::datastore::Datastore;
use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault};
use crate::host::fs::permission_context;

/// The settings of K3s that select the datastore.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// An external datastore: the scheme of its URL.
    pub external: Option<&'a str>,
    /// The file of SQLite, if it is not the default one.
    pub sqlite: Option<&'a Path>,
    /// Whether `cluster-init` is set: K3s starts a cluster with embedded etcd.
    pub cluster_init: bool,
    /// Whether `server` is set: K3s joins other servers, which use embedded etcd.
    pub joins: bool,
    /// Whether `disable-etcd` is set.
    pub disable_etcd: bool,
}

/// The datastore of this machine.
#[derive(Debug)]
pub enum Found {
    /// Embedded etcd.
    Etcd,
    /// The database file of SQLite.
    Sqlite(PathBuf),
    /// None that has snapshots.
    Nothing(Without),
}

/// Why there is no datastore that has snapshots.
#[derive(Debug)]
pub struct Without {
    /// The reason, as a sentence.
    pub why: String,
    /// The hint for the operator.
    pub hint: &'static str,
    /// Whether this is expected on the machine: no setting of K3s asks for such a datastore.
    pub expected: bool,
}

/// Fails unless `data_dir` holds embedded etcd.
pub fn require_etcd(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<()> {
    let without = match look(distribution, data_dir, said)? {
        Found::Etcd => return Ok(()),
        Found::Sqlite(db) => {
            let why =
                format!("{} uses SQLite in '{}' and not embedded etcd", distribution.name, db.display());
            return Err(Fault::new(Code::NoEmbeddedEtcd, why)
                .hint("Run this command on a server with embedded etcd.")
                .into());
        }
        Found::Nothing(without) => without,
    };
    Err(without.into_fault().into())
}

impl Without {
    /// The error of a command that needs a datastore.
    pub fn into_fault(self) -> Fault {
        Fault::new(Code::NoEmbeddedEtcd, self.why).hint(self.hint)
    }
}

/// Whether a file or directory exists.
///
/// # Errors
/// If that cannot be found out.
fn exists(path: &Path) -> Result<bool> {
    match std::fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(e) if is_absent(&e) => ensure_no_dangling_link(path).map(|()| false),
        Err(e) => Err(permission_context(e, format!("looking for the datastore '{}'", path.display()))),
    }
}

/// The datastore of `data_dir`.
///
/// # Errors
/// If the directory cannot be read.
pub fn look(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<Found> {
    // An initialized etcd wins over the configuration.
    if exists(&data_dir.join(distribution::ETCD_WAL))? {
        return Ok(Found::Etcd);
    }
    let sqlite = said.sqlite.map_or_else(|| data_dir.join(distribution::SQLITE), Path::to_owned);
    let has_sqlite = said.external.is_none() && exists(&sqlite)?;
    if has_sqlite && !said.joins {
        return Ok(Found::Sqlite(sqlite));
    }
    Ok(Found::Nothing(reason(distribution, data_dir, said, has_sqlite)))
}

/// Why `data_dir` has no datastore that has snapshots.
fn reason(distribution: &Distribution, data_dir: &Path, said: Said, has_sqlite: bool) -> Without {
    let has = |below: &str| data_dir.join(below).exists();
    let (shown, name) = (data_dir.display(), distribution.name);
    let (why, hint, expected) = if !data_dir.is_dir() {
        // The disk may not be mounted: this is never expected.
        (
            format!("no {name} data-dir found at '{shown}'"),
            "Set the data-dir with --data-dir DIRECTORY.",
            false,
        )
    } else if let Some(scheme) = said.external {
        (
            format!("{name} uses an external datastore ({scheme}), which this program does not save"),
            "Back up the external database with its own tools.",
            true,
        )
    } else if has_sqlite {
        // What is in the file is older than the join.
        (
            format!("{name} in '{shown}' has SQLite, but is set to join other servers, and has no etcd yet"),
            "Start K3s, or run this command on another server.",
            false,
        )
    } else if let Some(file) = said.sqlite {
        (
            format!(
                "no SQLite database found at '{}', where datastore-endpoint of {name} has it",
                file.display()
            ),
            "Check that the disk is mounted.",
            false,
        )
    } else if has(distribution::SERVER) && said.disable_etcd {
        (
            format!("there is no etcd in '{shown}/server': disable-etcd is set"),
            "Run this command on a server without disable-etcd.",
            true,
        )
    } else if has(distribution::SERVER) {
        (
            format!("there is neither a database of etcd nor of SQLite in '{shown}/server'"),
            "Check that the disk of 'server/db' is mounted. On a new server, start K3s first. If the database is lost, restore a \
             snapshot.",
            false,
        )
    } else if has(distribution::AGENT) {
        (
            format!("'{shown}' belongs to a {name} agent, which has no datastore"),
            "Run this command on a server of the cluster.",
            !said.cluster_init,
        )
    } else {
        (
            format!("'{shown}' is not the data-dir of a {name} server"),
            "Set the data-dir with --data-dir DIRECTORY.",
            false,
        )
    };
    Without { why, hint, expected }
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Fails if the database is behind a link whose target does not exist: its disk may not be mounted, so it is not known whether
/// there is one.
fn ensure_no_dangling_link(database: &Path) -> Result<()> {
    for path in database.ancestors() {
        match (path.symlink_metadata(), path.metadata()) {
            (Ok(meta), Err(e)) if meta.is_symlink() => {
                let what = format!(
                    "looking for the datastore: '{}' is a link whose target does not exist",
                    path.display()
                );
                let hint = "Mount the file system of the target, or correct the link.";
                return Err(
                    anyhow::Error::from(e).context(Fault::new(Code::DataDirNotFound, what).hint(hint))
                );
            }
            (Err(e), _) if is_absent(&e) => {}
            _ => break,
        }
    }
    Ok(())
}

/// The datastore of a server that is to be restored; `None` if it has none yet: a restore fills it.
///
/// # Errors
/// [`Code::OtherDatastore`] if K3s uses one that has no snapshots, or SQLite in a file that this program does not exchange.
pub fn to_restore(data_dir: &Path, said: Said) -> Result<Option<Datastore>> {
    let refuse =
        |why: String, hint: &str| Err(Fault::new(Code::OtherDatastore, why).hint(hint.to_owned()).into());
    match look(&distribution::K3S, data_dir, said)? {
        Found::Etcd => Ok(Some(Datastore::Etcd)),
        Found::Sqlite(_) | Found::Nothing(_) if said.external.is_none() && said.sqlite.is_some() => refuse(
            "datastore-endpoint of K3s sets another file of SQLite than 'server/db/state.db' in the data-dir"
                .to_owned(),
            "Fetch the snapshot with 'k3s-snapshot fetch', and follow the section SQLITE in k3s-snapshot-restore(8).",
        ),
        Found::Sqlite(_) => Ok(Some(Datastore::Sqlite)),
        Found::Nothing(without)
            if said.external.is_some() || exists(&data_dir.join(distribution::SQLITE))? =>
        {
            refuse(without.why, without.hint)
        }
        Found::Nothing(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn the_datastore_is_found_out_by_the_rules_of_k3s_and_etcd_on_disk_wins() {
        let dir = tempfile::tempdir().unwrap();
        let found = |said| look(&distribution::K3S, dir.path(), said).unwrap();
        let without = |said| match found(said) {
            Found::Nothing(without) => without,
            other => panic!("{other:?}"),
        };
        let none = Said::default();
        let postgres = Said { external: Some("postgres"), ..none };
        let (init, joins, disabled) = (
            Said { cluster_init: true, ..none },
            Said { joins: true, ..none },
            Said { disable_etcd: true, ..none },
        );
        assert!(without(none).why.contains(&dir.path().display().to_string()) && !without(none).expected);
        std::fs::create_dir(dir.path().join("agent")).unwrap();
        assert!(without(none).why.contains("agent"));
        // The configuration of an agent names a server too.
        assert_eq!([none, joins, init].map(|s| without(s).expected), [true, true, false]);
        std::fs::create_dir_all(dir.path().join("server/db")).unwrap();
        assert!(without(none).why.contains("/server'"));
        assert_eq!([none, joins, init, disabled].map(|s| without(s).expected), [false, false, false, true]);
        std::fs::write(dir.path().join(distribution::SQLITE), b"x").unwrap();
        for said in [none, init, disabled] {
            assert!(
                matches!(found(said), Found::Sqlite(file) if file == dir.path().join(distribution::SQLITE))
            );
        }
        // K3s does not use it any more.
        assert!(without(joins).why.contains("SQLite") && !without(joins).expected);
        let other = dir.path().join("other.db");
        let elsewhere = Said { sqlite: Some(&other), ..none };
        assert!(without(elsewhere).why.contains("other.db") && !without(elsewhere).expected);
        std::fs::write(&other, b"x").unwrap();
        assert!(matches!(found(elsewhere), Found::Sqlite(file) if file == other));
        assert!(without(postgres).why.contains("postgres") && without(postgres).expected);
        let to_restore = |said| to_restore(dir.path(), said);
        let refused =
            |said| to_restore(said).is_err_and(|e| crate::error::code_of(&e) == Code::OtherDatastore);
        assert_eq!(to_restore(none).unwrap(), Some(Datastore::Sqlite));
        assert!(refused(joins) && refused(postgres) && refused(elsewhere));
        std::fs::create_dir_all(dir.path().join(distribution::ETCD_WAL)).unwrap();
        assert_eq!(to_restore(none).unwrap(), Some(Datastore::Etcd));
        assert_eq!(super::to_restore(&dir.path().join("nowhere"), none).unwrap(), None);
        assert!(require_etcd(&distribution::K3S, dir.path(), postgres).is_ok());
        let missing = require_etcd(&distribution::RKE2, &dir.path().join("nowhere"), none).unwrap_err();
        assert!(missing.to_string().contains("RKE2"));
        assert_eq!(crate::error::kind_of(&missing), Kind::Config);
        let nowhere = look(&distribution::K3S, &dir.path().join("nowhere"), disabled).unwrap();
        assert!(matches!(nowhere, Found::Nothing(w) if !w.expected));
    }
}
