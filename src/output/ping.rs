// SPDX-License-Identifier: Apache-2.0
//! Sends pings and reports to the URLs of an administrator. Such a URL is a secret: the reasons of a failure are texts of
//! this file, because those of a library could have the URL.
//!
//! Redirects are not followed: they would send the secret to another server.

use std::time::{Duration, Instant};

use ureq::http::{Request, Uri};
use ureq::tls::TlsConfig;
use ureq::{Agent, Error};

use crate::http::{agent_config, from_variables, system_roots};
use crate::model::s3_config::ProxyVariables;
use crate::model::secret::Secret;

/// The time for one message, with all attempts.
const LIMIT: Duration = Duration::from_secs(10);
/// The time for one attempt.
const ATTEMPT: Duration = Duration::from_secs(4);
/// The waits between the attempts.
const WAITS: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// Why a message was not sent, and whether another attempt may help.
struct Failure {
    reason: String,
    may_pass: bool,
}

/// Sends a ping: a GET.
///
/// # Errors
/// The reason, without the URL, if no answer had a status from 200 to 299 in time.
pub fn ping(url: &Secret, proxies: &ProxyVariables) -> Result<(), String> {
    deliver(url, proxies, None)
}

/// Sends a text of JSON: a POST.
///
/// # Errors
/// As [`ping`].
pub fn post(url: &Secret, proxies: &ProxyVariables, json: &str) -> Result<(), String> {
    deliver(url, proxies, Some(json))
}

fn deliver(url: &Secret, proxies: &ProxyVariables, json: Option<&str>) -> Result<(), String> {
    let agent = agent(url, proxies)?;
    let started = Instant::now();
    let left = || LIMIT.saturating_sub(started.elapsed());
    let mut waits = WAITS.iter();
    loop {
        let failure = match attempt(&agent, url, json, left().min(ATTEMPT)) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        let wait = waits.next().filter(|wait| failure.may_pass && **wait < left());
        let Some(wait) = wait else { return Err(failure.reason) };
        log::debug!("{}; the next attempt is in {} ms", failure.reason, wait.as_millis());
        std::thread::sleep(*wait);
    }
}

fn agent(url: &Secret, proxies: &ProxyVariables) -> Result<Agent, String> {
    let unusable = || "the URL cannot be used".to_owned();
    let uri: Uri = url.expose().parse().map_err(|_| unusable())?;
    let host = uri.host().ok_or_else(unusable)?.trim_start_matches('[').trim_end_matches(']');
    let is_tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
    let proxy = match from_variables(proxies, is_tls, host, port) {
        Some(proxy) => Some(
            ureq::Proxy::new(proxy)
                .map_err(|_| "HTTPS_PROXY or HTTP_PROXY is not the URL of a proxy".to_owned())?,
        ),
        None => None,
    };
    let tls = TlsConfig::builder().root_certs(system_roots()).build();
    Ok(agent_config().proxy(proxy).tls_config(tls).build().new_agent())
}

fn attempt(agent: &Agent, url: &Secret, json: Option<&str>, limit: Duration) -> Result<(), Failure> {
    let unusable = |_| Failure { reason: "the URL cannot be used".to_owned(), may_pass: false };
    let answer = match json {
        None => {
            let request = Request::get(url.expose()).body(()).map_err(unusable)?;
            agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
        }
        Some(json) => {
            let request = Request::post(url.expose()).header("content-type", "application/json");
            let request = request.body(json).map_err(unusable)?;
            agent.run(agent.configure_request(request).timeout_global(Some(limit)).build())
        }
    };
    let status = answer.map_err(|e| Failure { reason: words(&e), may_pass: true })?.status();
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    let reason = match status.is_redirection() {
        true => format!("it redirects (status {code}), which is not followed"),
        false => format!("it answered with status {code}"),
    };
    Err(Failure { reason, may_pass: status.is_server_error() || [408, 429].contains(&code) })
}

/// The reason in words of our own: an error of the library may quote the URL, or the address of a redirect.
fn words(error: &Error) -> String {
    match error {
        Error::HostNotFound => "its host name cannot be resolved",
        Error::Timeout(ureq::Timeout::Resolve) => "its host name was not resolved in time",
        Error::Timeout(ureq::Timeout::Connect) => "there was no connection in time",
        Error::Timeout(_) => "there was no answer in time",
        Error::ConnectionFailed => "there is no connection to it",
        Error::ConnectProxyFailed(_) | Error::InvalidProxyUrl => "the proxy does not connect to it",
        Error::Tls(_) | Error::Rustls(_) => "its certificate is not accepted, or it does not speak HTTPS",
        Error::Protocol(_) => "its answer is not HTTP",
        Error::Io(e) => return io_words(e),
        _ => "the request cannot be made",
    }
    .to_owned()
}

fn io_words(e: &std::io::Error) -> String {
    let inner = e.get_ref();
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        return words(error);
    }
    match e.kind() {
        std::io::ErrorKind::ConnectionRefused => "it refuses the connection".to_owned(),
        std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => {
            "there was no answer in time".to_owned()
        }
        std::io::ErrorKind::HostUnreachable | std::io::ErrorKind::NetworkUnreachable => {
            "there is no route to it".to_owned()
        }
        // The resolver of the standard library has no kind for this.
        _ if e.to_string().contains("failed to lookup address") => {
            "its host name cannot be resolved".to_owned()
        }
        kind => format!("the connection to it failed: {kind}"),
    }
}
