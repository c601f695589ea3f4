// SPDX-License-Identifier: Apache-2.0
//! Snapshots streamed by etcd itself, over gRPC with the client certificate that K3s keeps. No API server needed.
//!
//! The only folder that knows the etcd client, and one of two places that know a runtime: one `block_on` a call, nothing kept.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use etcd_client::{Channel, Client, GetOptions, StatusResponse};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};

use crate::error::{Code, Fault};
use crate::host::{Draft, Progress};
use crate::model::method::Method;
use crate::source::error::{self, describe};
use crate::source::trailer_hasher::{StreamError, TrailerHasher};
use crate::source::{CaptureOutcome, Captured, Source};

mod status;

/// To reach a port and shake hands.
const CONNECT: Duration = Duration::from_secs(4);
/// For an answer that the member gives from memory.
const ANSWER: Duration = Duration::from_secs(10);
/// For an answer that needs a quorum. An election of K3s's etcd takes up to 10 s; who waits longer learns no more.
const AGREE: Duration = Duration::from_secs(6);
/// HTTP/2 windows: enough to keep the sender busy over a long line.
const WINDOW: u32 = 4 << 20;

/// Where etcd is and how to be let in.
#[derive(Debug, Clone)]
pub struct EtcdStream {
    /// URLs, tried in order.
    pub endpoints: Vec<String>,
    /// The authority that signed etcd's certificates.
    pub cacert: PathBuf,
    /// Our client certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// How long the stream may stand still.
    pub stall: Duration,
    /// The unit that it belongs to, for hints.
    pub unit: String,
}

/// What a member says of itself and of its cluster before anything is taken from it.
#[derive(Debug)]
pub(in crate::source) struct Answer {
    /// Where it was reached.
    pub(in crate::source) endpoint: String,
    /// Its version.
    pub(in crate::source) version: String,
    /// Bytes of its database.
    pub(in crate::source) size: u64,
    /// The revision that it has applied.
    pub(in crate::source) applied: i64,
    /// The revision that is acknowledged by now, or why nobody could tell.
    pub(in crate::source) asked: Result<i64, String>,
    /// Its alarms, each once: `NOSPACE`, `CORRUPT`.
    pub(in crate::source) alarms: Vec<String>,
    /// Its id.
    pub(in crate::source) member: Option<u64>,
    /// Whether it knows a leader.
    pub(in crate::source) has_leader: bool,
}

impl Source for EtcdStream {
    fn fill(
        &self,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let tls = self.tls()?;
        runtime()?.block_on(self.capture(tls, draft, room, progress)).map(CaptureOutcome::Captured)
    }

    fn method(&self) -> Method {
        Method::Stream
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime for etcd")
}

impl EtcdStream {
    /// Asks what every way to take a snapshot has to know first. Fails where none may be taken, by whatever way.
    pub(in crate::source) fn ask(&self) -> Result<Answer> {
        let tls = self.tls()?;
        runtime()?.block_on(self.greet(&tls)).map(|(_, answer)| answer)
    }

    fn tls(&self) -> Result<ClientTlsConfig> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|e| {
                let (code, hint) = match e.kind() {
                    std::io::ErrorKind::PermissionDenied => (Code::PermissionDenied, "Run it as root."),
                    _ => (
                        Code::CertificateUnusable,
                        "Check --data-dir, or name the file with --etcd-cacert, --etcd-cert, --etcd-key.",
                    ),
                };
                anyhow::Error::from(e).context(
                    Fault::new(code, format!("reading etcd's certificate '{}'", path.display())).hint(hint),
                )
            })
        };
        let (ca, cert, key) = (read(&self.cacert)?, read(&self.cert)?, read(&self.key)?);
        for (path, pem) in [(&self.cacert, &ca), (&self.cert, &cert), (&self.key, &key)] {
            if !pem.windows(11).any(|w| w == b"-----BEGIN ") {
                return Err(Fault::new(
                    Code::CertificateUnusable,
                    format!("'{}' is not a PEM file", path.display()),
                )
                .into());
            }
        }
        Ok(ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .identity(Identity::from_pem(cert, key)))
    }

    async fn capture(
        &self,
        tls: ClientTlsConfig,
        draft: &Draft,
        room: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        progress.step("asking etcd", None);
        let (mut client, answer) = self.greet(&tls).await?;
        let endpoint = answer.endpoint;
        room(answer.size)?;
        progress.step("receiving the snapshot", Some(answer.size));
        let mut stream = timeout(ANSWER, client.snapshot())
            .await
            .map_err(|_| error::silent(&endpoint, &self.unit))?
            .map_err(|e| self.explain(&endpoint, &e))?;
        let mut intake = TrailerHasher::default();
        loop {
            let message = timeout(self.stall, stream.message())
                .await
                .map_err(|_| error::stalled(&endpoint, self.stall))?
                .map_err(|e| error::broken(&endpoint, &self.unit, &describe(&e)))?;
            let Some(message) = message else { break };
            let blob = message.blob();
            intake.update(blob);
            draft.append(blob)?;
            progress.advance(blob.len() as u64);
        }
        let (bytes, sha256) = intake.finish().map_err(|flaw| match flaw {
            StreamError::Short(n) => error::broken(
                &endpoint,
                &self.unit,
                &format!("it ended after {n} bytes, without its checksum"),
            ),
            StreamError::Checksum => Fault::new(
                Code::EtcdChecksumMismatch,
                format!("the snapshot that etcd at {endpoint} sent does not match its own checksum"),
            )
            .hint("Nothing was kept. Try again; if it stays, the memory or disk of that server is in doubt.")
            .into(),
        })?;
        Ok(Captured {
            bytes,
            sha256: Some(sha256),
            version: Some(answer.version),
            endpoint,
            asked: answer.asked,
            alarms: answer.alarms,
            member: answer.member,
            has_leader: answer.has_leader,
        })
    }

    /// Connects, and asks. A learner is refused here.
    async fn greet(&self, tls: &ClientTlsConfig) -> Result<(Client, Answer)> {
        let (mut client, endpoint) = self.connect_any(tls).await?;
        let status = timeout(ANSWER, client.status())
            .await
            .map_err(|_| error::silent(&endpoint, &self.unit))?
            .map_err(|e| self.explain(&endpoint, &e))?;
        if status.is_learner() {
            return Err(Fault::new(
                Code::EtcdLearner,
                format!("the etcd member at {endpoint} is a learner, which cannot give a snapshot"),
            )
            .hint("Wait until it has been promoted to a voter, or save on another server.")
            .into());
        }
        let asked = self.ask_revision(&mut client, tls).await;
        if asked.is_err() {
            // A member that has gone since is a failure; one that has no quorum is a member without a quorum.
            let gone =
                timeout(ANSWER, client.status()).await.map_err(|_| error::silent(&endpoint, &self.unit))?;
            gone.map_err(|e| self.explain(&endpoint, &e))?;
        }
        let answer = Answer {
            version: status.version().to_owned(),
            size: u64::try_from(status.db_size()).unwrap_or(0),
            member: status.header().map(|h| h.member_id()),
            applied: status.header().map_or(0, |h| h.revision()),
            asked,
            alarms: alarms(&status),
            has_leader: status.leader() != 0,
            endpoint,
        };
        Ok((client, answer))
    }

    /// The first endpoint that lets us in. Of several failures the first is told: it is the one that was meant.
    async fn connect_any(&self, tls: &ClientTlsConfig) -> Result<(Client, String)> {
        let mut first = None;
        for url in &self.endpoints {
            match connect(url, tls).await {
                Ok(client) => return Ok((client, url.clone())),
                Err(e) => {
                    log::debug!("{url}: {}", describe(&*e));
                    first.get_or_insert_with(|| self.explain(url, &*e));
                }
            }
        }
        Err(first.unwrap_or_else(|| Fault::new(Code::InvalidSetting, "no etcd endpoint is known").into()))
    }

    fn explain(&self, endpoint: &str, e: &(dyn std::error::Error + 'static)) -> anyhow::Error {
        error::explain(endpoint, &self.unit, e, &self.cacert, &self.cert)
    }

    /// The revision that is acknowledged by now, by a linearizable read: from this member, else from the others,
    /// whose addresses this member knows. An error is not a failure of the save; it says why nobody can tell.
    async fn ask_revision(&self, client: &mut Client, tls: &ClientTlsConfig) -> Result<i64, String> {
        let own = match agreed(client).await {
            Ok(revision) => return Ok(revision),
            Err(why) => why,
        };
        let members = match timeout(ANSWER, client.member_list()).await {
            Ok(Ok(list)) => list,
            _ => return Err(own),
        };
        let mut asking = tokio::task::JoinSet::new();
        for url in
            members.members().iter().flat_map(|m| m.client_urls()).filter(|u| !self.endpoints.contains(u))
        {
            let (url, tls) = (url.clone(), tls.clone());
            asking.spawn(async move { agreed(&mut connect(&url, &tls).await.ok()?).await.ok() });
        }
        while let Some(answer) = asking.join_next().await {
            if let Ok(Some(revision)) = answer {
                return Ok(revision);
            }
        }
        Err(own)
    }
}

/// The alarms in what a member complains of, each once.
fn alarms(status: &StatusResponse) -> Vec<String> {
    let raised = |alarm: &&str| status.errors().iter().any(|e| e.contains(&format!("alarm:{alarm}")));
    ["NOSPACE", "CORRUPT"].into_iter().filter(raised).map(str::to_owned).collect()
}

/// One linearizable read; its header carries the revision.
async fn agreed(client: &mut Client) -> Result<i64, String> {
    // Any key will do. Not to be counted, and absent from any cluster.
    let read = client.get("\0", Some(GetOptions::new().with_keys_only().with_limit(1)));
    let answer = timeout(AGREE, read)
        .await
        .map_err(|_| format!("no quorum answered within {} s", AGREE.as_secs()))?
        .map_err(|e| describe(&e))?;
    answer.header().map(|h| h.revision()).ok_or_else(|| "the answer carried no revision".to_owned())
}

async fn connect(
    url: &str,
    tls: &ClientTlsConfig,
) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
    let mut endpoint = Endpoint::from_shared(url.to_owned())?
        .connect_timeout(CONNECT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(2 * WINDOW)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(Duration::from_secs(20))
        .tcp_nodelay(true);
    if url.starts_with("https://") {
        let loopback = endpoint.uri().host().is_some_and(|h| {
            h.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
        });
        // K3s's certificates always name localhost, not always both loopback addresses.
        let tls = if loopback { tls.clone().domain_name("localhost") } else { tls.clone() };
        endpoint = endpoint.tls_config(tls)?;
    }
    let channel = timeout(CONNECT, endpoint.connect()).await.map_err(|_| error::NoAnswer)??;
    Ok(Client::from_channel(Channel::Tonic(channel), None).await?)
}
