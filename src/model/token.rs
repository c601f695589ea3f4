// SPDX-License-Identifier: Apache-2.0
//! The server token. A snapshot contains only the beginning of its SHA-256.
//!
//! K3s stores its certificate authorities in etcd under `/bootstrap/<hash>`, encrypted with the token. A restore works only with
//! the token that has this hash.

use sha2::{Digest, Sha256};

use super::secret::Secret;
use crate::util::hex;

/// The parts of a server token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// The SHA-256 of the CA certificate of the server, 64 hex digits, if the token contains it.
    pub(crate) ca_hash: Option<String>,
    /// The user, if the token contains one: `server`, `node`.
    pub(crate) user: Option<String>,
    /// The password that the bootstrap data is encrypted with.
    pub(crate) password: Secret,
}

/// Parses a token as K3s does: `K10<hash>::<user>:<password>`, or the password alone.
///
/// # Errors
/// What is wrong with the token; the text contains no part of the token.
pub(crate) fn parse(token: &Secret) -> Result<Token, String> {
    let (ca_hash, user, password) = split(token.expose())?;
    let ca_hash = ca_hash.filter(|hash| !hash.is_empty()).map(str::to_owned);
    Ok(Token { ca_hash, user: user.map(str::to_owned), password: Secret::new(password) })
}

/// The 12 hex digits by which a snapshot identifies the token that it needs. Accepts the full form
/// `K10<hash>::server:<password>` or the password alone.
pub(crate) fn hash(token: &str) -> String {
    let token = token.trim();
    let password = match (split(token), token.split_once("::")) {
        (Ok((_, _, password)), _) => password,
        (Err(_), Some((ca, rest))) if ca.starts_with(FULL) => {
            rest.split_once(':').map_or(rest, |(_, password)| password)
        }
        (Err(_), _) => token,
    };
    short_hash(password)
}

/// The first 12 hex digits of the SHA-256 of a password.
fn short_hash(password: &str) -> String {
    Sha256::digest(password.as_bytes()).first_chunk::<6>().map_or_else(String::new, hex)
}

/// The prefix of every token in full form.
const FULL: &str = "K10";
/// The hex digits of a SHA-256.
const HASH_DIGITS: usize = 64;

/// The CA hash, the user and the password.
fn split(token: &str) -> Result<(Option<&str>, Option<&str>, &str), String> {
    let token = token.trim();
    if token.is_empty() {
        return Err("it is empty".into());
    }
    let Some(full) = token.strip_prefix(FULL) else {
        return if is_bootstrap_token(token) {
            Err(bootstrap_token_error())
        } else {
            Ok((None, None, token))
        };
    };
    let (hash, login) = match full.split_once("::") {
        Some((hash, login)) => (Some(hash), login),
        None => (None, full),
    };
    if let Some(hash) = hash.filter(|hash| !hash.is_empty()) {
        if hash.len() != HASH_DIGITS {
            return Err(format!(
                "the hash after {FULL} has {} digits instead of {HASH_DIGITS}: is it truncated?",
                hash.len()
            ));
        }
        if !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("the text after {FULL} is not a hash in hex digits"));
        }
    }
    if is_bootstrap_token(login) {
        return Err(bootstrap_token_error());
    }
    match login.split_once(':') {
        Some((user, password)) if !password.is_empty() => Ok((hash, Some(user), password)),
        _ => Err(format!("it starts with {FULL}, but is not {FULL}<hash>::<user>:<password>")),
    }
}

/// Whether it is a bootstrap token in the form of kubeadm: six letters or digits, a dot, sixteen more.
fn is_bootstrap_token(token: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    token
        .split_once('.')
        .is_some_and(|(id, secret)| (id.len(), secret.len()) == (6, 16) && plain(id) && plain(secret))
}

fn bootstrap_token_error() -> String {
    "it is a bootstrap token, with which only agents join; the server token is needed".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_of_a_token_is_that_of_its_password() {
        // As the key /bootstrap/ba1d715a4f9b in the fixtures, whose token is `labtoken`.
        for token in ["labtoken", "labtoken\n", "K10aabb::server:labtoken", "K10aabb::labtoken"] {
            assert_eq!(hash(token), "ba1d715a4f9b", "{token:?}");
        }
        assert_ne!(hash("a::b"), hash("b"));
    }

    #[test]
    fn tokens_are_parsed_as_k3s_does() {
        let ca = "87c15b03ed33f401214e16840f517f962dbaee66f36aa6f27ad64c90dc2316e2";
        let full = |login: &str| format!("K10{ca}::{login}");
        let good: &[(&str, Option<&str>, Option<&str>, &str)] = &[
            ("labtoken", None, None, "labtoken"),
            (" labtoken\n", None, None, "labtoken"),
            ("a:b::c", None, None, "a:b::c"),
            (&full("server:labtoken"), Some(ca), Some("server"), "labtoken"),
            (&full("server:lab:token"), Some(ca), Some("server"), "lab:token"),
            (&full("server:lab::token"), Some(ca), Some("server"), "lab::token"),
            (&full(":labtoken"), Some(ca), Some(""), "labtoken"),
            ("K10::node:labtoken", None, Some("node"), "labtoken"),
            ("K10server:labtoken", None, Some("server"), "labtoken"),
            ("abcdef.0123456789abcdeF", None, None, "abcdef.0123456789abcdeF"),
        ];
        for (token, ca_hash, user, password) in good {
            let found = parse(&Secret::new(*token)).unwrap();
            let wanted = Token {
                ca_hash: ca_hash.map(str::to_owned),
                user: user.map(str::to_owned),
                password: Secret::new(*password),
            };
            assert_eq!(found, wanted, "{token}");
            assert_eq!(hash(token), short_hash(password), "{token}");
        }
        let invalid = [
            "",
            " \n",
            "K10aabb::server:x",
            &full("server:x").replace("87c1", "wxyz"),
            &full("labtoken"),
            &full("server:"),
            &full(""),
            "K10labtoken",
            "abcdef.0123456789abcdef",
            &full("abcdef.0123456789abcdef"),
        ];
        for token in invalid {
            assert!(parse(&Secret::new(token)).is_err(), "{token}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic_and_no_error_repeats_the_secret(text in "(K10)?[a-f0-9]{0,70}(::)?[a-zA-Z.:é ]{0,30}") {
            match parse(&Secret::new(text.as_str())) {
                Ok(token) => {
                    prop_assert!(text.contains(token.password.expose()));
                    prop_assert_eq!(hash(&text), short_hash(token.password.expose()));
                }
                Err(message) => prop_assert!(text.trim().len() < 12 || !message.contains(text.trim())),
            }
        }
    }
}
