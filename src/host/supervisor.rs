// SPDX-License-Identifier: Apache-2.0
//! Client for the supervisor API of another server, with the requests that K3s sends before it joins: the certificate
//! authority (`/cacerts`), the login, and the members of etcd as JSON (`GET /db/info`).
//!
//! The password is sent only over a connection that is verified with this authority, after its hash was compared. No data
//! that the server stores for its peers is read.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use ureq::http::Response;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::interfaces::JoinServer;
use crate::error::{Code, Fault};
use crate::http::agent_config;
use crate::model::secret::Secret;
use crate::model::{bootstrap, token};
use crate::util::hex;

/// The timeout of each request.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of an answer: a few certificates, or a few members.
const BODY: u64 = 1 << 20;

/// A server that listens at a URL.
pub struct SupervisorClient {
    url: String,
    /// The certificates, in DER, whose hash was the expected one. Without any, no password is sent.
    trusted: RefCell<Vec<Vec<u8>>>,
}

impl SupervisorClient {
    /// The server at this URL. Sends no request yet.
    pub fn new(url: &str) -> SupervisorClient {
        SupervisorClient { url: url.trim_end_matches('/').to_owned(), trusted: RefCell::default() }
    }

    /// The answer to a request with the password of this token, over a connection that is verified with the certificate
    /// authority of the server.
    fn ask(&self, path: &str, token: &Secret) -> Result<Response<Body>> {
        let trusted = self.trusted.borrow();
        let roots: Vec<Certificate<'static>> =
            trusted.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        anyhow::ensure!(
            !roots.is_empty(),
            "the certificate authority of the server at {} is not verified",
            self.url
        );
        let parsed = token::parse(token).map_err(|why| anyhow!("using the server token: {why}"))?;
        let login = Secret::new(STANDARD.encode(format!("server:{}", parsed.password.expose())));
        let tls = TlsConfig::builder().root_certs(RootCerts::new_with_certs(&roots)).build();
        agent(tls)
            .get(format!("{}{path}", self.url))
            .header("authorization", format!("Basic {}", login.expose()))
            .call()
            .map_err(|e| self.away(&e))
    }

    /// The certificate authority that the server returns: PEM that nothing has verified.
    fn fetch_authority(&self) -> Result<Vec<u8>> {
        let any = TlsConfig::builder().disable_verification(true).build();
        let mut answer = agent(any).get(format!("{}/cacerts", self.url)).call().map_err(|e| self.away(&e))?;
        if answer.status().as_u16() != 200 {
            return Err(self.away(format!("status {} for /cacerts", answer.status())));
        }
        answer.body_mut().with_config().limit(BODY).read_to_vec().map_err(|e| self.away(&e))
    }

    fn away(&self, why: impl std::fmt::Display) -> anyhow::Error {
        Fault::new(Code::JoinServerUnreachable, format!("the server at {} does not answer: {why}", self.url))
            .hint(
                "Start K3s on that server first, and check 'server' in the K3s configuration of this server.",
            )
            .into()
    }
}

fn agent(tls: TlsConfig) -> Agent {
    agent_config().https_only(true).tls_config(tls).timeout_global(Some(PATIENCE)).build().new_agent()
}

impl JoinServer for SupervisorClient {
    fn url(&self) -> &str {
        &self.url
    }

    fn authority(&self) -> Result<String> {
        Ok(hex(Sha256::digest(self.fetch_authority()?)))
    }

    fn has_authority(&self, hash: &str) -> Result<bool> {
        // The returned authority is compared with a hash before it is trusted, as in K3s.
        let trusted = bootstrap::certificates_named(&self.fetch_authority()?, hash);
        let found = !trusted.is_empty();
        *self.trusted.borrow_mut() = trusted;
        Ok(found)
    }

    fn lets_in(&self, token: &Secret) -> Result<bool> {
        // The first request of K3s when it joins. Only the status is used.
        let answer = self.ask("/v1-k3s/server-bootstrap", token)?;
        match answer.status().as_u16() {
            200 => Ok(true),
            401 | 403 => Ok(false),
            other => Err(anyhow!("status {other}")).context(format!("authenticating at {}", self.url)),
        }
    }

    fn members(&self, token: &Secret) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Info {
            members: Vec<Member>,
        }
        #[derive(Deserialize)]
        struct Member {
            #[serde(default)]
            name: String,
        }
        let mut answer = self.ask("/db/info", token)?;
        let asking = || format!("asking {} for the etcd members", self.url);
        if answer.status().as_u16() != 200 {
            return Err(anyhow!("status {}", answer.status())).with_context(asking);
        }
        let body = answer.body_mut().with_config().limit(BODY).read_to_vec().with_context(asking)?;
        let info: Info = serde_json::from_slice(&body).with_context(asking)?;
        Ok(info.members.into_iter().map(|m| m.name).collect())
    }
}
