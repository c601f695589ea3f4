// SPDX-License-Identifier: Apache-2.0
//! The configuration of a bucket: its endpoint, the proxy, the credentials, and what is written with an object.
//!
//! Plain values, validated by `config/s3.rs` and used by `store/s3`.

use std::time::Duration;

use super::secret::Secret;

/// The configuration of a bucket.
#[derive(Debug, Clone)]
pub struct S3Config {
    /// Its name.
    pub name: String,
    /// The word of the distribution of the snapshots, as the distribution writes it into the metadata of its own objects.
    pub distribution: &'static str,
    /// Scheme, host and port, without a slash at the end.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The prefix of all keys as K3s makes it of `etcd-s3-folder`: cleaned like a path, without a slash at its end, and with
    /// the slash at its beginning if it has one. Empty for none.
    pub folder: String,
    /// Whether the bucket is part of the host name, and not of the path.
    pub in_host: bool,
    /// Certificates (PEM) that replace the certificate authorities of the system.
    pub authorities: Option<String>,
    /// Whether the certificate of the store is not verified.
    pub skip_verify: bool,
    /// How long a request may make no progress.
    pub timeout: Duration,
    /// The proxy.
    pub proxy: Proxy,
    /// The credentials of all requests.
    pub credentials: Credentials,
    /// The properties of new objects.
    pub objects: Objects,
    /// The limit of requests of one upload at the same time.
    pub parallel: usize,
    /// The size of a part of an upload and of a range of a download, in bytes.
    pub part_size: u64,
}

/// The proxy between this machine and the endpoint.
#[derive(Debug, Clone)]
pub enum Proxy {
    /// The one that these variables name, if they name one.
    Variables(ProxyVariables),
    /// None.
    Direct,
    /// This one; the URL may hold a password.
    Url(Secret),
}

/// The usual variables about proxies.
#[derive(Debug, Clone, Default)]
pub struct ProxyVariables {
    /// `HTTPS_PROXY`: for endpoints with TLS.
    pub https: Option<Secret>,
    /// `HTTP_PROXY`: for endpoints without TLS.
    pub http: Option<Secret>,
    /// `NO_PROXY`: hosts and networks that are reached without the proxy.
    pub no_proxy: Option<String>,
}

/// The credentials of requests.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// These keys.
    Given(Keys),
    /// The role of this machine, from the instance metadata service at this URL.
    Instance(String),
}

/// A pair of keys.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The access key.
    pub access: Secret,
    /// The secret key.
    pub secret: Secret,
    /// The session token of temporary keys.
    pub token: Option<Secret>,
}

/// The properties of new objects.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// The storage class; the default of the store if it is not set.
    pub storage_class: Option<String>,
    /// Encryption by the store.
    pub encryption: Encryption,
    /// Tags.
    pub tags: Vec<(String, String)>,
}

/// Encryption by the store.
#[derive(Debug, Clone, Default)]
pub enum Encryption {
    /// The default of the store.
    #[default]
    Default,
    /// With the key of the store.
    Aes256,
    /// With a key of the key service; with its default key if none is set.
    Kms(Option<String>),
    /// With our key of 32 bytes, which is sent with each request and not stored.
    Customer(CustomerKey),
}

/// A key that is sent with each request.
#[derive(Clone)]
pub struct CustomerKey(pub [u8; 32]);

impl std::fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The storage classes of archives: their objects must be restored before they can be read.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

impl S3Config {
    /// The key of a file.
    pub fn key(&self, file: &str) -> String {
        format!("{}{file}", self.prefix())
    }

    /// The prefix of all keys, with a slash at its end; empty if there is none.
    pub fn prefix(&self) -> String {
        match self.folder.as_str() {
            "" => String::new(),
            folder if folder.ends_with('/') => folder.to_owned(),
            folder => format!("{folder}/"),
        }
    }

    /// The limit of requests of one download at the same time: twice that of an upload, as each waits longer for its answer.
    pub fn readers(&self) -> usize {
        self.parallel.max(1).saturating_mul(2)
    }

    /// Whether the endpoint uses TLS.
    pub fn is_tls(&self) -> bool {
        self.endpoint.starts_with("https://")
    }

    /// The host and the port of requests; an IPv6 address without its brackets.
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

    /// The bucket and the prefix as a URL, for messages.
    pub fn url(&self) -> String {
        if self.folder.is_empty() {
            format!("s3://{}", self.name)
        } else {
            format!("s3://{}/{}", self.name, self.folder)
        }
    }

    /// Why K3s cannot restore from objects with these properties; `None` if it can.
    pub fn unreadable_for_k3s(&self) -> Option<String> {
        if matches!(self.objects.encryption, Encryption::Customer(_)) {
            return Some(
                "K3s cannot restore objects that are encrypted with a customer-provided key".to_owned(),
            );
        }
        let class = self.objects.storage_class.as_deref()?;
        ARCHIVES
            .contains(&class)
            .then(|| format!("K3s cannot read objects of the storage class {class} before they are restored from the archive"))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A bucket that no test contacts.
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
            proxy: Proxy::Direct,
            credentials: Credentials::Instance(String::new()),
            objects: Objects::default(),
            parallel: 4,
            part_size: 16 << 20,
        }
    }

    #[test]
    fn the_address_is_the_host_and_the_port_of_the_endpoint() {
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
    fn keys_begin_with_the_folder() {
        assert_eq!((bucket().key("x"), bucket().url()), ("a/b/x".into(), "s3://b/a/b".into()));
        let top = S3Config { folder: String::new(), ..bucket() };
        assert_eq!((top.key("x"), top.url()), ("x".into(), "s3://b".into()));
        // A slash at the beginning is a part of the key, as for K3s.
        for (folder, key) in [("/a", "/a/x"), ("/", "/x")] {
            let slash = S3Config { folder: folder.to_owned(), ..bucket() };
            assert_eq!(slash.key("x"), key);
        }
    }
}
