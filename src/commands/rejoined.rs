// SPDX-License-Identifier: Apache-2.0
//! Servers that have not rejoined after a restore: until each of them has, two clusters can come to serve.

use std::path::Path;

use crate::host::server_files::save_last_restore;
use crate::model::report::Report;
use crate::model::restore::LastRestore;
use crate::model::runbook::{host_of, node_of};
use crate::model::warning::WarningCode;
use crate::source::DatastoreProbe;

/// Warns about each server that has not rejoined since the last restore, and forgets those that have. `directory` is that of
/// the file.
pub fn warn_about_missing_servers(
    directory: &Path,
    mut last: LastRestore,
    etcd: &dyn DatastoreProbe,
    report: &mut Report,
) {
    let members = etcd.look().map(|status| status.members).unwrap_or_default();
    let members: Vec<(String, Vec<String>)> = members
        .into_iter()
        .map(|m| {
            let urls = m.client_urls.iter().chain(&m.peer_urls);
            let addresses = urls.filter_map(|url| host_of(url)).map(str::to_owned).collect();
            (node_of(&m.name).to_owned(), addresses)
        })
        .collect();
    if last.forget_members(&members)
        && let Err(e) = save_last_restore(directory, &last)
    {
        log::info!("{e:#}");
    }
    if last.missing.is_empty() {
        return;
    }
    let names: Vec<String> = last
        .missing
        .iter()
        .map(|s| format!("{} ({})", s.name.escape_debug(), s.addresses.join(", ")))
        .collect();
    report.warn(
        WarningCode::ServersNotRejoined,
        format!(
            "servers that were members before the last restore have not rejoined: {}; run 'k3s-snapshot restore --rejoin \
             --server URL' on them, or delete '{}' if they are gone for good",
            names.join(", "),
            directory.join("last.json").display()
        ),
    );
}
