// SPDX-License-Identifier: Apache-2.0
//! Whether a snapshot is one that a holder of the server token saved: a code (HMAC-SHA-256) in its manifest, over what
//! identifies the snapshot.
//!
//! The key is derived from the password of the token, so every form of the token gives the same key. An id of the key, derived
//! from the same password, tells a wrong code from a code that was made with another token.

use std::fmt;

use ring::hkdf::{HKDF_SHA256, KeyType, Salt};
use ring::hmac;
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use super::secret::Secret;
use super::token;
use crate::util::hex;

/// The version of [`AuthenticationCode`] that this code writes and checks.
pub const CODE_VERSION: u32 = 1;
/// What separates these keys from everything else that is derived from the token.
const SALT: &[u8] = b"k3s-snapshot manifest v1";
const KEY_INFO: &[u8] = b"authentication key";
const ID_INFO: &[u8] = b"key id";
/// Bytes of the id of a key.
const ID_BYTES: usize = 8;
const KEY_BYTES: usize = 32;

/// The code in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticationCode {
    /// Version of the code: 1.
    pub version: u32,
    /// Which key it was made with: 16 hex digits.
    pub key_id: String,
    /// HMAC-SHA-256 over the [`CoveredFacts`].
    pub hmac: Digest,
}

/// What a check of the code found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Authenticity {
    /// The code is right: a holder of the token saved this snapshot under this name.
    Authentic,
    /// The code was made with a known token for something else: the snapshot or its manifest was changed or exchanged.
    NotAuthentic,
    /// The code was made with a token that is not known here, or with a later version of this program.
    UnknownKey,
    /// There is no code.
    Missing,
}

impl Authenticity {
    /// Why a snapshot is not known to be authentic; `None` if it is.
    pub fn problem(self) -> Option<&'static str> {
        match self {
            Authenticity::Authentic => None,
            Authenticity::NotAuthentic => Some(
                "the snapshot or its manifest is not the one that was saved under this name: the authentication code is wrong",
            ),
            Authenticity::UnknownKey => {
                Some("its authentication code was made with a server token that is not known here")
            }
            Authenticity::Missing => Some("it has no authentication code"),
        }
    }
}

/// What the code covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CoveredFacts<'a> {
    /// File name.
    pub name: &'a str,
    /// SHA-256 of the file as stored.
    pub stored_sha256: Digest,
    /// Bytes of the file as stored.
    pub stored_size: u64,
    /// SHA-256 of the plain snapshot.
    pub plain_sha256: Digest,
    /// Bytes of the plain snapshot.
    pub plain_size: u64,
    /// The revision of etcd.
    pub revision: i64,
    /// UID of the namespace kube-system.
    pub cluster_id: Option<&'a str>,
    /// When it was saved, seconds since the epoch.
    pub saved_at: Option<u64>,
    /// Version of K3s.
    pub k3s_version: Option<&'a str>,
    /// Version of the format of etcd's database.
    pub etcd_storage_version: Option<&'a str>,
}

impl CoveredFacts<'_> {
    /// The facts as bytes. Every name and every value has its length before it, so two sets of facts never have the same bytes.
    /// A fact that is not known is left out, so a later version can cover more.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(384);
        let mut add = |name: &str, value: &[u8]| {
            for part in [name.as_bytes(), value] {
                bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
                bytes.extend_from_slice(part);
            }
        };
        add("name", self.name.as_bytes());
        add("stored_sha256", &self.stored_sha256.0);
        add("stored_size", &self.stored_size.to_be_bytes());
        add("plain_sha256", &self.plain_sha256.0);
        add("plain_size", &self.plain_size.to_be_bytes());
        add("revision", &self.revision.to_be_bytes());
        if let Some(at) = self.saved_at {
            add("saved_at", &at.to_be_bytes());
        }
        let texts = [
            ("cluster_id", self.cluster_id),
            ("k3s_version", self.k3s_version),
            ("etcd_storage_version", self.etcd_storage_version),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                add(name, text.as_bytes());
            }
        }
        bytes
    }
}

/// The key of one server token.
#[derive(Clone)]
struct TokenKey {
    /// By which a snapshot names the token that it needs.
    token_hash: String,
    id: String,
    key: hmac::Key,
}

impl TokenKey {
    /// `None` if the token has a wrong form.
    fn derive(token: &Secret) -> Option<TokenKey> {
        let password = token::parse(token).ok()?.password;
        let (mut key, mut id) = ([0; KEY_BYTES], [0; ID_BYTES]);
        derive(password.expose().as_bytes(), SALT, KEY_INFO, &mut key)?;
        derive(password.expose().as_bytes(), SALT, ID_INFO, &mut id)?;
        Some(TokenKey {
            token_hash: token::hash(token.expose()),
            id: hex(id),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    fn authenticate(&self, facts: &CoveredFacts) -> Option<AuthenticationCode> {
        let hmac = code(&self.key, &facts.encode())?;
        Some(AuthenticationCode { version: CODE_VERSION, key_id: self.id.clone(), hmac })
    }

    fn is_right(&self, code: &AuthenticationCode, facts: &CoveredFacts) -> bool {
        hmac::verify(&self.key, &facts.encode(), &code.hmac.0).is_ok()
    }
}

/// The keys of all server tokens that are known here. Shows none of them.
#[derive(Clone, Default)]
pub struct Keyring(Vec<TokenKey>);

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring of {} keys", self.0.len())
    }
}

impl Keyring {
    /// The keys of these tokens. A token with a wrong form has none.
    pub fn new<'t>(tokens: impl IntoIterator<Item = &'t Secret>) -> Keyring {
        let mut keys: Vec<TokenKey> = Vec::new();
        for key in tokens.into_iter().filter_map(TokenKey::derive) {
            if keys.iter().all(|known| known.id != key.id) {
                keys.push(key);
            }
        }
        Keyring(keys)
    }

    /// Whether no token is known, so that nothing can be checked.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The code for a snapshot that needs a token with one of these hashes, else for the first known token. `None` if none is
    /// known.
    pub fn authenticate(&self, token_hashes: &[String], facts: &CoveredFacts) -> Option<AuthenticationCode> {
        let fitting = self.0.iter().find(|key| token_hashes.contains(&key.token_hash));
        fitting.or(self.0.first())?.authenticate(facts)
    }

    /// Compares a code with facts. `None` if no token is known.
    pub fn check(&self, code: Option<&AuthenticationCode>, facts: &CoveredFacts) -> Option<Authenticity> {
        if self.is_empty() {
            return None;
        }
        let Some(code) = code else { return Some(Authenticity::Missing) };
        let known = self.0.iter().find(|key| key.id == code.key_id && code.version == CODE_VERSION);
        Some(match known {
            None => Authenticity::UnknownKey,
            Some(key) if key.is_right(code, facts) => Authenticity::Authentic,
            Some(_) => Authenticity::NotAuthentic,
        })
    }
}

/// HKDF with SHA-256 (RFC 5869). `None` only for an output that is too long.
fn derive(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) -> Option<()> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    prk.expand(&[info], Length(out.len())).ok()?.fill(out).ok()
}

/// HMAC with SHA-256 (RFC 2104).
fn code(key: &hmac::Key, data: &[u8]) -> Option<Digest> {
    hmac::sign(key, data).as_ref().try_into().ok().map(Digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CA: &str = "87c15b03ed33f401214e16840f517f962dbaee66f36aa6f27ad64c90dc2316e2";

    fn keyring(tokens: &[&str]) -> Keyring {
        let tokens: Vec<Secret> = tokens.iter().map(|t| Secret::new(*t)).collect();
        Keyring::new(&tokens)
    }

    fn facts() -> CoveredFacts<'static> {
        CoveredFacts {
            name: "manual-n-5",
            stored_sha256: Digest([1; 32]),
            stored_size: 2,
            plain_sha256: Digest([3; 32]),
            plain_size: 4,
            revision: 5,
            cluster_id: Some("6f9c1f0e-3a52-4d0b-9d1e-5b7c6a8f2e11"),
            saved_at: Some(5),
            k3s_version: Some("v1.36.1+k3s1"),
            etcd_storage_version: Some("3.6.0"),
        }
    }

    /// Facts with one of them changed, each row another one.
    fn changed(facts: &CoveredFacts<'static>, other: &'static str, n: u64) -> Vec<CoveredFacts<'static>> {
        let digest = Digest([(n % 200) as u8 + 10; 32]);
        let f = || facts.clone();
        vec![
            CoveredFacts { name: other, ..f() },
            CoveredFacts { stored_sha256: digest, ..f() },
            CoveredFacts { stored_size: n, ..f() },
            CoveredFacts { plain_sha256: digest, ..f() },
            CoveredFacts { plain_size: n, ..f() },
            CoveredFacts { revision: n.cast_signed(), ..f() },
            CoveredFacts { cluster_id: Some(other), ..f() },
            CoveredFacts { cluster_id: None, ..f() },
            CoveredFacts { saved_at: Some(n), ..f() },
            CoveredFacts { saved_at: None, ..f() },
            CoveredFacts { k3s_version: Some(other), ..f() },
            CoveredFacts { k3s_version: None, ..f() },
            CoveredFacts { etcd_storage_version: Some(other), ..f() },
            CoveredFacts { etcd_storage_version: None, ..f() },
        ]
    }

    /// Appendix A of RFC 5869.
    #[test]
    fn keys_are_derived_as_rfc_5869_says() {
        let bytes = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
        type Row = (Vec<u8>, Vec<u8>, Vec<u8>, &'static str);
        let rows: [Row; 3] = [
            (
                vec![0x0b; 22],
                bytes(0x00, 0x0c),
                bytes(0xf0, 0xf9),
                "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            ),
            (
                bytes(0x00, 0x4f),
                bytes(0x60, 0xaf),
                bytes(0xb0, 0xff),
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f\
                 09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
            ),
            (
                vec![0x0b; 22],
                vec![],
                vec![],
                "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            ),
        ];
        for (secret, salt, info, wanted) in rows {
            let mut out = vec![0; wanted.len() / 2];
            derive(&secret, &salt, &info, &mut out).unwrap();
            assert_eq!(hex(out), wanted);
        }
        assert_eq!(derive(b"x", b"", b"", &mut vec![0; 255 * 32 + 1]), None);
    }

    /// Test cases 1, 2 and 6 of RFC 4231.
    #[test]
    fn codes_are_those_of_rfc_4231() {
        let rows: [(Vec<u8>, &[u8], &str); 3] = [
            (vec![0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, data, wanted) in rows {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
            assert_eq!(code(&key, data).unwrap().to_string(), wanted);
        }
    }

    #[test]
    fn every_form_of_a_token_gives_the_same_key_and_another_token_another_one() {
        let forms = ["labtoken", " labtoken\n", &format!("K10{CA}::server:labtoken"), "K10::node:labtoken"];
        let keys: Vec<Keyring> = forms.iter().map(|form| keyring(&[form])).collect();
        let code = keys[0].authenticate(&[], &facts()).unwrap();
        for ring in &keys {
            assert_eq!(ring.authenticate(&[], &facts()).as_ref(), Some(&code));
            assert_eq!(ring.check(Some(&code), &facts()), Some(Authenticity::Authentic));
        }
        assert_eq!(keyring(&forms).0.len(), 1);
        let other = keyring(&["labtoken2"]);
        assert_ne!(other.authenticate(&[], &facts()).unwrap().key_id, code.key_id);
        assert_eq!(other.check(Some(&code), &facts()), Some(Authenticity::UnknownKey));
    }

    /// The bytes that are written must stay readable: a change here is a new version of the code. The values were computed by
    /// another program.
    #[test]
    fn the_code_of_version_1_does_not_change() {
        let code = keyring(&["labtoken"]).authenticate(&[], &facts()).unwrap();
        assert_eq!((code.version, code.key_id.as_str()), (1, KEY_ID_OF_LABTOKEN));
        assert_eq!(code.hmac.to_string(), CODE_OF_LABTOKEN);
    }
    const KEY_ID_OF_LABTOKEN: &str = "a3a63462c2338025";
    const CODE_OF_LABTOKEN: &str = "93ead556554ed76f78fd8fedffc47bcd309b76b6deff56d9d3b28b3d1ab66197";

    #[test]
    fn what_cannot_be_checked_is_neither_authentic_nor_forged() {
        let (none, ring) = (Keyring::default(), keyring(&["labtoken"]));
        let code = ring.authenticate(&[], &facts()).unwrap();
        assert_eq!(none.check(Some(&code), &facts()), None);
        assert_eq!(none.authenticate(&[], &facts()), None);
        assert_eq!(ring.check(None, &facts()), Some(Authenticity::Missing));
        let later = AuthenticationCode { version: 2, ..code.clone() };
        assert_eq!(ring.check(Some(&later), &facts()), Some(Authenticity::UnknownKey));
        let forged = AuthenticationCode { hmac: Digest([0; 32]), ..code };
        assert_eq!(ring.check(Some(&forged), &facts()), Some(Authenticity::NotAuthentic));
        assert!(keyring(&["", "K10aa::server:x"]).is_empty());
        assert!(!format!("{ring:?}").contains("labtoken"));
    }

    #[test]
    fn after_a_rotation_the_code_is_made_with_the_token_that_the_snapshot_needs_and_both_are_checked() {
        let ring = keyring(&["new", "old"]);
        let of = |token: &str| keyring(&[token]).authenticate(&[], &facts());
        assert_eq!(ring.authenticate(&[token::hash("old")], &facts()), of("old"));
        assert_eq!(ring.authenticate(&[token::hash("new")], &facts()), of("new"));
        assert_eq!(ring.authenticate(&["unknown".into()], &facts()), of("new"));
        for token in ["old", "new"] {
            assert_eq!(ring.check(of(token).as_ref(), &facts()), Some(Authenticity::Authentic));
        }
    }

    #[test]
    fn an_empty_text_and_no_text_are_different_and_text_does_not_move_between_facts() {
        let of = |k3s, etcd| {
            CoveredFacts { cluster_id: None, k3s_version: k3s, etcd_storage_version: etcd, ..facts() }
                .encode()
        };
        let all = [
            of(None, None),
            of(Some(""), None),
            of(None, Some("")),
            of(Some("ab"), Some("")),
            of(Some("a"), Some("b")),
            of(Some(""), Some("ab")),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all.iter().skip(i + 1).all(|b| a != b), "{i}");
        }
    }

    proptest! {
        #[test]
        fn a_change_of_any_covered_fact_makes_the_code_wrong(other in "[a-z0-9.-]{1,40}", n in 6u64..) {
            let ring = keyring(&["labtoken"]);
            let code = ring.authenticate(&[], &facts());
            for (i, facts) in changed(&facts(), Box::leak(other.into_boxed_str()), n).iter().enumerate() {
                prop_assert_eq!(ring.check(code.as_ref(), facts), Some(Authenticity::NotAuthentic), "row {}", i);
            }
        }

        #[test]
        fn different_facts_have_different_bytes(
            a in proptest::array::uniform3(proptest::option::of("[a-c\u{0}]{0,3}")),
            b in proptest::array::uniform3(proptest::option::of("[a-c\u{0}]{0,3}")),
            names in ("[a-c\u{0}]{0,3}", "[a-c\u{0}]{0,3}"),
        ) {
            let encode = |name: &str, texts: &[Option<String>; 3]| {
                let [cluster_id, k3s_version, etcd_storage_version] = texts.each_ref().map(|t| t.as_deref());
                CoveredFacts { cluster_id, k3s_version, etcd_storage_version, name, ..facts() }.encode()
            };
            let same = a == b && names.0 == names.1;
            prop_assert_eq!(encode(&names.0, &a) == encode(&names.1, &b), same);
        }
    }
}
