// SPDX-License-Identifier: Apache-2.0
//! Asks a running etcd for its status and its members, and compares its content with a snapshot. Changes nothing.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Result;
use etcd_client::{Client, Error, GetOptions, GetResponse, Member};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{ClientTlsConfig, Uri};

use super::connection::{EtcdStream, HTTP2_WINDOW, QUORUM_TIMEOUT, STATUS_TIMEOUT, alarms, connect, runtime};
use super::error::{self, describe};
use crate::error::{Code, Fault};
use crate::inspect::{self, Comparison, Sample};
use crate::source::{DatastoreProbe, LiveMember, MemberStatus};

/// For an answer that a healthy member gives at once.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// For all reads of a comparison, about two hundred.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(30);

impl DatastoreProbe for EtcdStream {
    fn look(&self) -> Result<MemberStatus> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            let status = timeout(PROBE_TIMEOUT, client.status())
                .await
                .map_err(|_| self.no_answer(&endpoint))?
                .map_err(|e| self.explain(&endpoint, &e))?;
            // The members that this one knows; that needs no quorum. A learner refuses to list them.
            let mut members = Vec::new();
            if !status.is_learner() {
                let list = timeout(PROBE_TIMEOUT, client.member_list())
                    .await
                    .map_err(|_| self.no_answer(&endpoint))?
                    .map_err(|e| self.explain(&endpoint, &e))?;
                members = list.members().iter().map(member).collect();
            }
            Ok(MemberStatus {
                revision: status.header().map_or(0, |h| h.revision()),
                member_id: status.header().map_or(0, |h| h.member_id()),
                learner: status.is_learner(),
                members,
                db_size: status.db_size(),
                leader_id: status.leader(),
                alarms: alarms(&status),
                version: status.version().to_owned(),
            })
        })
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        // Without certificates, a port that accepts connections counts.
        let tls = self.tls().ok();
        let reachable = runtime().map(|runtime| {
            runtime.block_on(async {
                let mut requests = tokio::task::JoinSet::new();
                for (i, url) in urls.iter().enumerate() {
                    let (url, tls) = (url.clone(), tls.clone());
                    requests.spawn(async move {
                        (i, timeout(PROBE_TIMEOUT, is_reachable(&url, tls.as_ref())).await == Ok(true))
                    });
                }
                let mut all = vec![false; urls.len()];
                while let Some(answer) = requests.join_next().await {
                    if let Ok((i, is_reachable)) = answer
                        && let Some(entry) = all.get_mut(i)
                    {
                        *entry = is_reachable;
                    }
                }
                all
            })
        });
        // If nothing can be asked, every etcd counts as running.
        urls.iter().cloned().zip(reachable.unwrap_or_else(|_| vec![true; urls.len()])).collect()
    }

    fn cluster_id(&self) -> Result<Option<String>> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            // The id never changes, so a member without a quorum knows it as well.
            let options = GetOptions::new().with_serializable();
            let answer = timeout(STATUS_TIMEOUT, client.get(inspect::KUBE_SYSTEM, Some(options)))
                .await
                .map_err(|_| self.no_answer(&endpoint))?
                .map_err(|e| self.explain(&endpoint, &e))?;
            Ok(answer.kvs().first().and_then(|kv| inspect::uid(kv.value())))
        })
    }

    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            timeout(COMPARE_TIMEOUT, self.compare(&mut client, &endpoint, revision, live, sample))
                .await
                .map_err(|_| self.no_answer(&endpoint))?
        })
    }
}

impl EtcdStream {
    async fn compare(
        &self,
        client: &mut Client,
        endpoint: &str,
        revision: i64,
        live: u64,
        sample: &[Sample],
    ) -> Result<Comparison> {
        let count = GetOptions::new().with_all_keys().with_count_only().with_revision(revision);
        let answer =
            timeout(QUORUM_TIMEOUT, client.get("", Some(count))).await.map_err(|_| no_quorum(endpoint))?;
        let count = match self.read(endpoint, revision, answer)? {
            Ok(answer) => u64::try_from(answer.count()).unwrap_or(0),
            Err(comparison) => return Ok(comparison),
        };
        if count != live {
            let text = format!("{count} keys exist at revision {revision}, {live} in the snapshot");
            return Ok(Comparison::Differs(text));
        }
        for one in sample {
            // A quorum has just confirmed the revision: this member alone is enough.
            let options = GetOptions::new().with_serializable().with_revision(revision);
            let answer = timeout(STATUS_TIMEOUT, client.get(one.key.as_slice(), Some(options)))
                .await
                .map_err(|_| self.no_answer(endpoint))?;
            let answer = match self.read(endpoint, revision, answer)? {
                Ok(answer) => answer,
                Err(comparison) => return Ok(comparison),
            };
            let what = match answer.kvs().first() {
                None => "does not exist",
                Some(kv) if kv.mod_revision() != one.mod_revision => "has another revision",
                Some(kv) if <[u8; 32]>::from(Sha256::digest(kv.value())) != one.value => "has another value",
                Some(_) => continue,
            };
            return Ok(Comparison::Differs(format!(
                "a key that the snapshot has at revision {} {what} at revision {revision}",
                one.mod_revision
            )));
        }
        Ok(Comparison::Equal)
    }

    /// The answer to a read at a revision, or what an error means for the comparison.
    fn read(
        &self,
        endpoint: &str,
        revision: i64,
        answer: Result<GetResponse, Error>,
    ) -> Result<Result<GetResponse, Comparison>> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(e) => {
                let text = describe(&e);
                if text.contains("has been compacted") {
                    Ok(Err(Comparison::Compacted))
                } else if text.contains("is a future revision") {
                    Ok(Err(Comparison::Differs(format!("etcd has not reached revision {revision}"))))
                } else if text.contains("request timed out") || text.contains("no leader") {
                    Err(no_quorum(endpoint))
                } else {
                    Err(self.explain(endpoint, &e))
                }
            }
        }
    }
}

fn member(m: &Member) -> LiveMember {
    LiveMember {
        id: m.id(),
        name: m.name().to_owned(),
        peer_urls: m.peer_urls().to_vec(),
        client_urls: m.client_urls().to_vec(),
        learner: m.is_learner(),
    }
}

fn no_quorum(endpoint: &str) -> anyhow::Error {
    Fault::new(Code::EtcdNoQuorum, format!("reading from etcd at {endpoint}: it has no quorum"))
        .hint("Search the log of etcd for members that it cannot reach, then try again.")
        .into()
}

/// Whether an etcd, or another server, answers at this URL. A connection that is accepted and dropped does not count: a forwarder
/// without a server behind it does that.
async fn is_reachable(url: &str, tls: Option<&ClientTlsConfig>) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return false };
    if TcpStream::connect((host.trim_matches(['[', ']']), port)).await.is_err() {
        return false;
    }
    let Some(tls) = tls else { return true };
    match connect(url, tls, HTTP2_WINDOW).await {
        Ok(_) => true,
        Err(e) => !is_dropped(&*e),
    }
}

fn is_dropped(e: &(dyn StdError + 'static)) -> bool {
    let dropped = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
        ErrorKind::UnexpectedEof,
        ErrorKind::TimedOut,
    ];
    error::chain(e).any(|e| {
        e.is::<error::NoAnswer>()
            || e.downcast_ref::<io::Error>().is_some_and(|e| dropped.contains(&e.kind()))
    })
}
