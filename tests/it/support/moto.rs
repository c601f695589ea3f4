// SPDX-License-Identifier: Apache-2.0
//! A second S3 server, moto, for what s3s does not have: Object Lock, versions, TLS. It checks no signatures, so it
//! also accepts requests that a test makes itself. `make setup` installs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k3s_snapshot::model::s3_config::S3Config as Settings;
use ureq::http::{Method, Request};

use super::bucket::NAME;
use super::ports::free_port;
use super::process::{self, Running};

/// The program, where `make setup` puts it.
pub(crate) fn program() -> Result<PathBuf, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/moto-venv/bin/moto_server");
    if path.exists() { Ok(path) } else { Err(format!("needs '{}' (make setup)", path.display())) }
}

/// A server with one empty bucket.
pub(crate) struct Moto {
    pub(crate) url: String,
    agent: ureq::Agent,
    _server: Running,
}

impl Moto {
    /// Over plain HTTP, on 127.0.0.1.
    pub(crate) fn start(bucket_headers: &[(&str, &str)]) -> Moto {
        Moto::serve("127.0.0.1", &[], bucket_headers)
    }

    /// Over TLS, on all loopback addresses; the URL names the IPv6 one.
    pub(crate) fn start_tls(cert: &Path, key: &Path) -> Moto {
        Moto::serve("::", &["-s", "-c", cert.to_str().unwrap(), "-k", key.to_str().unwrap()], &[])
    }

    fn serve(host: &str, tls: &[&str], bucket_headers: &[(&str, &str)]) -> Moto {
        let port = free_port();
        let mut command = process::tied(program().unwrap());
        command.args(["-H", host, "-p", &port.to_string()]).args(tls);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let server = process::spawn(command);
        super::eventually("moto listens", Duration::from_secs(30), || {
            std::net::TcpStream::connect((host, port)).is_ok()
        });
        let (scheme, host) = if tls.is_empty() { ("http", host) } else { ("https", "[::1]") };
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .tls_config(ureq::tls::TlsConfig::builder().disable_verification(true).build())
            .build()
            .new_agent();
        let moto = Moto { url: format!("{scheme}://{host}:{port}"), agent, _server: server };
        assert_eq!(moto.ask("PUT", "", bucket_headers, "").0, 200);
        moto
    }

    /// Makes a request about the bucket; `what` is a key with its query. Returns status, headers, body.
    pub(crate) fn ask(
        &self,
        method: &str,
        what: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, ureq::http::HeaderMap, String) {
        let mut request = Request::builder()
            .method(Method::from_bytes(method.as_bytes()).unwrap())
            .uri(format!("{}/{NAME}{what}", self.url))
            // Any value; without this header the request would be anonymous.
            .header("authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=a");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = match body {
            "" => self.agent.run(request.body(()).unwrap()),
            body => self.agent.run(request.body(body).unwrap()),
        };
        let (parts, mut body) = answer.unwrap().into_parts();
        (parts.status.as_u16(), parts.headers, body.read_to_string().unwrap())
    }

    /// Settings for the bucket.
    pub(crate) fn settings(&self) -> Settings {
        Settings { timeout: Duration::from_secs(20), ..super::bucket::settings(&self.url) }
    }
}
