// SPDX-License-Identifier: Apache-2.0
//! The configuration of a bucket: the address, the connection, and the settings of objects that are written.
//!
//! Pure values. `config/s3.rs` validates them, `store/s3` uses them.

use std::time::Duration;

use super::secret::Secret;

/// The settings of a bucket.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// The name of the bucket.
    pub name: String,
    /// The word of the distribution that the snapshots belong to, as in the metadata of its objects.
    pub distribution: &'static str,
    /// Scheme, host and port, without a slash at the end.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The prefix of all keys, without a slash at either end; empty if there is none.
    pub folder: String,
    /// Whether the bucket is part of the host name.
    pub in_host: bool,
    /// Certificate authorities (PEM) that are used instead of those of the system.
    pub authorities: Option<String>,
    /// Whether the certificate of the endpoint is not verified.
    pub skip_verify: bool,
    /// The longest time without a byte of progress.
    pub timeout: Duration,
    /// The proxy for the connection.
    pub proxy: Proxy,
    /// The credentials of requests.
    pub credentials: Credentials,
    /// The settings of objects that are written.
    pub objects: Objects,
    /// The number of parts of an upload that are sent at the same time.
    pub parallel: usize,
    /// Bytes of one part of an upload, and of one range of a download.
    pub part_size: u64,
}

/// How the endpoint is reached.
#[derive(Debug, Clone)]
pub enum Proxy {
    /// By the proxy variables of the environment.
    Environment,
    /// Directly.
    None,
    /// By this proxy; the URL may contain a password.
    Url(Secret),
}

/// Where the access key comes from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// The key is configured.
    Given(Keys),
    /// The role of the machine, from the instance metadata service at this URL.
    Instance(String),
}

/// An access key.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key ID.
    pub access: Secret,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of a temporary key.
    pub token: Option<Secret>,
}

/// The settings of objects that are written.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The storage class; `None` for the default of the store.
    pub storage_class: Option<String>,
    /// Encryption by the store.
    pub encryption: Encryption,
    /// The tags of each object.
    pub tags: Vec<(String, String)>,
}

/// Encryption by the store.
#[derive(Debug, Clone, Default)]
pub enum Encryption {
    /// The default of the store.
    #[default]
    Default,
    /// With a key of the store.
    Aes256,
    /// With a key of the key management service; `None` for its default key.
    Kms(Option<String>),
    /// With a customer-provided key of 32 bytes, which is sent with each request and not stored by the store.
    Customer(CustomerKey),
}

/// A customer-provided encryption key.
#[derive(Clone)]
pub struct CustomerKey(pub [u8; 32]);

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The storage classes whose objects cannot be read until they are restored from the archive.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

impl S3Config {
    /// The key of a file, with the prefix.
    pub fn key(&self, file: &str) -> String {
        if self.folder.is_empty() { file.to_owned() } else { format!("{}/{file}", self.folder) }
    }

    /// The number of requests without a body that are sent at the same time: they wait longer for an answer than they transfer.
    pub fn readers(&self) -> usize {
        self.parallel.max(1).saturating_mul(2)
    }

    /// Whether the endpoint uses TLS.
    pub fn is_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// The host and the port of requests; an IPv6 address without brackets.
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

    /// The bucket and the prefix as a URL, for people.
    pub fn url(&self) -> String {
        if self.folder.is_empty() {
            format!("s3://{}", self.name)
        } else {
            format!("s3://{}/{}", self.name, self.folder)
        }
    }

    /// Why K3s cannot restore from an object with these settings; `None` if it can.
    pub fn unreadable_for_k3s(&self) -> Option<String> {
        if matches!(self.objects.encryption, Encryption::Customer(_)) {
            return Some(
                "K3s does not support customer-provided keys and cannot restore an object that is encrypted with one"
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

    /// A bucket that no test sends a request to.
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
