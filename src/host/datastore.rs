// SPDX-License-Identifier: Apache-2.0
//! Which datastore a K3s server uses, by the rules of K3s. Only embedded etcd has snapshots.

use std::io;
use std::path::Path;

use anyhow::Result;

use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault};
use crate::host::fs::permission_context;

/// The settings of K3s that select the datastore.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// An external datastore: the scheme of its URL.
    pub external: Option<&'a str>,
    /// Whether `cluster-init` is set: K3s starts a cluster with embedded etcd.
    pub cluster_init: bool,
    /// Whether `server` is set: K3s joins other servers, which use embedded etcd.
    pub joins: bool,
    /// Whether `disable-etcd` is set.
    pub disable_etcd: bool,
}

/// Why there is no embedded etcd.
#[derive(Debug)]
pub struct Without {
    /// The reason, as a sentence.
    pub why: String,
    /// The hint for the operator.
    pub hint: &'static str,
    /// Whether this is expected on the machine: no setting of K3s asks for embedded etcd.
    pub expected: bool,
}

/// Fails unless `data_dir` holds embedded etcd.
pub fn require_etcd(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<()> {
    match look(distribution, data_dir, said)? {
        None => Ok(()),
        Some(without) => Err(Fault::new(Code::NoEmbeddedEtcd, without.why).hint(without.hint).into()),
    }
}

/// Why `data_dir` holds no embedded etcd; `None` if it does.
///
/// # Errors
/// If the directory cannot be read.
pub fn look(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<Option<Without>> {
    let has = |below: &str| data_dir.join(below).exists();
    let (shown, name) = (data_dir.display(), distribution.name);
    // An initialized etcd wins over the configuration.
    match std::fs::metadata(data_dir.join(distribution::ETCD_WAL)) {
        Ok(_) => return Ok(None),
        Err(e) if is_absent(&e) => ensure_no_dangling_link(data_dir)?,
        Err(e) => return Err(permission_context(e, format!("looking for etcd in '{shown}'"))),
    }
    let (why, hint, expected) = if !data_dir.is_dir() {
        // The disk may not be mounted: this is never expected.
        (
            format!("no {name} data-dir found at '{shown}'"),
            "Set the data-dir with --data-dir DIRECTORY.",
            false,
        )
    } else if let Some(scheme) = said.external {
        (
            format!("{name} uses an external datastore ({scheme}), which has no etcd snapshots"),
            "Back up the external database with its own tools.",
            true,
        )
    } else if has(distribution::SQLITE) {
        (
            format!("{name} in '{shown}' uses SQLite, which has no etcd snapshots"),
            "Start K3s once with --cluster-init to move to embedded etcd; see the K3s documentation.",
            !said.cluster_init && !said.joins,
        )
    } else if has(distribution::SERVER) {
        (
            format!("etcd database not found in '{shown}/server'"),
            "Start K3s with embedded etcd, or run this command on a server without --disable-etcd.",
            said.disable_etcd,
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
    Ok(Some(Without { why, hint, expected }))
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Fails if the database is behind a link whose target does not exist: its disk may not be mounted, so it is not known whether
/// there is one.
fn ensure_no_dangling_link(data_dir: &Path) -> Result<()> {
    let database = data_dir.join(distribution::ETCD_WAL);
    for path in database.ancestors() {
        match (path.symlink_metadata(), path.metadata()) {
            (Ok(meta), Err(e)) if meta.is_symlink() => {
                let what =
                    format!("looking for etcd: '{}' is a link whose target does not exist", path.display());
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

/// Fails if K3s uses another datastore than embedded etcd. A directory without a database is valid: a restore fills it.
pub fn may_be_etcd(data_dir: &Path, external: Option<&str>) -> Result<()> {
    let empty =
        [distribution::ETCD_WAL, distribution::SQLITE].iter().all(|below| !data_dir.join(below).exists());
    match (empty, external) {
        (true, None) => Ok(()),
        _ => require_etcd(&distribution::K3S, data_dir, Said { external, ..Said::default() }).map_err(|e| {
            let what = e.to_string();
            Fault::new(Code::OtherDatastore, what)
                .hint("Move the data of the other datastore away first if the snapshot is to replace it: K3s does not ask.")
                .into()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn each_datastore_has_its_own_sentence_and_etcd_on_disk_wins() {
        let dir = tempfile::tempdir().unwrap();
        let without = |said| look(&distribution::K3S, dir.path(), said).unwrap().unwrap();
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
        assert!(without(none).why.contains("SQLite"));
        assert_eq!([none, joins, init].map(|s| without(s).expected), [true, false, false]);
        assert!(without(postgres).why.contains("postgres") && without(postgres).expected);
        std::fs::create_dir_all(dir.path().join(distribution::ETCD_WAL)).unwrap();
        assert!(require_etcd(&distribution::K3S, dir.path(), postgres).is_ok());
        let missing = require_etcd(&distribution::RKE2, &dir.path().join("nowhere"), none).unwrap_err();
        assert!(missing.to_string().contains("RKE2"));
        assert_eq!(crate::error::kind_of(&missing), Kind::Config);
        assert!(!look(&distribution::K3S, &dir.path().join("nowhere"), disabled).unwrap().unwrap().expected);
    }
}
