// SPDX-License-Identifier: Apache-2.0
//! Reads the Secret of the cluster with the settings of the bucket (`etcd-s3-config-secret`), and the ConfigMap that it names.

use anyhow::Result;

use crate::config::config_secret::{ConfigSecret, SecretValues};
use crate::error::{Code, Fault};
use crate::source::{ClusterObjects, ObjectKind, Unreadable};

/// The values of the Secret and of the ConfigMap with its certificates.
///
/// # Errors
/// If the Secret does not exist, is encrypted or cannot be read.
pub(super) fn read(secret: &ConfigSecret<'_>, objects: &dyn ClusterObjects) -> Result<SecretValues> {
    let stored = objects.object(&ObjectKind::Secret.key(secret.name)).map_err(|e| unread(secret, &e))?;
    let Some(stored) = stored else {
        let message = format!("{secret} does not exist in the namespace kube-system");
        let hint = ConfigSecret::hint("Create the Secret; or");
        return Err(Fault::new(Code::S3ConfigSecretMissing, message).hint(hint).into());
    };
    let data = ObjectKind::Secret.read(secret.name, &stored).map_err(|why| match why {
        Unreadable::Encrypted => {
            let message = format!("{secret} is encrypted (secrets-encryption), so its values are not known");
            Fault::new(Code::S3ConfigSecretEncrypted, message).hint(ConfigSecret::hint("In this case,"))
        }
        Unreadable::Malformed => Fault::new(Code::S3ConfigSecret, format!("{secret} has an unknown form"))
            .hint(ConfigSecret::hint("In this case,")),
    })?;
    let mut values = SecretValues { data: data.data, certificates: Vec::new() };
    if let Some(name) = values.ca_config_map() {
        values.certificates = certificates(secret, name, objects)?;
    }
    Ok(values)
}

/// The values of the ConfigMap. As in K3s, one that does not exist is only a warning.
fn certificates(secret: &ConfigSecret<'_>, name: &str, objects: &dyn ClusterObjects) -> Result<Vec<Vec<u8>>> {
    let kind = ObjectKind::ConfigMap;
    let stored = objects.object(&kind.key(name)).map_err(|e| unread(secret, &e))?;
    match stored.map(|stored| kind.read(name, &stored)) {
        Some(Ok(map)) => Ok(map.data.into_values().chain(map.binary.into_values()).collect()),
        found => {
            let why = if found.is_none() { "does not exist" } else { "cannot be read" };
            log::warn!(
                "the ConfigMap '{}', which {secret} names for the certificates of the endpoint, {why}",
                name.escape_debug()
            );
            Ok(Vec::new())
        }
    }
}

/// The error if the datastore cannot be read.
pub(super) fn unread(secret: &ConfigSecret<'_>, cause: &anyhow::Error) -> anyhow::Error {
    let message = format!("the settings of the bucket are in {secret}, which cannot be read: {cause:#}");
    Fault::new(Code::S3ConfigSecret, message).hint(ConfigSecret::hint("Start K3s; or")).into()
}
