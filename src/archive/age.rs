// SPDX-License-Identifier: Apache-2.0
//! age files: what is sealed for recipients is opened by each of their identities, here or with the program `age`.
//!
//! Everything is in memory. No passphrases: their key derivation takes memory and time by design.

use std::io::{Read, Write};

use age::secrecy::ExposeSecret;
use age::{Decryptor, Encryptor, ssh, x25519};
use anyhow::{Context, Result, anyhow};

use crate::error::{Code, Fault};
use crate::model::secret::Secret;

/// The beginning of a private key of age.
const PRIVATE_KEY: &str = "AGE-SECRET-KEY-";
/// The beginning of a private key of SSH.
const PEM: &str = "-----BEGIN";
/// Bytes of a sealed text that is opened. A recovery kit is far smaller.
const MAX_OPENED: u64 = 16 << 20;

/// The public keys that a text is sealed for.
pub(crate) struct Recipients(Vec<Box<dyn age::Recipient + Send + Sync>>);

impl Recipients {
    /// Parses public keys of age (`age1...`) and of SSH (`ssh-ed25519 ...`, `ssh-rsa ...`), and tries each of them.
    ///
    /// # Errors
    /// What is wrong with the first one that cannot be used. The text has no part of a private key.
    pub(crate) fn parse<S: AsRef<str>>(keys: &[S]) -> Result<Recipients, String> {
        let mut all = Vec::new();
        for key in keys {
            let recipient = parse_recipient(key.as_ref().trim())?;
            let tried = Encryptor::with_recipients(std::iter::once(&*recipient as &dyn age::Recipient));
            tried.map_err(|_| format!("the key '{}' cannot encrypt", shown(key.as_ref())))?;
            all.push(recipient);
        }
        if all.is_empty() { Err("has no key".to_owned()) } else { Ok(Recipients(all)) }
    }

    /// Seals a text for all of them.
    ///
    /// # Errors
    /// If it cannot be encrypted.
    pub(crate) fn seal(&self, text: &Secret) -> Result<Vec<u8>> {
        let all = self.0.iter().map(|recipient| &**recipient as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(all).map_err(|_| anyhow!("a recipient cannot encrypt"))?;
        let mut sealed = Vec::with_capacity(text.expose().len() + 1024);
        let mut writer = encryptor.wrap_output(&mut sealed).context("encrypting")?;
        writer.write_all(text.expose().as_bytes()).context("encrypting")?;
        writer.finish().context("encrypting")?;
        Ok(sealed)
    }
}

fn parse_recipient(key: &str) -> Result<Box<dyn age::Recipient + Send + Sync>, String> {
    if key.get(..PRIVATE_KEY.len()).is_some_and(|start| start.eq_ignore_ascii_case(PRIVATE_KEY))
        || key.starts_with(PEM)
    {
        return Err("has a private key; only public keys belong there".to_owned());
    }
    if let Ok(recipient) = key.parse::<x25519::Recipient>() {
        return Ok(Box::new(recipient));
    }
    match key.parse::<ssh::Recipient>() {
        Ok(recipient) => Ok(Box::new(recipient)),
        Err(ssh::ParseRecipientKeyError::RsaModulusTooSmall) => {
            Err(format!("the RSA key '{}' has less than 2048 bits", shown(key)))
        }
        Err(ssh::ParseRecipientKeyError::RsaModulusTooLarge) => {
            Err(format!("the RSA key '{}' has more than 4096 bits", shown(key)))
        }
        Err(_) => Err(format!("'{}' is not a key like age1..., ssh-ed25519 ... or ssh-rsa ...", shown(key))),
    }
}

/// The beginning of a public key, for messages.
fn shown(key: &str) -> String {
    let start: String = key.chars().take(24).collect();
    let dots = if start.len() < key.len() { "..." } else { "" };
    format!("{}{dots}", start.escape_debug())
}

/// The private keys of which one must fit.
pub(crate) struct Identities(Vec<Box<dyn age::Identity>>);

/// Why a sealed text was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// It was sealed for other recipients.
    OtherRecipients,
    /// It is no age file, or corrupt.
    Corrupt,
}

impl Identities {
    /// Parses a file of private keys: those of age, also in the form for paper, or one of SSH without a passphrase.
    ///
    /// # Errors
    /// [`Code::IdentityUnusable`]; the message has no part of the text.
    pub(crate) fn parse(text: &Secret) -> Result<Identities> {
        let unusable = |why: &str| Fault::new(Code::IdentityUnusable, format!("the identity file {why}"));
        if text.expose().trim_start().starts_with(PEM) {
            let key = ssh::Identity::from_buffer(text.expose().trim_start().as_bytes(), None)
                .map_err(|_| unusable("has a private key of SSH that cannot be read"))?;
            return match key {
                ssh::Identity::Unencrypted(_) => Ok(Identities(vec![Box::new(key)])),
                ssh::Identity::Encrypted(_) => Err(unusable("has a private key with a passphrase")
                    .hint("Remove the passphrase from a copy of the key with 'ssh-keygen -p -f FILE'.")
                    .into()),
                ssh::Identity::Unsupported(_) => Err(unusable("has a private key of an unsupported type")
                    .hint("Use a key of the type ed25519 or rsa, or one of age.")
                    .into()),
            };
        }
        // The form for paper has blanks, and more than one line.
        let lines = text.expose().lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let joined: String = lines.flat_map(str::split_whitespace).collect();
        let joined = Secret::new(joined.to_ascii_uppercase());
        let mut keys = joined.expose().split(PRIVATE_KEY);
        let mut all: Vec<Box<dyn age::Identity>> = Vec::new();
        if keys.next() == Some("") {
            for key in keys {
                let key = Secret::new(format!("{PRIVATE_KEY}{key}"));
                let identity: x25519::Identity = key
                    .expose()
                    .parse()
                    .map_err(|_| unusable("has a private key that is mistyped or incomplete"))?;
                all.push(Box::new(identity));
            }
        }
        match all.is_empty() {
            true => Err(unusable("has no private key")
                .hint("Give a file with a line AGE-SECRET-KEY-..., or with a private key of SSH.")
                .into()),
            false => Ok(Identities(all)),
        }
    }

    /// Opens a sealed text.
    ///
    /// # Errors
    /// Why it was not opened.
    pub(crate) fn open(&self, sealed: &[u8]) -> Result<Secret, OpenError> {
        let decryptor = Decryptor::new_buffered(sealed).map_err(|_| OpenError::Corrupt)?;
        let identities = self.0.iter().map(|identity| &**identity);
        let reader = decryptor.decrypt(identities).map_err(|e| match e {
            age::DecryptError::NoMatchingKeys | age::DecryptError::KeyDecryptionFailed => {
                OpenError::OtherRecipients
            }
            _ => OpenError::Corrupt,
        })?;
        let mut text = String::new();
        let mut limited = reader.take(MAX_OPENED + 1);
        limited.read_to_string(&mut text).map_err(|_| OpenError::Corrupt)?;
        if text.len() as u64 > MAX_OPENED { Err(OpenError::Corrupt) } else { Ok(Secret::new(text)) }
    }
}

/// A new pair of keys: the private one, and the public one.
pub(crate) fn generate() -> (Secret, String) {
    let identity = x25519::Identity::generate();
    (Secret::new(identity.to_string().expose_secret()), identity.to_public().to_string())
}

/// The form for paper: groups of five characters, eight in a line. [`Identities::parse`] reads it.
pub(crate) fn for_paper(key: &Secret) -> Secret {
    let characters: Vec<char> = key.expose().chars().collect();
    let groups: Vec<String> = characters.chunks(5).map(|group| group.iter().collect()).collect();
    let lines: Vec<String> = groups.chunks(8).map(|line| line.join(" ")).collect();
    Secret::new(lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::code_of;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN alice@rust";

    fn pair() -> (Identities, String) {
        let (key, public) = generate();
        (Identities::parse(&key).unwrap(), public)
    }

    #[test]
    fn each_recipient_opens_and_no_other() {
        let ((a, to_a), (b, to_b), (c, _)) = (pair(), pair(), pair());
        let recipients = Recipients::parse(&[to_a, ED25519.to_owned(), to_b]).unwrap();
        for text in ["", "text", &"x".repeat(200_000)] {
            let sealed = recipients.seal(&Secret::new(text)).unwrap();
            for identity in [&a, &b] {
                assert_eq!(identity.open(&sealed).unwrap().expose(), text);
            }
            assert_eq!(c.open(&sealed).unwrap_err(), OpenError::OtherRecipients);
        }
    }

    #[test]
    fn no_flipped_byte_and_no_shorter_file_opens() {
        let (identity, public) = pair();
        let sealed = Recipients::parse(&[public]).unwrap().seal(&Secret::new("text")).unwrap();
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(identity.open(&flipped).is_err(), "byte {at}");
            assert!(identity.open(&sealed[..at]).is_err(), "{at} bytes");
        }
    }

    #[test]
    fn a_key_that_cannot_be_used_is_refused_and_a_private_one_is_not_shown() {
        let (private, public) = generate();
        assert!(Recipients::parse(&[format!(" {public}\n")]).is_ok());
        let flipped = public.replace(&public[20..21], if &public[20..21] == "q" { "p" } else { "q" });
        let rsa_1024 = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQC9dOFtUJYmjBPEHO9yHGSOJVSmGBpfjeZ0WxRUnNnOQ9gWFAYqEXb3vDLV9j7ZqPZqNQ8pFXBqg4wE2kS0m1kp8wzUV7nZVZbXjJ8vQZqSTO4bYtT3wK2NnW5b4J8v1nM5hJgC3VvT0o0oXJ5hZJt5HF2v2c2hYk2yD0J1mQ==";
        for bad in [
            "",
            "age1",
            &flipped,
            "ssh-ed25519 AAAA",
            "ssh-dss AAAAB3NzaC1kc3M",
            rsa_1024,
            &format!("{public},{public}"),
        ] {
            assert!(Recipients::parse(&[bad]).is_err(), "{bad}");
        }
        for secret in
            [private.expose(), &private.expose().to_lowercase(), "-----BEGIN OPENSSH PRIVATE KEY-----"]
        {
            let error = Recipients::parse(&[secret]).err().unwrap();
            assert!(!error.contains(&secret[16..24]), "{error}");
        }
        assert!(Recipients::parse::<&str>(&[]).is_err());
    }

    #[test]
    fn an_identity_is_read_from_a_file_of_age_and_from_paper() {
        let (key, public) = generate();
        let sealed = Recipients::parse(&[public]).unwrap().seal(&Secret::new("text")).unwrap();
        let paper = for_paper(&key);
        assert!(paper.expose().lines().all(|line| line.len() <= 47), "fits on paper");
        let typed = paper.expose().to_lowercase().replace('\n', " ");
        for file in [key.expose().to_owned(), format!("# a comment\n\n{}\n", key.expose()), typed] {
            let identities = Identities::parse(&Secret::new(file)).unwrap();
            assert_eq!(identities.open(&sealed).unwrap().expose(), "text");
        }
        for file in ["", "# only a comment", "age1abc", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"] {
            let error = Identities::parse(&Secret::new(file)).err().unwrap();
            assert_eq!(code_of(&error), Code::IdentityUnusable, "{file}");
        }
    }
}
