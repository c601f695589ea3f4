// SPDX-License-Identifier: Apache-2.0
//! The text of kit: what was made, verified or shown. No secret is in the report.

use std::fmt::Write as _;

use super::escape::printable;
use super::table::table;
use crate::model::kit::{KitReport, KitSummary};

/// The result as text.
pub(super) fn text(kit: &KitReport) -> String {
    let mut out = String::new();
    if let Some(key) = &kit.public_key {
        let _ = writeln!(out, "Public key: {}", printable(key));
        if let Some(file) = &kit.identity_file {
            let _ =
                writeln!(out, "The private key is in {}: keep it away from this machine.", printable(file));
        }
        if let Some(file) = &kit.config_file {
            let _ = writeln!(out, "The public key is in {}.", printable(file));
        }
        let _ = writeln!(out, "On the other servers, add this line to /etc/k3s-snapshot/config.yaml:");
        let _ = writeln!(out, "kit-recipients: [\"{}\"]", printable(key));
        let _ = writeln!(
            out,
            "Then save on each server, and verify: k3s-snapshot save, k3s-snapshot kit verify --identity FILE"
        );
    }
    if let (Some(name), Some(snapshot)) = (&kit.name, &kit.snapshot) {
        let (name, snapshot) = (printable(name), printable(snapshot));
        let _ = writeln!(out, "{name}: verified, its token opens {snapshot}");
        if kit.recorded == Some(false) {
            out.push_str("It is not the kit in force of this machine, so nothing was recorded.\n");
        }
    } else if let Some(content) = &kit.content {
        out.push_str(&summary(content));
    }
    out
}

fn summary(content: &KitSummary) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let list = |all: &[String]| if all.is_empty() { "-".to_owned() } else { all.join(", ") };
    let rows = [
        ("Cluster:", or_dash(&content.cluster_id)),
        ("Node:", content.node.clone()),
        ("Addresses:", list(&content.addresses)),
        ("K3s:", or_dash(&content.k3s_version)),
        ("etcd:", or_dash(&content.etcd_version)),
        ("Token hash:", content.token_hash.clone()),
        ("Agent token:", if content.has_agent_token { "yes" } else { "no" }.to_owned()),
        ("Data directory:", content.data_dir.clone()),
        ("Files:", list(&content.files)),
        ("Flags:", list(&content.flags)),
        ("Variables:", list(&content.variables)),
        ("Manifests:", list(&content.manifests)),
        ("Not included:", list(&content.not_included)),
    ];
    table(&rows.map(|(name, value)| vec![name.to_owned(), printable(&value)]))
}
