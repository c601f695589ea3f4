// SPDX-License-Identifier: Apache-2.0
//! K3s's bootstrap data: its certificate authorities and keys, kept in etcd and sealed with the server token.
//!
//! Opened to prove that a token fits a snapshot. What is in it stays here: only names and one hash come out.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{aead, pbkdf2};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::secret::Secret;

const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");
/// K3s's name for the certificate of the authority that its API server's certificate comes from.
const SERVER_CA: &str = "ServerCA";

/// What bootstrap data holds, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The names K3s gives to its files, sorted: `ClientCA`, `ServerCA`, ...
    pub names: Vec<String>,
    /// What a token in full form (`K10<hash>::...`) may name the server's authority by, 64 hex digits each: the hash of the
    /// file, then, where it is a chain, that of each certificate, as K3s takes the one of the root. Empty without a file.
    pub ca_hashes: Vec<String>,
}

impl Contents {
    /// Whether a token that names this authority was made for the cluster of this data; `None` where that is not known.
    pub fn fits(&self, ca_hash: &str) -> Option<bool> {
        (!self.ca_hashes.is_empty()).then(|| self.ca_hashes.iter().any(|own| own == ca_hash))
    }
}

/// Why bootstrap data was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// It is not of the form `<salt>:<base64>`.
    Form,
    /// It was sealed with another password, or is damaged: nobody can tell which.
    Sealed,
    /// It opens, but what is in it is not K3s's.
    Inside,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::Form => "it is not of the form in which K3s keeps it",
            OpenError::Sealed => "it was sealed with another token, or is damaged",
            OpenError::Inside => "it opens with the token, but holds no list of files",
        })
    }
}

/// Opens bootstrap data with the password of a token: see [`super::token`].
///
/// K3s before 1.22 may have sealed it with the empty password or the token's full form, under the hash of that.
pub fn open(value: &[u8], password: &Secret) -> Result<Contents, OpenError> {
    let split = value.iter().position(|b| *b == b':').ok_or(OpenError::Form)?;
    let (salt, sealed) = (value.get(..split).unwrap_or_default(), value.get(split + 1..).unwrap_or_default());
    let mut sealed = STANDARD.decode(sealed).map_err(|_| OpenError::Form)?;
    if sealed.len() < aead::NONCE_LEN + aead::AES_256_GCM.tag_len() {
        return Err(OpenError::Form);
    }
    let (nonce, sealed) = sealed.split_at_mut(aead::NONCE_LEN);
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Form)?;

    let mut key = [0; 32];
    // The salt is the text as it stands, not the bytes that its hex digits spell.
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, salt, password.expose().as_bytes(), &mut key);
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &key).map_err(|_| OpenError::Form)?;
    let inside = aead::LessSafeKey::new(key).open_in_place(nonce, aead::Aad::empty(), sealed);
    let Ok(Value::Object(files)) = serde_json::from_slice(inside.map_err(|_| OpenError::Sealed)?) else {
        return Err(OpenError::Inside);
    };
    if files.is_empty() {
        return Err(OpenError::Inside);
    }
    let mut names: Vec<String> = files.keys().cloned().collect();
    names.sort();
    let authority = files.get(SERVER_CA).and_then(file).unwrap_or_default();
    Ok(Contents { names, ca_hashes: ca_hashes(&authority) })
}

/// What a file holds: its bytes in base64, since 1.22 beside the time at which it was written.
fn file(entry: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(entry.as_str().or_else(|| entry.get("Content")?.as_str())?).ok()
}

fn ca_hashes(authority: &[u8]) -> Vec<String> {
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    let certificates = certificates(&String::from_utf8_lossy(authority));
    let mut hashes = Vec::new();
    if !authority.is_empty() {
        hashes.push(hex(authority));
    }
    if certificates.len() > 1 {
        hashes.extend(certificates.iter().map(|der| hex(der)));
    }
    hashes
}

/// The certificates of a PEM file, as DER.
fn certificates(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem.split("-----BEGIN CERTIFICATE-----").skip(1);
    let bodies = blocks.filter_map(|block| block.split("-----END").next());
    bodies.filter_map(|body| STANDARD.decode(body.split_whitespace().collect::<String>()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{TRAILER, read_content};

    const SNAPSHOT: &[u8] = include_bytes!("../../tests/fixtures/before-server-1-1795339215");

    /// As K3s seals; nonce and salt are fixed here.
    fn seal(inside: &[u8], password: &str) -> Vec<u8> {
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, b"3b8d9420bdc8baf9", password.as_bytes(), &mut key);
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).unwrap());
        let mut sealed = inside.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key([7; 12]);
        key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut sealed).unwrap();
        format!("3b8d9420bdc8baf9:{}", STANDARD.encode([&[7; 12], &sealed[..]].concat())).into_bytes()
    }

    #[test]
    fn what_a_real_k3s_sealed_opens_with_its_token_and_no_other() {
        let data = read_content(&SNAPSHOT, SNAPSHOT.len() as u64 - TRAILER, None).unwrap().unwrap();
        let value = &data.bootstrap[0].value;
        let found = open(value, &Secret::new("labtoken")).unwrap();
        assert_eq!(found.names.len(), 13);
        assert!(found.names.iter().any(|name| name == SERVER_CA) && found.names.is_sorted());
        // The same certificate as in the ConfigMap kube-root-ca.crt of the snapshot, where everybody can read it.
        let text = String::from_utf8_lossy(SNAPSHOT);
        let published: Vec<&str> = text.match_indices("-----BEGIN CERT").map(|(at, _)| &text[at..]).collect();
        let end = "-----END CERTIFICATE-----\n";
        let published = published.iter().filter_map(|pem| Some(&pem[..pem.find(end)? + end.len()]));
        let hashes: Vec<String> = published.flat_map(|pem| ca_hashes(pem.as_bytes())).collect();
        assert!(found.ca_hashes.len() == 1 && hashes.contains(&found.ca_hashes[0]));
        assert_eq!(found.fits(&found.ca_hashes[0]), Some(true));
        assert_eq!(found.fits(&"0".repeat(64)), Some(false));
        assert_eq!(open(value, &Secret::new("labtoken ")), Err(OpenError::Sealed));
        assert_eq!(open(value, &Secret::new("")), Err(OpenError::Sealed));
        let mut damaged = value.clone();
        damaged[1000] ^= 1;
        assert_eq!(open(&damaged, &Secret::new("labtoken")), Err(OpenError::Sealed));
        damaged[1000] = b'!';
        assert_eq!(open(&damaged, &Secret::new("labtoken")), Err(OpenError::Form));
    }

    #[test]
    fn both_forms_of_files_and_what_is_neither() {
        let pem = |der: &[u8]| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        let (one, chain) = (pem(b"root"), pem(b"leaf") + &pem(b"root"));
        let file = |text: &str| STANDARD.encode(text);
        let dated =
            |text: &str| format!(r#"{{"Timestamp":"2026-01-02T03:04:05Z","Content":"{}"}}"#, file(text));
        let sha =
            |bytes: &[u8]| -> String { Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect() };
        let rows = [
            ("plain", format!(r#"{{"ServerCA":"{}","A":""}}"#, file(&one)), vec![sha(one.as_bytes())]),
            ("dated", format!(r#"{{"A":null,"ServerCA":{}}}"#, dated(&one)), vec![sha(one.as_bytes())]),
            (
                "a chain",
                format!(r#"{{"A":1,"ServerCA":{}}}"#, dated(&chain)),
                vec![sha(chain.as_bytes()), sha(b"leaf"), sha(b"root")],
            ),
            ("no base64", r#"{"ServerCA":"!","A":""}"#.to_owned(), vec![]),
            ("no content", r#"{"ServerCA":{},"A":""}"#.to_owned(), vec![]),
        ];
        for (name, inside, hashes) in rows {
            let found = open(&seal(inside.as_bytes(), "p"), &Secret::new("p")).unwrap();
            assert_eq!(
                (found.names, &found.ca_hashes),
                (vec!["A".to_owned(), SERVER_CA.to_owned()], &hashes),
                "{name}"
            );
        }
        assert_eq!(open(&seal(br#"{"A":""}"#, ""), &Secret::new("")).unwrap().fits("x"), None);
        for inside in ["", "no JSON", "[]", "{}", "1"] {
            assert_eq!(
                open(&seal(inside.as_bytes(), "p"), &Secret::new("p")),
                Err(OpenError::Inside),
                "{inside:?}"
            );
        }
        for value in ["", ":", "salt", "salt:", "salt:AAAA", "salt:!!!!", "a:b:c"] {
            assert_eq!(open(value.as_bytes(), &Secret::new("p")), Err(OpenError::Form), "{value:?}");
        }
        assert_eq!(open(&[0xFF, b':', 0xFE], &Secret::new("p")), Err(OpenError::Form));
    }
}
