// SPDX-License-Identifier: Apache-2.0
//! What only the timers ask for: to leave a machine without etcd alone, and to say when K3s saves beside us.

use anyhow::Result;

use crate::config::settings::Settings;
use crate::distribution::Distribution;
use crate::host::datastore::{self, Said};
use crate::model::report::Report;

/// What the names of snapshots begin with that our timer saves.
pub(super) const BASE: &str = "timer";

/// What K3s is told of its datastore.
pub(super) fn said(s: &Settings) -> Said<'_> {
    Said {
        external: s.datastore_scheme.as_deref(),
        cluster_init: s.cluster_init,
        joins: s.flags.last("server").is_some(),
        disable_etcd: s.disable_etcd,
    }
}

/// Whether the run ends here: it was asked to, and this machine rightly keeps no embedded etcd. Where there should be
/// one, or nobody can tell, it goes on and fails with its own words.
pub(super) fn skips(asked: bool, s: &Settings, report: &mut Report) -> Result<bool> {
    if !asked || !s.etcd_endpoints.is_empty() {
        return Ok(false);
    }
    match datastore::look(s.distribution, &s.data_dir, said(s))? {
        Some(without) if without.rightly => {
            report.skip(without.why);
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Two schedules are twice the snapshots, and none of the two says so by itself.
pub(super) fn tell_of_k3s(s: &Settings, distribution: &Distribution, report: &mut Report) {
    if s.name == BASE && !s.disable_snapshots && s.etcd_endpoints.is_empty() {
        report.warn(format!(
            "{} saves on its own schedule too: to have the timer alone, put 'etcd-disable-snapshots: true' into \
             '{}' and restart {}",
            distribution.name, distribution.config, distribution.name
        ));
    }
}
