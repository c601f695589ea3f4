// SPDX-License-Identifier: Apache-2.0
//! A bucket as somebody configured it: where it is, how to get there, what to write with an object.
//!
//! Pure values, validated by `config/bucket.rs`; whoever talks to the bucket reads them.

use std::time::Duration;

use super::secret::Secret;

/// Everything that is needed to use a bucket.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Its name.
    pub name: String,
    /// The word of the distribution whose snapshots lie there, as it notes it beside its own.
    pub distribution: &'static str,
    /// Scheme, host and port, without a slash at the end.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// What all keys begin with, without slashes at its ends; empty for none.
    pub folder: String,
    /// Whether the bucket is part of the host name.
    pub in_host: bool,
    /// Certificates (PEM) that replace the system's authorities.
    pub authorities: Option<String>,
    /// Whether any certificate will do.
    pub skip_verify: bool,
    /// How long nothing may move.
    pub timeout: Duration,
    /// The way there.
    pub proxy: Proxy,
    /// Who asks.
    pub credentials: Credentials,
    /// What objects are written with.
    pub objects: Objects,
    /// How many parts of an upload may be in flight at once.
    pub parallel: usize,
    /// Bytes of one part of an upload, and of one range of a download.
    pub part_size: u64,
}

/// The way to the endpoint.
#[derive(Debug, Clone)]
pub enum Proxy {
    /// As the environment says, by the usual variables.
    Environment,
    /// Straight.
    None,
    /// This one; the URL may hold a password.
    Url(Secret),
}

/// Where the keys come from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// They were given.
    Given(Keys),
    /// The machine's own role, asked from the instance metadata service at this URL.
    Instance(String),
}

/// A pair of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The name of the key.
    pub access: Secret,
    /// The key.
    pub secret: Secret,
    /// The token of temporary keys.
    pub token: Option<Secret>,
}

/// What objects are written with.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The storage class, where it is not the store's own choice.
    pub storage_class: Option<String>,
    /// Encryption by the store.
    pub encryption: Encryption,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// Encryption by the store.
#[derive(Debug, Clone, Default)]
pub enum Encryption {
    /// The store's own choice.
    #[default]
    Default,
    /// With the store's key.
    Aes256,
    /// With a key of the key service; its own default key where none is named.
    Kms(Option<String>),
    /// With our key of 32 bytes, sent with each request and not kept by the store.
    Customer(CustomerKey),
}

/// A key that the store is given with each request.
#[derive(Clone)]
pub struct CustomerKey(pub [u8; 32]);

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The storage classes whose objects cannot be read until somebody restores them.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

impl S3Config {
    /// The key of a file in the folder.
    pub fn key(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }

    /// How many requests may be in flight at once where nothing is sent: an answer is awaited longer than a part.
    pub fn readers(&self) -> usize {
        self.parallel.max(1).saturating_mul(2)
    }

    /// Whether requests are encrypted on their way.
    pub fn is_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// The host and the port that requests go to; an IPv6 address without its brackets.
    pub fn address(&self) -> (String, u16) {
        let rest = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, rest)| rest);
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            _ => (rest, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if self.in_host { format!("{}.{host}", self.name) } else { host.to_owned() };
        (host, port.unwrap_or(if self.is_tls() { 443 } else { 80 }))
    }

    /// The bucket and folder as a URL for people.
    pub fn url(&self) -> String {
        if self.folder.is_empty() {
            format!("s3://{}", self.name)
        } else {
            format!("s3://{}/{}", self.name, self.folder)
        }
    }

    /// Why K3s could not restore from an object that is written like this.
    pub fn unreadable_for_k3s(&self) -> Option<String> {
        if matches!(self.objects.encryption, Encryption::Customer(_)) {
            return Some(
                "K3s knows no customer-provided keys, so it cannot restore what is encrypted with one"
                    .to_owned(),
            );
        }
        let class = self.objects.storage_class.as_deref()?;
        ARCHIVES
            .contains(&class)
            .then(|| format!("K3s cannot read objects of the storage class {class} until they are restored from the archive"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// One that nobody asks.
    pub(crate) fn bucket() -> S3Config {
        S3Config {
            distribution: "k3s",
            name: "b".into(),
            endpoint: "https://s3.example.com".into(),
            region: "us-east-1".into(),
            folder: "a/b".into(),
            in_host: false,
            authorities: None,
            skip_verify: false,
            timeout: Duration::from_secs(1),
            proxy: Proxy::None,
            credentials: Credentials::Instance(String::new()),
            objects: Objects::default(),
            parallel: 4,
            part_size: 16 << 20,
        }
    }

    #[test]
    fn requests_go_to_the_host_and_the_port_of_the_endpoint() {
        for (endpoint, in_host, want) in [
            ("https://s3.example.com", false, ("s3.example.com", 443)),
            ("http://s3.example.com", true, ("b.s3.example.com", 80)),
            ("http://10.0.0.1:9000", false, ("10.0.0.1", 9000)),
            ("https://[2001:db8::1]", false, ("2001:db8::1", 443)),
            ("https://[2001:db8::1]:9000", false, ("2001:db8::1", 9000)),
        ] {
            let bucket = S3Config { endpoint: endpoint.into(), in_host, ..bucket() };
            assert_eq!(bucket.address(), (want.0.to_owned(), want.1), "{endpoint}");
        }
    }

    #[test]
    fn keys_lie_in_the_folder() {
        assert_eq!((bucket().key("x"), bucket().url()), ("a/b/x".into(), "s3://b/a/b".into()));
        let top = S3Config { folder: String::new(), ..bucket() };
        assert_eq!((top.key("x"), top.url()), ("x".into(), "s3://b".into()));
    }
}
