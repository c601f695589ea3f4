// SPDX-License-Identifier: Apache-2.0
//! The server token, as far as a snapshot knows it: by the head of its SHA-256.
//!
//! K3s keeps its certificate authorities in etcd under `/bootstrap/<hash>`, encrypted with the token. A restore works
//! only with the token whose hash that is.

use sha2::{Digest, Sha256};

use super::secret::Secret;

/// The parts of a server token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The SHA-256 of the server's authority, 64 hex digits, where the token names one.
    pub ca_hash: Option<String>,
    /// The user, where the token names one: `server`, `node`.
    pub user: Option<String>,
    /// What the bootstrap data is sealed with.
    pub password: Secret,
}

/// Takes a token apart as K3s does: `K10<hash>::<user>:<password>`, or the password alone. The error says in words what
/// is wrong with it, without any of it.
pub fn parse(token: &Secret) -> Result<Token, String> {
    let (ca_hash, user, password) = split(token.expose())?;
    let ca_hash = ca_hash.filter(|hash| !hash.is_empty()).map(str::to_owned);
    Ok(Token { ca_hash, user: user.map(str::to_owned), password: Secret::new(password) })
}

/// The 12 hex digits by which a snapshot names the token it needs. Takes the whole form `K10<hash>::server:<password>`
/// or the password alone.
pub fn hash(token: &str) -> String {
    let token = token.trim();
    let password = match (split(token), token.split_once("::")) {
        (Ok((_, _, password)), _) => password,
        (Err(_), Some((ca, rest))) if ca.starts_with(FULL) => {
            rest.split_once(':').map_or(rest, |(_, password)| password)
        }
        (Err(_), _) => token,
    };
    Sha256::digest(password.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
}

/// What every token in full form begins with.
const FULL: &str = "K10";
/// The hex digits of a SHA-256.
const HASH: usize = 64;

/// The hash of the authority, the user and the password.
fn split(token: &str) -> Result<(Option<&str>, Option<&str>, &str), String> {
    let token = token.trim();
    if token.is_empty() {
        return Err("it is empty".into());
    }
    let Some(full) = token.strip_prefix(FULL) else {
        return if of_kubeadm(token) { Err(for_agents()) } else { Ok((None, None, token)) };
    };
    let (hash, login) = match full.split_once("::") {
        Some((hash, login)) => (Some(hash), login),
        None => (None, full),
    };
    if let Some(hash) = hash.filter(|hash| !hash.is_empty()) {
        if hash.len() != HASH {
            return Err(format!(
                "the hash behind {FULL} has {} digits, not {HASH}: is it cut off?",
                hash.len()
            ));
        }
        if !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(format!("what is behind {FULL} is not a hash in hex digits"));
        }
    }
    if of_kubeadm(login) {
        return Err(for_agents());
    }
    match login.split_once(':') {
        Some((user, password)) if !password.is_empty() => Ok((hash, Some(user), password)),
        _ => Err(format!("it begins with {FULL}, but is not {FULL}<hash>::<user>:<password>")),
    }
}

/// Tokens of the form that kubeadm has: six letters or digits, a dot, sixteen more.
fn of_kubeadm(token: &str) -> bool {
    let plain = |part: &str| part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    token
        .split_once('.')
        .is_some_and(|(id, secret)| (id.len(), secret.len()) == (6, 16) && plain(id) && plain(secret))
}

fn for_agents() -> String {
    "it is a token with which agents join, not that of the servers".into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_hash_is_that_of_the_password() {
        // As the key /bootstrap/ba1d715a4f9b in the fixtures, whose token is `labtoken`.
        for token in ["labtoken", "labtoken\n", "K10aabb::server:labtoken", "K10aabb::labtoken"] {
            assert_eq!(hash(token), "ba1d715a4f9b", "{token:?}");
        }
        assert_ne!(hash("a::b"), hash("b"));
    }

    #[test]
    fn tokens_taken_apart() {
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
            assert_eq!(hash(token), hash_of(password), "{token}");
        }
        let bad: &[(&str, &str)] = &[
            ("", "empty"),
            (" \n", "empty"),
            ("K10aabb::server:x", "has 4 digits"),
            (&full("server:x").replace("87c1", "wxyz"), "not a hash"),
            (&full("labtoken"), "<user>:<password>"),
            (&full("server:"), "<user>:<password>"),
            (&full(""), "<user>:<password>"),
            ("K10labtoken", "<user>:<password>"),
            ("abcdef.0123456789abcdef", "agents"),
            (&full("abcdef.0123456789abcdef"), "agents"),
        ];
        for (token, words) in bad {
            let said = parse(&Secret::new(*token)).unwrap_err();
            assert!(said.contains(words), "{token}: {said}");
        }
    }

    fn hash_of(password: &str) -> String {
        Sha256::digest(password.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
    }

    proptest! {
        /// No text makes it panic, what it takes apart is in the text, and no error repeats the secret.
        #[test]
        fn any_text(text in "(K10)?[a-f0-9]{0,70}(::)?[a-zA-Z.:é ]{0,30}") {
            match parse(&Secret::new(text.as_str())) {
                Ok(token) => {
                    prop_assert!(text.contains(token.password.expose()));
                    prop_assert_eq!(hash(&text), hash_of(token.password.expose()));
                }
                Err(said) => prop_assert!(text.trim().len() < 12 || !said.contains(text.trim())),
            }
        }
    }
}
