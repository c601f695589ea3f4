// SPDX-License-Identifier: Apache-2.0
//! Our manifests in a bucket: `<folder>/.metadata/<name>.json`, beside K3s's own companion `.metadata/<name>`.
//!
//! A list must tell proven from bad without opening anything, so the verdict is part of the name: `.json` says
//! proven, `.bad.json` and `.unchecked.json` the rest. Only one of the three is kept.

use serde_json::{Value, json};
use ureq::http::Method;

use super::put::put_bytes;
use super::send::{Payload, Wire};
use super::sign::Ask;
use super::trouble::{Class, Trouble};
use crate::model::snapshot::{Manifest, State};

/// The folder of companions, K3s's and ours.
pub(super) const FOLDER: &str = ".metadata";
const ENDINGS: [(&str, State); 3] =
    [(".bad.json", State::Bad), (".unchecked.json", State::Unchecked), (".json", State::Proven)];
/// A manifest is far smaller.
const LONGEST: u64 = 1 << 20;
/// The manifest's field about the object.
const OBJECT: &str = "object";

/// How an object was shown to be what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// The store reports its SHA-256.
    Sha256,
    /// The store reports its MD5.
    Etag,
    /// Every byte was read back.
    Read,
    /// Only the size is known to be right: no proof.
    Size,
}

impl Evidence {
    fn label(self) -> &'static str {
        match self {
            Evidence::Sha256 => "sha256",
            Evidence::Etag => "etag",
            Evidence::Read => "read",
            Evidence::Size => "size only",
        }
    }
}

/// Writes into the manifest what is known of the object.
pub(super) fn note(manifest: &mut Manifest, evidence: Evidence, etag: &str) {
    manifest.other.insert(OBJECT.to_owned(), json!({ "evidence": evidence.label(), "etag": etag }));
}

/// What the manifest makes of its object.
pub(super) fn verdict(manifest: &Manifest) -> State {
    let evidence = manifest.other.get(OBJECT).and_then(|o| o.get("evidence")).and_then(Value::as_str);
    match manifest.state() {
        State::Proven if evidence == Some(Evidence::Size.label()) || manifest.proven_at.is_none() => {
            State::Unchecked
        }
        state => state,
    }
}

/// The snapshot that a file in the folder of companions is a manifest of, and its verdict.
pub(super) fn variant_of(record: &str) -> Option<(&str, State)> {
    ENDINGS.iter().find_map(|(ending, state)| Some((record.strip_suffix(ending)?, *state)))
}

fn key(wire: &Wire, name: &str, state: State) -> String {
    let ending = ENDINGS.iter().find(|(_, s)| *s == state).map_or(".unchecked.json", |(e, _)| *e);
    wire.bucket.key(&format!("{FOLDER}/{name}{ending}"))
}

/// Everything in the folder of companions that belongs to a snapshot.
pub(super) fn companions(wire: &Wire, name: &str) -> Vec<String> {
    let ours = ENDINGS.iter().map(|(_, state)| key(wire, name, *state));
    ours.chain([wire.bucket.key(&format!("{FOLDER}/{name}"))]).collect()
}

/// Writes a manifest. With `replaces`, those of another verdict are removed after it.
pub(super) fn write(wire: &Wire, manifest: &Manifest, replaces: bool) -> Result<(), Trouble> {
    let mut text = serde_json::to_vec_pretty(manifest)
        .map_err(|e| Trouble::of(Class::Failed, format!("the manifest cannot be written: {e}")))?;
    text.push(b'\n');
    let state = verdict(manifest);
    put_bytes(wire, &key(wire, &manifest.name, state), "application/json", &text)?;
    for (_, other) in ENDINGS.iter().filter(|(_, s)| replaces && *s != state) {
        wire.ask(&Ask::new(Method::DELETE, key(wire, &manifest.name, *other)), Payload::None)?;
    }
    Ok(())
}

/// Reads a snapshot's manifest; `None` where there is none that can be read.
pub(super) fn read(wire: &Wire, name: &str, verdict: Option<State>) -> Result<Option<Manifest>, Trouble> {
    let likely = [State::Proven, State::Unchecked, State::Bad];
    for state in likely.into_iter().filter(|s| verdict.is_none_or(|v| v == *s)) {
        let ask = super::put::customer_key(Ask::new(Method::GET, key(wire, name, state)), &wire.bucket);
        match wire.read(&ask, Payload::None, LONGEST) {
            Ok((_, text)) => match serde_json::from_slice::<Manifest>(&text) {
                Ok(manifest) if manifest.name == name => return Ok(Some(manifest)),
                _ => log::debug!("the manifest of '{}' in the bucket cannot be read", name.escape_debug()),
            },
            Err(t) if t.class == Class::Missing => {}
            Err(t) => return Err(t),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_in_the_name() {
        for (record, want) in [
            ("a-5.json", Some(("a-5", State::Proven))),
            ("a-5.zip.json", Some(("a-5.zip", State::Proven))),
            ("a-5.bad.json", Some(("a-5", State::Bad))),
            ("a-5.unchecked.json", Some(("a-5", State::Unchecked))),
            ("a-5", None),
        ] {
            assert_eq!(variant_of(record), want, "{record}");
        }
    }
}
