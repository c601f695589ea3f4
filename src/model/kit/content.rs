// SPDX-License-Identifier: Apache-2.0
//! The content of a kit. It holds secrets: it is written only into the memory that is encrypted, and nothing of it is shown but
//! names.
//!
//! The JSON is a file format: fields are only added, never renamed, and a reader ignores the fields that it does not know.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::model::digest::Digest;
use crate::model::secret::Secret;
use crate::model::token;

/// The version of [`Kit`] that this code writes.
pub(crate) const KIT_VERSION: u32 = 1;
/// What the digest of a content begins with.
const DIGEST_DOMAIN: &[u8] = b"k3s-snapshot kit 1\0";

/// What a new machine needs and a snapshot lacks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kit {
    /// Version of this format: 1.
    pub(crate) version: u32,
    /// The word of the distribution: `k3s`.
    pub(crate) distribution: String,
    /// UID of the namespace kube-system.
    #[serde(default)]
    pub(crate) cluster_id: Option<String>,
    /// The versions of the programs.
    #[serde(default)]
    pub(crate) versions: KitVersions,
    /// The server that sealed it.
    pub(crate) node: KitNode,
    /// The tokens.
    pub(crate) tokens: KitTokens,
    /// The data-dir of K3s.
    pub(crate) data_dir: String,
    /// What the service of K3s sets.
    #[serde(default)]
    pub(crate) unit: KitUnit,
    /// The main file of the configuration of K3s. It need not be among the files.
    pub(crate) config: String,
    /// The files, sorted by path.
    #[serde(default)]
    pub(crate) files: Vec<KitFile>,
    /// The names in the manifests directory of K3s, sorted. Their content is not in the kit.
    #[serde(default)]
    pub(crate) manifests: Vec<String>,
    /// Files that the flags of K3s name and that are not in the kit, sorted.
    #[serde(default)]
    pub(crate) not_included: Vec<String>,
}

/// The versions of the programs that have written the data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitVersions {
    /// K3s, as its node reports it: `v1.30.4+k3s1`.
    #[serde(default)]
    pub(crate) k3s: Option<String>,
    /// The etcd server.
    #[serde(default)]
    pub(crate) etcd: Option<String>,
    /// The storage version of etcd.
    #[serde(default)]
    pub(crate) etcd_storage: Option<String>,
}

/// A server.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitNode {
    /// Its name as a node.
    pub(crate) name: String,
    /// Its addresses, as its node object and its etcd have them.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
}

/// The tokens of a cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitTokens {
    /// The server token.
    #[serde(with = "exposed")]
    pub(crate) server: Secret,
    /// The agent token, if it is another one.
    #[serde(default, with = "exposed_option")]
    pub(crate) agent: Option<Secret>,
}

/// What the service of K3s sets in addition to its files.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitUnit {
    /// Its name, with `.service`.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Its arguments, by the long names of their flags.
    #[serde(default)]
    pub(crate) flags: Vec<KitFlag>,
    /// Its variables.
    #[serde(default)]
    pub(crate) variables: Vec<KitVariable>,
}

/// A flag of K3s with its values.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitFlag {
    /// The long name.
    pub(crate) name: String,
    /// The values, in order.
    #[serde(with = "exposed_list")]
    pub(crate) values: Vec<Secret>,
}

/// A variable of the service of K3s.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitVariable {
    /// The name.
    pub(crate) name: String,
    /// The value.
    #[serde(with = "exposed")]
    pub(crate) value: Secret,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KitFile {
    /// Its path, absolute.
    pub(crate) path: String,
    /// Its permissions.
    pub(crate) mode: u32,
    /// Its text.
    #[serde(with = "exposed")]
    pub(crate) text: Secret,
}

/// What a snapshot tells about its server, for a kit.
#[derive(Debug, Default)]
pub(crate) struct KitFacts {
    /// UID of the namespace kube-system.
    pub(crate) cluster_id: Option<String>,
    /// The hashes of the tokens that open the snapshot.
    pub(crate) token_hashes: Vec<String>,
    /// The versions of the programs.
    pub(crate) versions: KitVersions,
    /// The addresses of the node.
    pub(crate) addresses: Vec<String>,
}

/// Why the text of a kit cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// It is no kit.
    NoKit,
    /// It is of a newer version of this format.
    Newer(u32),
}

impl Kit {
    /// The text that is sealed. The same content gives the same text.
    pub(crate) fn to_text(&self) -> Secret {
        // Strings, numbers and lists: serialising cannot fail. An empty text would not parse.
        Secret::new(serde_json::to_string_pretty(self).unwrap_or_default())
    }

    /// Reads the text of an opened kit.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn parse(text: &Secret) -> Result<Kit, ParseError> {
        /// What every version has.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text.expose()).map_err(|_| ParseError::NoKit)?;
        if version > KIT_VERSION {
            return Err(ParseError::Newer(version));
        }
        let kit: Kit = serde_json::from_str(text.expose()).map_err(|_| ParseError::NoKit)?;
        let usable = kit.files.iter().all(|file| is_absolute(&file.path)) && is_absolute(&kit.config);
        if usable { Ok(kit) } else { Err(ParseError::NoKit) }
    }

    /// The digest by which a later save knows that nothing has changed. It depends on the server token, so it discloses nothing.
    pub(crate) fn digest(&self) -> Digest {
        let password = token::parse(&self.tokens.server).map(|token| token.password);
        let password = password.as_ref().map_or(self.tokens.server.expose(), Secret::expose);
        let mut hasher = Sha256::new();
        hasher.update(DIGEST_DOMAIN);
        hasher.update(Sha256::digest(password.as_bytes()));
        hasher.update(self.to_text().expose().as_bytes());
        Digest(hasher.finalize().into())
    }
}

/// Whether a path is absolute and leads to no other place than it shows.
fn is_absolute(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        !rest.is_empty() && rest.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
    }) && !path.contains('\0')
}

/// Shows names, never a value.
impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kit of {} with {} file(s)", self.node.name.escape_debug(), self.files.len())
    }
}

/// A secret in the text that is sealed. Nothing else may serialise one.
mod exposed {
    use serde::Deserialize;

    use crate::model::secret::Secret;

    pub(super) fn serialize<S: serde::Serializer>(secret: &Secret, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Secret, D::Error> {
        String::deserialize(d).map(Secret::new)
    }
}

/// The same, if there is one.
mod exposed_option {
    use serde::Deserialize;

    use crate::model::secret::Secret;

    pub(super) fn serialize<S: serde::Serializer>(secret: &Option<Secret>, s: S) -> Result<S::Ok, S::Error> {
        match secret {
            Some(secret) => s.serialize_some(secret.expose()),
            None => s.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Secret>, D::Error> {
        Ok(Option::<String>::deserialize(d)?.map(Secret::new))
    }
}

/// The same, for a list.
mod exposed_list {
    use serde::Deserialize;

    use crate::model::secret::Secret;

    pub(super) fn serialize<S: serde::Serializer>(secrets: &[Secret], s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(secrets.iter().map(Secret::expose))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Vec<Secret>, D::Error> {
        Ok(Vec::<String>::deserialize(d)?.into_iter().map(Secret::new).collect())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn kit() -> Kit {
        Kit {
            version: KIT_VERSION,
            distribution: "k3s".to_owned(),
            cluster_id: Some("6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11".to_owned()),
            versions: KitVersions { k3s: Some("v1.30.4+k3s1".to_owned()), ..KitVersions::default() },
            node: KitNode { name: "server-1".to_owned(), addresses: vec!["10.0.0.1".to_owned()] },
            tokens: KitTokens { server: Secret::new("geheim"), agent: Some(Secret::new("vertraulich")) },
            data_dir: "/var/lib/k".to_owned(),
            unit: KitUnit {
                name: Some("k.service".to_owned()),
                flags: vec![KitFlag { name: "tls-san".to_owned(), values: vec![Secret::new("a")] }],
                variables: vec![],
            },
            config: "/etc/k/config.yaml".to_owned(),
            files: vec![KitFile {
                path: "/etc/k/config.yaml".to_owned(),
                mode: 0o600,
                text: Secret::new("token: geheim\n"),
            }],
            manifests: vec!["a.yaml".to_owned()],
            not_included: vec![],
        }
    }

    #[test]
    fn a_kit_reads_back_and_shows_no_secret() {
        let kit = kit();
        assert!(Kit::parse(&kit.to_text()) == Ok(kit.clone()));
        assert!(!format!("{kit:?}").contains("geheim"));
        let more = kit.to_text().expose().replacen('{', "{\"later\": {\"x\": 1},", 1);
        assert!(Kit::parse(&Secret::new(more)) == Ok(kit), "an added field is ignored");
    }

    #[test]
    fn the_digest_depends_on_every_field_and_on_the_token() {
        let kit = kit();
        let mut other = kit.clone();
        other.tokens.server = Secret::new("andere");
        let mut file = kit.clone();
        file.files[0].mode = 0o644;
        assert_eq!(kit.digest(), self::kit().digest());
        assert_ne!(kit.digest(), other.digest());
        assert_ne!(kit.digest(), file.digest());
        assert_ne!(
            kit.digest().0,
            <[u8; 32]>::from(Sha256::digest(kit.to_text().expose())),
            "no plain digest"
        );
    }

    #[test]
    fn a_text_that_is_no_kit_and_a_newer_one_are_refused() {
        let parse = |text: &str| Kit::parse(&Secret::new(text)).unwrap_err();
        for text in ["", "{}", "[]", "{\"version\":1}", "{\"version\":\"1\"}"] {
            assert_eq!(parse(text), ParseError::NoKit, "{text}");
        }
        assert_eq!(parse("{\"version\":2,\"tokens\":[]}"), ParseError::Newer(2));
        for path in ["etc/x", "/etc/../x", "/", "/etc//x", "/etc/./x"] {
            let text = kit()
                .to_text()
                .expose()
                .replace("\"path\": \"/etc/k/config.yaml\"", &format!("\"path\": \"{path}\""));
            assert_eq!(parse(&text), ParseError::NoKit, "{path}");
        }
    }
}
