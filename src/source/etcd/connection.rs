// SPDX-License-Identifier: Apache-2.0
//! How etcd is reached, and what it is asked before anything else.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Channel, Client, GetOptions, StatusResponse};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use super::error::{self, describe};
use crate::error::{Code, Fault};
use crate::source::handshake::Handshake;

/// To connect to a port and complete the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// For an answer that the member gives from memory.
pub(super) const STATUS_TIMEOUT: Duration = Duration::from_secs(10);
/// For an answer that needs a quorum. An election of K3s's etcd takes up to 10 s; a longer wait would not help.
pub(super) const QUORUM_TIMEOUT: Duration = Duration::from_secs(6);
/// HTTP/2 flow-control window of a stream in bytes, sized for links with high latency.
pub(super) const HTTP2_WINDOW: u32 = 4 << 20;

/// An etcd: its addresses, and the certificates for it.
#[derive(Debug, Clone)]
pub struct EtcdStream {
    /// URLs, tried in order.
    pub endpoints: Vec<String>,
    /// The CA certificate that signed etcd's certificates.
    pub cacert: PathBuf,
    /// The client certificate.
    pub cert: PathBuf,
    /// The key of the client certificate.
    pub key: PathBuf,
    /// How long a stream may pause.
    pub stall: Duration,
    /// How many bytes of a snapshot may be read per second.
    pub rate_limit: Option<u64>,
    /// The unit that etcd belongs to, for hints.
    pub unit: String,
}

impl EtcdStream {
    /// Asks for what every method of a save needs first.
    ///
    /// # Errors
    /// If no snapshot may be taken, whatever the method: etcd is not reachable, or the member is a learner.
    pub(in crate::source) fn ask(&self) -> Result<Handshake> {
        let tls = self.tls()?;
        runtime()?.block_on(self.handshake(&tls, HTTP2_WINDOW)).map(|(_, handshake)| handshake)
    }

    /// The certificates, as the transport takes them.
    pub(super) fn tls(&self) -> Result<ClientTlsConfig> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|e| {
                let (code, hint) = match e.kind() {
                    ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run this command as root."),
                    _ => (
                        Code::CertificateUnusable,
                        "Check --data-dir, or set the file with --etcd-cacert, --etcd-cert, --etcd-key.",
                    ),
                };
                anyhow::Error::from(e).context(
                    Fault::new(code, format!("reading the certificate for etcd '{}'", path.display()))
                        .hint(hint),
                )
            })
        };
        let (ca, cert, key) = (read(&self.cacert)?, read(&self.cert)?, read(&self.key)?);
        for (path, pem) in [(&self.cacert, &ca), (&self.cert, &cert), (&self.key, &key)] {
            if !pem.windows(11).any(|w| w == b"-----BEGIN ") {
                let message = format!("'{}' is not a PEM file", path.display());
                return Err(Fault::new(Code::CertificateUnusable, message).into());
            }
        }
        Ok(ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(cert, key)))
    }

    /// Connects with this flow-control window, and asks. A learner is refused.
    pub(super) async fn handshake(&self, tls: &ClientTlsConfig, window: u32) -> Result<(Client, Handshake)> {
        let (mut client, endpoint) = self.connect_with(tls, window).await?;
        let status = timeout(STATUS_TIMEOUT, client.status())
            .await
            .map_err(|_| self.no_answer(&endpoint))?
            .map_err(|e| self.explain(&endpoint, &e))?;
        if status.is_learner() {
            return Err(Fault::new(
                Code::EtcdLearner,
                format!("the etcd member at {endpoint} is a learner, which cannot give a snapshot"),
            )
            .hint("Wait until it is promoted to a voter, or save on another server.")
            .into());
        }
        let cluster_revision = self.cluster_revision(&mut client, tls).await;
        if cluster_revision.is_err() {
            // A member that has stopped since is a failure. A member without a quorum is not.
            let again =
                timeout(STATUS_TIMEOUT, client.status()).await.map_err(|_| self.no_answer(&endpoint))?;
            again.map_err(|e| self.explain(&endpoint, &e))?;
        }
        let handshake = Handshake {
            version: status.version().to_owned(),
            size: u64::try_from(status.db_size()).unwrap_or(0),
            member: status.header().map(|h| h.member_id()),
            applied: status.header().map_or(0, |h| h.revision()),
            cluster_revision,
            alarms: alarms(&status),
            has_leader: status.leader() != 0,
            endpoint,
        };
        Ok((client, handshake))
    }

    /// The first endpoint that can be connected to. If none can, the error is that of the first one.
    pub(super) async fn connect_any(&self, tls: &ClientTlsConfig) -> Result<(Client, String)> {
        self.connect_with(tls, HTTP2_WINDOW).await
    }

    async fn connect_with(&self, tls: &ClientTlsConfig, window: u32) -> Result<(Client, String)> {
        let mut first = None;
        for url in &self.endpoints {
            match connect(url, tls, window).await {
                Ok(client) => return Ok((client, url.clone())),
                Err(e) => {
                    log::debug!("connecting to {url}: {}", describe(&*e));
                    first.get_or_insert_with(|| self.explain(url, &*e));
                }
            }
        }
        let none = || Fault::new(Code::InvalidSetting, "no endpoint of etcd is configured").into();
        Err(first.unwrap_or_else(none))
    }

    /// What an error of the transport means for the operator.
    pub(super) fn explain(&self, endpoint: &str, e: &(dyn std::error::Error + 'static)) -> anyhow::Error {
        let peer = error::Peer { endpoint, unit: &self.unit, cacert: &self.cacert, cert: &self.cert };
        error::explain(&peer, e).into()
    }

    /// The member accepted the connection and did not answer in time.
    pub(super) fn no_answer(&self, endpoint: &str) -> anyhow::Error {
        error::no_answer(endpoint, &self.unit).into()
    }

    /// The revision that the cluster has acknowledged, by a linearizable read from this member, or else from the other members
    /// that it knows. An error is not a failure of the save; it is the reason why the revision is not known.
    async fn cluster_revision(&self, client: &mut Client, tls: &ClientTlsConfig) -> Result<i64, String> {
        let reason = match linearizable_revision(client).await {
            Ok(revision) => return Ok(revision),
            Err(reason) => reason,
        };
        let members = match timeout(STATUS_TIMEOUT, client.member_list()).await {
            Ok(Ok(list)) => list,
            _ => return Err(reason),
        };
        let mut requests = tokio::task::JoinSet::new();
        let urls = members.members().iter().flat_map(|m| m.client_urls());
        for url in urls.filter(|u| !self.endpoints.contains(u)) {
            let (url, tls) = (url.clone(), tls.clone());
            requests.spawn(async move {
                linearizable_revision(&mut connect(&url, &tls, HTTP2_WINDOW).await.ok()?).await.ok()
            });
        }
        while let Some(answer) = requests.join_next().await {
            if let Ok(Some(revision)) = answer {
                return Ok(revision);
            }
        }
        Err(reason)
    }
}

/// A runtime for one call.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime for etcd")
}

/// The alarms among the errors that a member reports, each once.
pub(super) fn alarms(status: &StatusResponse) -> Vec<String> {
    let is_raised = |alarm: &&str| status.errors().iter().any(|e| e.contains(&format!("alarm:{alarm}")));
    ["NOSPACE", "CORRUPT"].into_iter().filter(is_raised).map(str::to_owned).collect()
}

/// One linearizable read. The header of the answer has the revision.
async fn linearizable_revision(client: &mut Client) -> Result<i64, String> {
    // Any key can be read. This one exists in no cluster, and the answer is small.
    let read = client.get("\0", Some(GetOptions::new().with_keys_only().with_limit(1)));
    let answer = timeout(QUORUM_TIMEOUT, read)
        .await
        .map_err(|_| format!("no quorum answered within {} s", QUORUM_TIMEOUT.as_secs()))?
        .map_err(|e| describe(&e))?;
    answer.header().map(|h| h.revision()).ok_or_else(|| "the answer has no revision".to_owned())
}

/// Connects to one URL. `window` is the flow-control window of a stream in bytes; that of the connection has two of them, for the
/// answers in addition to a stream.
pub(super) async fn connect(
    url: &str,
    tls: &ClientTlsConfig,
    window: u32,
) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(CONNECT_TIMEOUT)
        .initial_stream_window_size(window)
        .initial_connection_window_size(2 * window)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .tcp_nodelay(true);
    if url.starts_with("https://") {
        let is_loopback = endpoint.uri().host().is_some_and(|h| {
            h.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        // The certificates of K3s always name localhost, but not always both loopback addresses.
        let tls = if is_loopback { tls.clone().domain_name("localhost") } else { tls.clone() };
        endpoint = endpoint.tls_config(tls)?;
    }
    let channel = timeout(CONNECT_TIMEOUT, endpoint.connect()).await.map_err(|_| error::NoAnswer)??;
    Ok(Client::from_channel(Channel::Tonic(channel), None).await?)
}
