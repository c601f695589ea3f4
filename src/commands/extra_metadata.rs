// SPDX-License-Identifier: Apache-2.0
//! The extra metadata of K3s: the data of a ConfigMap of the cluster, which K3s stores with each snapshot and shows in its
//! ETCDSnapshotFile. It is stored with ours too, in the form of K3s. A failure is a warning, as in K3s.

use anyhow::{Context, Result, bail};

use crate::inspect::{ObjectKind, Unreadable};
use crate::model::report::Report;
use crate::model::snapshot::Manifest;
use crate::model::warning::WarningCode;
use crate::source::ClusterObjects;
use crate::store::{LocalStore, RemoteStore};

/// Stores the data of the ConfigMap with a new snapshot of the cluster. Without data, there is no file.
pub(super) fn write(
    local: &dyn LocalStore,
    file: &str,
    config_map: &str,
    objects: &dyn ClusterObjects,
    report: &mut Report,
) {
    let written = json_of(config_map, objects).and_then(|json| match json {
        Some(json) => local.write_extra_metadata(file, &json),
        None => Ok(()),
    });
    warn(written, file, report);
}

/// Uploads what is stored with a local snapshot.
pub(super) fn upload(
    local: &dyn LocalStore,
    remote: &dyn RemoteStore,
    manifest: &Manifest,
    report: &mut Report,
) {
    let uploaded = local.extra_metadata(&manifest.name).and_then(|json| match json {
        Some(json) => remote.write_extra_metadata(manifest, &json),
        None => Ok(()),
    });
    warn(uploaded, &manifest.name, report);
}

fn warn(done: Result<()>, file: &str, report: &mut Report) {
    if let Err(e) = done {
        let message = format!("the extra metadata of '{}' was not stored: {e:#}", file.escape_debug());
        report.warn(WarningCode::ExtraMetadataNotWritten, message);
    }
}

/// The data as JSON; `None` if the cluster has none.
fn json_of(config_map: &str, objects: &dyn ClusterObjects) -> Result<Option<Vec<u8>>> {
    let kind = ObjectKind::ConfigMap;
    let Some(stored) = objects.object(&kind.key(config_map))? else { return Ok(None) };
    let map = match kind.read(config_map, &stored) {
        Ok(map) => map,
        Err(Unreadable::Encrypted) => bail!("the ConfigMap '{config_map}' is encrypted (secrets-encryption)"),
        Err(Unreadable::Malformed) => bail!("the ConfigMap '{config_map}' has an unknown form"),
    };
    if map.data.is_empty() {
        return Ok(None);
    }
    let texts = map.data.iter().map(|(key, value)| (key, String::from_utf8_lossy(value)));
    let json = serde_json::to_string(&texts.collect::<std::collections::BTreeMap<_, _>>());
    Ok(Some(escape_as_go(&json.context("writing JSON")?).into_bytes()))
}

/// JSON as `encoding/json` of Go writes it. These characters are only in texts.
fn escape_as_go(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cluster with one object.
    struct One(&'static str, Option<&'static [u8]>);

    impl ClusterObjects for One {
        fn object(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
            assert_eq!(key, format!("/registry/configmaps/kube-system/{}", self.0).as_bytes());
            Ok(self.1.map(<[u8]>::to_vec))
        }
    }

    #[test]
    fn the_json_is_the_one_of_k3s() {
        let json = |stored: Option<&'static [u8]>| {
            json_of("m", &One("m", stored)).map(|json| json.map(|json| String::from_utf8(json).unwrap()))
        };
        let map = br#"{"metadata":{"name":"m","namespace":"kube-system"},"data":{"z":"a<b>&\u2028","a":"\"\n\u00e9"},"binaryData":{"x":"AA=="}}"#;
        assert_eq!(
            json(Some(map)).unwrap().as_deref(),
            Some("{\"a\":\"\\\"\\n\u{e9}\",\"z\":\"a\\u003cb\\u003e\\u0026\\u2028\"}")
        );
        assert_eq!(json(None).unwrap(), None);
        assert_eq!(json(Some(br#"{"metadata":{"name":"m","namespace":"kube-system"}}"#)).unwrap(), None);
        assert!(json(Some(b"k8s:enc:aescbc:v1:k:x")).is_err() && json(Some(b"{")).is_err());
    }
}
