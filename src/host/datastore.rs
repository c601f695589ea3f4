// SPDX-License-Identifier: Apache-2.0
//! Which datastore a K3s server uses, decided as K3s decides it. Only embedded etcd has snapshots.

use std::path::Path;

use anyhow::Result;

use super::flavour::{self, Flavour};
use crate::error::{Fault, Kind};

/// Fails with words unless `data_dir` holds embedded etcd. `external` is the scheme of a configured datastore.
pub fn require_etcd(flavour: &Flavour, data_dir: &Path, external: Option<&str>) -> Result<()> {
    let has = |below: &str| data_dir.join(below).exists();
    let (shown, name) = (data_dir.display(), flavour.name);
    // An initialised etcd wins over whatever is configured.
    match std::fs::metadata(data_dir.join(flavour::ETCD_WAL)) {
        Ok(_) => return Ok(()),
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            return Err(anyhow::Error::from(e).context(
                Fault::new(Kind::Refused, format!("looking for etcd in '{shown}'")).hint("Run it as root."),
            ));
        }
        Err(_) => {}
    }
    let (why, hint) = if !data_dir.is_dir() {
        (format!("there is no {name} data-dir at '{shown}'"), "Name the right one with --data-dir.")
    } else if let Some(scheme) = external {
        (
            format!(
                "{name} keeps its state in an external datastore ({scheme}), which has no etcd snapshots"
            ),
            "Back that database up by its own means.",
        )
    } else if has(flavour::SQLITE) {
        (
            format!("{name} in '{shown}' keeps its state in SQLite, which has no etcd snapshots"),
            "Start K3s once with --cluster-init to move to embedded etcd; see the K3s manual.",
        )
    } else if has(flavour::SERVER) {
        (
            format!("etcd database not found in '{shown}/server'"),
            "It has not yet started with embedded etcd here, or this server runs with --disable-etcd.",
        )
    } else if has(flavour::AGENT) {
        (
            format!("'{shown}' belongs to a {name} agent, which has no datastore"),
            "Save snapshots on the servers.",
        )
    } else {
        (format!("'{shown}' is not the data-dir of a {name} server"), "Name the right one with --data-dir.")
    };
    Err(Fault::new(Kind::Config, why).hint(hint).into())
}

/// Fails with words where K3s keeps its state in something else than embedded etcd. A folder without any state is fine: a
/// restore fills it.
pub fn may_be_etcd(data_dir: &Path, external: Option<&str>) -> Result<()> {
    let empty = [flavour::ETCD_WAL, flavour::SQLITE].iter().all(|below| !data_dir.join(below).exists());
    match (empty, external) {
        (true, None) => Ok(()),
        _ => require_etcd(&flavour::K3S, data_dir, external).map_err(|e| {
            let what = e.to_string();
            Fault::new(Kind::Refused, what)
                .hint("K3s would turn it into an etcd of the snapshot's data without asking. Move its data away first if that is what you want.")
                .into()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_datastore_has_its_own_sentence_and_etcd_on_disk_wins() {
        let dir = tempfile::tempdir().unwrap();
        let said = |external| require_etcd(&flavour::K3S, dir.path(), external).unwrap_err().to_string();
        assert!(said(None).contains("is not the data-dir"));
        std::fs::create_dir(dir.path().join("agent")).unwrap();
        assert!(said(None).contains("agent"));
        std::fs::create_dir_all(dir.path().join("server/db")).unwrap();
        assert!(said(None).contains("etcd database not found"));
        std::fs::write(dir.path().join(flavour::SQLITE), b"x").unwrap();
        assert!(said(None).contains("SQLite"));
        assert!(said(Some("postgres")).contains("external datastore (postgres)"));
        std::fs::create_dir_all(dir.path().join(flavour::ETCD_WAL)).unwrap();
        assert!(require_etcd(&flavour::K3S, dir.path(), Some("postgres")).is_ok());
        let missing = require_etcd(&flavour::RKE2, &dir.path().join("nowhere"), None).unwrap_err();
        assert!(missing.to_string().contains("no RKE2 data-dir"));
        assert_eq!(crate::error::kind_of(&missing), Kind::Config);
    }
}
