// SPDX-License-Identifier: Apache-2.0
//! Uploads the kit of a snapshot before the snapshot itself.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};

use crate::error::{Code, Fault, hint_of};
use crate::model::kit::KitName;
use crate::model::report::Report;
use crate::store::{KitStore, LocalKits, RemoteStore};

/// The kits of a run of uploads.
pub(in crate::commands) struct KitUploads<'a> {
    local: Option<&'a LocalKits>,
    done: BTreeSet<String>,
}

impl<'a> KitUploads<'a> {
    /// None is uploaded without `local`.
    pub(in crate::commands) fn new(local: Option<&'a LocalKits>) -> KitUploads<'a> {
        KitUploads { local, done: BTreeSet::new() }
    }

    /// Makes sure that the bucket has the kit that a snapshot names. A failure is an error in the report: the snapshot is uploaded
    /// anyway, and the next save tries again.
    pub(in crate::commands) fn ensure(
        &mut self,
        remote: &dyn RemoteStore,
        kit: Option<&str>,
        report: &mut Report,
    ) {
        let (Some(local), Some(kit)) = (self.local, kit) else { return };
        if !self.done.insert(kit.to_owned()) {
            return;
        }
        if let Err(e) = upload(local, remote, kit) {
            let what =
                format!("the recovery kit '{}' is not in '{}': {e:#}", kit.escape_debug(), remote.url());
            let hint = hint_of(&e).unwrap_or("The next save tries again.");
            report.fail(&Fault::new(Code::KitNotUploaded, what).hint(hint).into());
        }
    }
}

fn upload(local: &LocalKits, remote: &dyn RemoteStore, kit: &str) -> Result<()> {
    let name = KitName::parse(kit).context("the name is not that of a kit")?;
    let store = remote.kits().context("the store has no place for kits")?;
    if store.has_kit(&name)? {
        return Ok(());
    }
    let sealed = local.read_kit(&name)?.context("this machine does not have it either")?;
    store.write_kit(&name, &sealed)
}
