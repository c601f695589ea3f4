// SPDX-License-Identifier: Apache-2.0
//! What a report tells of a kit: names, and no secret.

use serde::Serialize;

use super::content::Kit;
use crate::model::token;

/// What `kit` and `rebuild` report of a kit.
#[derive(Debug, Default, Serialize)]
pub struct KitReport {
    /// The file name of the kit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The public key of a new pair.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The configuration file that the public key was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_file: Option<String>,
    /// The file that the private key was written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_file: Option<String>,
    /// The snapshot whose bootstrap data the token of the kit decrypts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Whether the verification was recorded on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recorded: Option<bool>,
    /// What is in the kit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<KitSummary>,
}

/// What is in a kit, without its secrets.
#[derive(Debug, Serialize)]
pub struct KitSummary {
    /// The word of the distribution.
    pub distribution: String,
    /// UID of the namespace kube-system.
    pub cluster_id: Option<String>,
    /// The node that sealed it.
    pub node: String,
    /// The addresses of that node.
    pub addresses: Vec<String>,
    /// The version of K3s.
    pub k3s_version: Option<String>,
    /// The version of the etcd server.
    pub etcd_version: Option<String>,
    /// First 12 hex digits of the SHA-256 of the server token.
    pub token_hash: String,
    /// Whether it has an agent token, too.
    pub has_agent_token: bool,
    /// The data-dir of K3s.
    pub data_dir: String,
    /// The paths of its files.
    pub files: Vec<String>,
    /// The flags that the service of K3s sets.
    pub flags: Vec<String>,
    /// The variables that the service of K3s sets.
    pub variables: Vec<String>,
    /// The names in the manifests directory of K3s.
    pub manifests: Vec<String>,
    /// Files that the flags of K3s name and that are not in the kit.
    pub not_included: Vec<String>,
}

impl KitSummary {
    /// The summary of a kit.
    pub(crate) fn new(kit: &Kit) -> KitSummary {
        KitSummary {
            distribution: kit.distribution.clone(),
            cluster_id: kit.cluster_id.clone(),
            node: kit.node.name.clone(),
            addresses: kit.node.addresses.clone(),
            k3s_version: kit.versions.k3s.clone(),
            etcd_version: kit.versions.etcd.clone(),
            token_hash: token::hash(kit.tokens.server.expose()),
            has_agent_token: kit.tokens.agent.is_some(),
            data_dir: kit.data_dir.clone(),
            files: kit.files.iter().map(|file| file.path.clone()).collect(),
            flags: kit.unit.flags.iter().map(|flag| flag.name.clone()).collect(),
            variables: kit.unit.variables.iter().map(|variable| variable.name.clone()).collect(),
            manifests: kit.manifests.clone(),
            not_included: kit.not_included.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::tests::kit;
    use super::*;

    #[test]
    fn a_summary_has_no_secret() {
        let text = serde_json::to_string(&KitSummary::new(&kit())).unwrap();
        assert!(text.contains("/etc/k/config.yaml") && text.contains("tls-san"));
        assert!(!text.contains("geheim") && !text.contains("vertraulich"), "{text}");
    }
}
