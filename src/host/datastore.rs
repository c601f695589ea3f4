// SPDX-License-Identifier: Apache-2.0
//! Which datastore a K3s server uses, decided as K3s decides it. Only embedded etcd has snapshots.

use std::path::Path;

use anyhow::Result;

use crate::distribution::{self, Distribution};
use crate::error::{Code, Fault};

/// What K3s is told about it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Said<'a> {
    /// An external datastore: the scheme of its URL.
    pub external: Option<&'a str>,
    /// To begin a cluster with embedded etcd.
    pub cluster_init: bool,
    /// To join other servers, which is by embedded etcd.
    pub joins: bool,
    /// To run no etcd here.
    pub disable_etcd: bool,
}

/// Why there is no embedded etcd.
#[derive(Debug)]
pub struct Without {
    /// As a sentence.
    pub why: String,
    /// What to do.
    pub hint: &'static str,
    /// Whether that is as it should be on such a machine: nothing that K3s is told says otherwise.
    pub rightly: bool,
}

/// Fails with words unless `data_dir` holds embedded etcd.
pub fn require_etcd(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<()> {
    match look(distribution, data_dir, said)? {
        None => Ok(()),
        Some(without) => Err(Fault::new(Code::NoEmbeddedEtcd, without.why).hint(without.hint).into()),
    }
}

/// `None` where `data_dir` holds embedded etcd; fails where nobody can tell.
pub fn look(distribution: &Distribution, data_dir: &Path, said: Said) -> Result<Option<Without>> {
    let has = |below: &str| data_dir.join(below).exists();
    let (shown, name) = (data_dir.display(), distribution.name);
    // An initialised etcd wins over whatever is configured.
    match std::fs::metadata(data_dir.join(distribution::ETCD_WAL)) {
        Ok(_) => return Ok(None),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(anyhow::Error::from(e).context(
                Fault::new(Code::PermissionDenied, format!("looking for etcd in '{shown}'"))
                    .hint("Run it as root."),
            ));
        }
        Err(_) => {}
    }
    let (why, hint, rightly) = if !data_dir.is_dir() {
        // Perhaps a disk that is not mounted: never as it should be.
        (format!("there is no {name} data-dir at '{shown}'"), "Name the right one with --data-dir.", false)
    } else if let Some(scheme) = said.external {
        (
            format!(
                "{name} keeps its state in an external datastore ({scheme}), which has no etcd snapshots"
            ),
            "Back that database up by its own means.",
            true,
        )
    } else if has(distribution::SQLITE) {
        (
            format!("{name} in '{shown}' keeps its state in SQLite, which has no etcd snapshots"),
            "Start K3s once with --cluster-init to move to embedded etcd; see the K3s manual.",
            !said.cluster_init && !said.joins,
        )
    } else if has(distribution::SERVER) {
        (
            format!("etcd database not found in '{shown}/server'"),
            "It has not yet started with embedded etcd here, or this server runs with --disable-etcd.",
            said.disable_etcd,
        )
    } else if has(distribution::AGENT) {
        (
            format!("'{shown}' belongs to a {name} agent, which has no datastore"),
            "Save snapshots on the servers.",
            !said.cluster_init,
        )
    } else {
        (
            format!("'{shown}' is not the data-dir of a {name} server"),
            "Name the right one with --data-dir.",
            false,
        )
    };
    Ok(Some(Without { why, hint, rightly }))
}

/// Fails with words where K3s keeps its state in something else than embedded etcd. A folder without any state is fine: a
/// restore fills it.
pub fn may_be_etcd(data_dir: &Path, external: Option<&str>) -> Result<()> {
    let empty =
        [distribution::ETCD_WAL, distribution::SQLITE].iter().all(|below| !data_dir.join(below).exists());
    match (empty, external) {
        (true, None) => Ok(()),
        _ => require_etcd(&distribution::K3S, data_dir, Said { external, ..Said::default() }).map_err(|e| {
            let what = e.to_string();
            Fault::new(Code::OtherDatastore, what)
                .hint("K3s would turn it into an etcd of the snapshot's data without asking. Move its data away first if that is what you want.")
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
        assert!(without(none).why.contains("is not the data-dir") && !without(none).rightly);
        std::fs::create_dir(dir.path().join("agent")).unwrap();
        assert!(without(none).why.contains("agent"));
        // An agent names a server too.
        assert_eq!([none, joins, init].map(|s| without(s).rightly), [true, true, false]);
        std::fs::create_dir_all(dir.path().join("server/db")).unwrap();
        assert!(without(none).why.contains("etcd database not found"));
        assert_eq!([none, joins, init, disabled].map(|s| without(s).rightly), [false, false, false, true]);
        std::fs::write(dir.path().join(distribution::SQLITE), b"x").unwrap();
        assert!(without(none).why.contains("SQLite"));
        assert_eq!([none, joins, init].map(|s| without(s).rightly), [true, false, false]);
        assert!(without(postgres).why.contains("external datastore (postgres)") && without(postgres).rightly);
        std::fs::create_dir_all(dir.path().join(distribution::ETCD_WAL)).unwrap();
        assert!(require_etcd(&distribution::K3S, dir.path(), postgres).is_ok());
        let missing = require_etcd(&distribution::RKE2, &dir.path().join("nowhere"), none).unwrap_err();
        assert!(missing.to_string().contains("no RKE2 data-dir"));
        assert_eq!(crate::error::kind_of(&missing), Kind::Config);
        assert!(!look(&distribution::K3S, &dir.path().join("nowhere"), disabled).unwrap().unwrap().rightly);
    }
}
