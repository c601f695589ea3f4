// SPDX-License-Identifier: Apache-2.0
//! The bootstrap data of K3s: its certificate authorities and keys, stored in etcd and encrypted with the server token.
//!
//! Decrypted to verify that a token fits a snapshot, and to write the files of a server whose database is restored.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{aead, pbkdf2};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::secret::Secret;
use crate::util::hex;

/// The rounds of the key derivation, as in K3s.
const ROUNDS: NonZeroU32 = NonZeroU32::new(4096).expect("4096 is not zero");
/// K3s's name of the CA certificate that signs the certificate of the API server.
const SERVER_CA: &str = "ServerCA";

/// The content of bootstrap data, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The hashes by which a token in full form (`K10<hash>::...`) may name the CA of the server, 64 hex digits each: that of the
    /// file; if it is a chain, also that of each certificate, as K3s uses the one of the root. Empty without a certificate.
    pub(crate) ca_hashes: Vec<String>,
}

impl Contents {
    /// Whether a token with this CA hash was made for the cluster of this data; `None` if that is not known.
    pub(crate) fn matches_ca(&self, ca_hash: &str) -> Option<bool> {
        (!self.ca_hashes.is_empty()).then(|| self.ca_hashes.iter().any(|own| own == ca_hash))
    }
}

/// A file in the bootstrap data. Its content is secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct BootstrapFile {
    /// K3s's name of it.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) content: Vec<u8>,
}

impl fmt::Debug for BootstrapFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BootstrapFile {{ name: {:?}, {} bytes }}", self.name, self.content.len())
    }
}

/// Why bootstrap data cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The form is not `<salt>:<base64>`.
    Malformed,
    /// It is encrypted with another password, or corrupt: the encryption does not distinguish the two.
    WrongTokenOrDamaged,
    /// It was decrypted, but the content is not that of K3s.
    UnexpectedContent,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenError::Malformed => "it does not have the form in which K3s stores it",
            OpenError::WrongTokenOrDamaged => "it is encrypted with another token, or corrupt",
            OpenError::UnexpectedContent => "it was decrypted with the token, but contains no list of files",
        })
    }
}

/// Decrypts bootstrap data with the password of a token: see [`super::token`].
///
/// K3s before 1.22 may have used the empty password or the token in full form, under the hash of that.
///
/// # Errors
/// If the data is malformed, or the password does not fit.
pub(crate) fn open(value: &[u8], password: &Secret) -> Result<Contents, OpenError> {
    let files = decrypt(value, password)?;
    let ca = files.get(SERVER_CA).and_then(file_content).unwrap_or_default();
    Ok(Contents { ca_hashes: ca_hashes(&ca) })
}

/// Decrypts bootstrap data as [`open`] does, and returns the files that have a content.
///
/// # Errors
/// If the data is malformed, or the password does not fit.
pub(crate) fn files(value: &[u8], password: &Secret) -> Result<Vec<BootstrapFile>, OpenError> {
    let files = decrypt(value, password)?.into_iter();
    let named = files.filter_map(|(name, entry)| Some((name, file_content(&entry)?)));
    let all = named.map(|(name, content)| BootstrapFile { name, content });
    Ok(all.filter(|file| !file.content.is_empty()).collect())
}

/// The decrypted data: an entry for each file.
fn decrypt(value: &[u8], password: &Secret) -> Result<Map<String, Value>, OpenError> {
    let split = value.iter().position(|b| *b == b':').ok_or(OpenError::Malformed)?;
    let (salt, encrypted) =
        (value.get(..split).unwrap_or_default(), value.get(split + 1..).unwrap_or_default());
    let mut encrypted = STANDARD.decode(encrypted).map_err(|_| OpenError::Malformed)?;
    if encrypted.len() < aead::NONCE_LEN + aead::AES_256_GCM.tag_len() {
        return Err(OpenError::Malformed);
    }
    let (nonce, encrypted) = encrypted.split_at_mut(aead::NONCE_LEN);
    let nonce = aead::Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Malformed)?;

    let mut key = [0; 32];
    // The salt is the text itself, not the bytes of its hex digits.
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, salt, password.expose().as_bytes(), &mut key);
    let key = aead::UnboundKey::new(&aead::AES_256_GCM, &key).map_err(|_| OpenError::Malformed)?;
    let decrypted = aead::LessSafeKey::new(key).open_in_place(nonce, aead::Aad::empty(), encrypted);
    let decrypted = decrypted.map_err(|_| OpenError::WrongTokenOrDamaged)?;
    let Ok(Value::Object(files)) = serde_json::from_slice(decrypted) else {
        return Err(OpenError::UnexpectedContent);
    };
    if files.is_empty() {
        return Err(OpenError::UnexpectedContent);
    }
    Ok(files)
}

/// The content of a file: its bytes in base64; since K3s 1.22 in an object that also has the time of the file.
fn file_content(entry: &Value) -> Option<Vec<u8>> {
    STANDARD.decode(entry.as_str().or_else(|| entry.get("Content")?.as_str())?).ok()
}

fn ca_hashes(pem: &[u8]) -> Vec<String> {
    let certificates = certificates(&String::from_utf8_lossy(pem));
    let mut hashes = Vec::new();
    if !pem.is_empty() {
        hashes.push(hex(Sha256::digest(pem)));
    }
    if certificates.len() > 1 {
        hashes.extend(certificates.iter().map(|der| hex(Sha256::digest(der))));
    }
    hashes
}

/// The certificates of this authority that a token trusts which names it by this hash, in DER: all of the file, if the hash is
/// that of the file; of a chain, only the certificate with this hash. Empty if the hash is another one.
pub(crate) fn certificates_named(pem: &[u8], hash: &str) -> Vec<Vec<u8>> {
    let mut all = certificates(&String::from_utf8_lossy(pem));
    if hex(Sha256::digest(pem)) != hash {
        // The others of a chain that was not verified as a whole can be of anyone.
        let is_chain = all.len() > 1;
        all.retain(|der| is_chain && hex(Sha256::digest(der)) == hash);
    }
    all
}

/// The certificates of a PEM file, in DER.
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

    /// Encrypts as K3s does, with a fixed nonce and salt.
    fn encrypt(content: &[u8], password: &str) -> Vec<u8> {
        let mut key = [0; 32];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, ROUNDS, b"3b8d9420bdc8baf9", password.as_bytes(), &mut key);
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, &key).unwrap());
        let mut encrypted = content.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key([7; 12]);
        key.seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut encrypted).unwrap();
        format!("3b8d9420bdc8baf9:{}", STANDARD.encode([&[7; 12], &encrypted[..]].concat())).into_bytes()
    }

    #[test]
    fn bootstrap_data_of_a_real_k3s_is_decrypted_with_its_token_only() {
        let data = read_content(&SNAPSHOT, SNAPSHOT.len() as u64 - TRAILER, None).unwrap().unwrap();
        let value = &data.bootstrap[0].value;
        let found = open(value, &Secret::new("labtoken")).unwrap();
        // The certificate is also in the ConfigMap kube-root-ca.crt of the snapshot, unencrypted.
        let text = String::from_utf8_lossy(SNAPSHOT);
        let published: Vec<&str> = text.match_indices("-----BEGIN CERT").map(|(at, _)| &text[at..]).collect();
        let end = "-----END CERTIFICATE-----\n";
        let published = published.iter().filter_map(|pem| Some(&pem[..pem.find(end)? + end.len()]));
        let hashes: Vec<String> = published.flat_map(|pem| ca_hashes(pem.as_bytes())).collect();
        assert!(found.ca_hashes.len() == 1 && hashes.contains(&found.ca_hashes[0]));
        assert_eq!(found.matches_ca(&found.ca_hashes[0]), Some(true));
        assert_eq!(found.matches_ca(&"0".repeat(64)), Some(false));
        assert_eq!(open(value, &Secret::new("labtoken ")), Err(OpenError::WrongTokenOrDamaged));
        assert_eq!(open(value, &Secret::new("")), Err(OpenError::WrongTokenOrDamaged));
        let mut damaged = value.clone();
        damaged[1000] ^= 1;
        assert_eq!(open(&damaged, &Secret::new("labtoken")), Err(OpenError::WrongTokenOrDamaged));
        damaged[1000] = b'!';
        assert_eq!(open(&damaged, &Secret::new("labtoken")), Err(OpenError::Malformed));
    }

    #[test]
    fn a_token_trusts_the_whole_authority_or_the_one_certificate_of_a_chain_that_it_names() {
        let pem = |der: &[u8]| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        let sha = |bytes: &[u8]| hex(Sha256::digest(bytes));
        let (one, chain) = (pem(b"root"), pem(b"foreign") + &pem(b"root"));
        let named = |pem: &str, hash: String| certificates_named(pem.as_bytes(), &hash);
        assert_eq!(named(&one, sha(one.as_bytes())), [b"root"]);
        assert_eq!(named(&chain, sha(chain.as_bytes())).len(), 2);
        assert_eq!(named(&chain, sha(b"root")), [b"root"], "a certificate next to it is not trusted");
        assert_eq!(named(&one, sha(b"root")).len(), 0, "K3s names a single certificate by its file");
        assert_eq!(named(&chain, sha(b"other")).len(), 0);
        assert_eq!(named("", sha(b"")).len(), 0);
    }

    #[test]
    fn files_of_both_formats_are_read_and_other_content_is_an_error() {
        let pem = |der: &[u8]| {
            format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
        };
        let (one, chain) = (pem(b"root"), pem(b"leaf") + &pem(b"root"));
        let file = |text: &str| STANDARD.encode(text);
        let dated =
            |text: &str| format!(r#"{{"Timestamp":"2026-01-02T03:04:05Z","Content":"{}"}}"#, file(text));
        let sha = |bytes: &[u8]| hex(Sha256::digest(bytes));
        let rows = [
            (
                "without a time",
                format!(r#"{{"ServerCA":"{}","A":""}}"#, file(&one)),
                vec![sha(one.as_bytes())],
            ),
            ("with a time", format!(r#"{{"A":null,"ServerCA":{}}}"#, dated(&one)), vec![sha(one.as_bytes())]),
            (
                "a chain",
                format!(r#"{{"A":1,"ServerCA":{}}}"#, dated(&chain)),
                vec![sha(chain.as_bytes()), sha(b"leaf"), sha(b"root")],
            ),
            ("no base64", r#"{"ServerCA":"!","A":""}"#.to_owned(), vec![]),
            ("no content", r#"{"ServerCA":{},"A":""}"#.to_owned(), vec![]),
        ];
        for (name, content, hashes) in rows {
            let found = open(&encrypt(content.as_bytes(), "p"), &Secret::new("p")).unwrap();
            assert_eq!(found.ca_hashes, hashes, "{name}");
            let files = files(&encrypt(content.as_bytes(), "p"), &Secret::new("p")).unwrap();
            let is_ca = |file: &BootstrapFile| file.name == SERVER_CA && ca_hashes(&file.content) == hashes;
            assert!(files.iter().all(is_ca) && files.is_empty() == hashes.is_empty(), "{name}: {files:?}");
        }
        assert_eq!(open(&encrypt(br#"{"A":""}"#, ""), &Secret::new("")).unwrap().matches_ca("x"), None);
        for content in ["", "no JSON", "[]", "{}", "1"] {
            assert_eq!(
                open(&encrypt(content.as_bytes(), "p"), &Secret::new("p")),
                Err(OpenError::UnexpectedContent),
                "{content:?}"
            );
        }
        for value in ["", ":", "salt", "salt:", "salt:AAAA", "salt:!!!!", "a:b:c"] {
            assert_eq!(open(value.as_bytes(), &Secret::new("p")), Err(OpenError::Malformed), "{value:?}");
        }
        assert_eq!(open(&[0xFF, b':', 0xFE], &Secret::new("p")), Err(OpenError::Malformed));
    }
}
