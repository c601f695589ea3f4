// SPDX-License-Identifier: Apache-2.0
//! Selects the proxy to an endpoint: the one that is configured, else that of the environment.

use super::error::{S3Error, S3ErrorKind};
use crate::http::from_variables;
use crate::model::s3_config::{Proxy, ProxyVariables, S3Config};

/// The proxy; `None` for a direct connection.
pub(super) fn select(bucket: &S3Config) -> Result<Option<ureq::Proxy>, S3Error> {
    let (url, origin) = match &bucket.proxy {
        Proxy::Direct => return Ok(None),
        Proxy::Url(url) => (url.expose(), "the option 's3-proxy'"),
        Proxy::Variables(variables) => match of_environment(bucket, variables) {
            Some(url) => (url, "the environment variable HTTPS_PROXY or HTTP_PROXY"),
            None => return Ok(None),
        },
    };
    // The value is not quoted: it may have a password.
    let invalid = |_| S3Error::new(S3ErrorKind::Config, format!("{origin} is not the URL of a proxy"));
    ureq::Proxy::new(url).map(Some).map_err(invalid)
}

fn of_environment<'a>(bucket: &S3Config, variables: &'a ProxyVariables) -> Option<&'a str> {
    let (host, port) = bucket.address();
    from_variables(variables, bucket.is_tls(), &host, port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::s3_config::tests::bucket;
    use crate::model::secret::Secret;

    #[test]
    fn the_scheme_of_the_endpoint_chooses_the_variable() {
        let found = |endpoint: &str, set: &[(&str, &str)]| {
            let bucket = S3Config { endpoint: endpoint.into(), ..bucket() };
            let value = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            let variables = ProxyVariables {
                https: value("HTTPS_PROXY").map(Secret::new),
                http: value("HTTP_PROXY").map(Secret::new),
                no_proxy: value("NO_PROXY").map(str::to_owned),
            };
            of_environment(&bucket, &variables).map(str::to_owned)
        };
        let both = [("HTTPS_PROXY", "http://tls:1"), ("HTTP_PROXY", "http://plain:1")];
        assert_eq!(found("https://s3.example.com", &both).as_deref(), Some("http://tls:1"));
        assert_eq!(found("http://s3.example.com:9000", &both).as_deref(), Some("http://plain:1"));
        assert_eq!(found("https://s3.example.com", &[("HTTP_PROXY", "http://plain:1")]), None);
        assert_eq!(found("https://localhost:9000", &both), None);
        assert_eq!(found("https://[::1]:9000", &both), None);
        assert_eq!(found("https://127.0.0.2:9000", &both), None);
        let inside = [("HTTPS_PROXY", "http://tls:1"), ("NO_PROXY", "127.0.0.0/8,10.0.0.0/8,.svc")];
        assert_eq!(found("https://10.9.8.7:9000", &inside), None);
        assert_eq!(found("https://minio.store.svc", &inside), None);
        assert!(found("https://minio.store", &inside).is_some());
        assert_eq!(found("https://s3.example.com", &[("HTTPS_PROXY", " ")]), None);
    }
}
