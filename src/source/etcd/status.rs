// SPDX-License-Identifier: Apache-2.0
//! Asks a running etcd who it is, who is with it, and whether it holds what a snapshot holds. Changes nothing.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::time::Duration;

use anyhow::Result;
use etcd_client::{Client, Error, GetOptions, GetResponse, Member};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::transport::{ClientTlsConfig, Uri};

use super::{AGREE, ANSWER, EtcdStream, alarms, connect, runtime};
use crate::error::{Code, Fault};
use crate::inspect::{Comparison, Sample};
use crate::source::error::{self, describe};
use crate::source::{EtcdProbe, LiveMember, MemberStatus};

/// For an answer that a healthy member gives at once.
const QUICK: Duration = Duration::from_secs(3);
/// For all the reads of a comparison, of which there are some two hundred.
const COMPARE: Duration = Duration::from_secs(30);

impl EtcdProbe for EtcdStream {
    fn look(&self) -> Result<MemberStatus> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            let status = timeout(QUICK, client.status())
                .await
                .map_err(|_| error::silent(&endpoint, &self.unit))?
                .map_err(|e| self.explain(&endpoint, &e))?;
            // The members as this one knows them: that needs no quorum. A learner is not asked: it refuses to tell.
            let mut members = Vec::new();
            if !status.is_learner() {
                let list = timeout(QUICK, client.member_list())
                    .await
                    .map_err(|_| error::silent(&endpoint, &self.unit))?
                    .map_err(|e| self.explain(&endpoint, &e))?;
                members = list.members().iter().map(member).collect();
            }
            Ok(MemberStatus {
                revision: status.header().map_or(0, |h| h.revision()),
                member_id: status.header().map_or(0, |h| h.member_id()),
                learner: status.is_learner(),
                members,
                db_size: status.db_size(),
                leader: status.leader() != 0,
                alarms: alarms(&status),
                version: status.version().to_owned(),
            })
        })
    }

    fn answers(&self, urls: &[String]) -> Vec<(String, bool)> {
        // Without our certificates it still shows whether somebody listens.
        let tls = self.tls().ok();
        let asked = runtime().map(|runtime| {
            runtime.block_on(async {
                let mut asking = tokio::task::JoinSet::new();
                for (i, url) in urls.iter().enumerate() {
                    let (url, tls) = (url.clone(), tls.clone());
                    let one =
                        async move { (i, timeout(QUICK, answers(&url, tls.as_ref())).await == Ok(true)) };
                    asking.spawn(one);
                }
                let mut all = vec![false; urls.len()];
                while let Some(one) = asking.join_next().await {
                    if let Ok((i, yes)) = one
                        && let Some(answer) = all.get_mut(i)
                    {
                        *answer = yes;
                    }
                }
                all
            })
        });
        // That nobody could be asked is no sign that nobody is there.
        urls.iter().cloned().zip(asked.unwrap_or_else(|_| vec![true; urls.len()])).collect()
    }

    fn holds(&self, revision: i64, live: u64, sample: &[Sample]) -> Result<Comparison> {
        let tls = self.tls()?;
        runtime()?.block_on(async {
            let (mut client, endpoint) = self.connect_any(&tls).await?;
            timeout(COMPARE, self.compare(&mut client, &endpoint, revision, live, sample))
                .await
                .map_err(|_| error::silent(&endpoint, &self.unit))?
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
        let answer = timeout(AGREE, client.get("", Some(count))).await.map_err(|_| no_quorum(endpoint))?;
        let count = match self.read(endpoint, revision, answer)? {
            Ok(answer) => u64::try_from(answer.count()).unwrap_or(0),
            Err(held) => return Ok(held),
        };
        if count != live {
            let text = format!("{count} keys exist at revision {revision}, {live} in the snapshot");
            return Ok(Comparison::Differs(text));
        }
        for one in sample {
            // Of a revision that a quorum has just confirmed, this member alone can tell.
            let options = GetOptions::new().with_serializable().with_revision(revision);
            let answer = timeout(ANSWER, client.get(one.key.as_slice(), Some(options)))
                .await
                .map_err(|_| error::silent(endpoint, &self.unit))?;
            let answer = match self.read(endpoint, revision, answer)? {
                Ok(answer) => answer,
                Err(held) => return Ok(held),
            };
            let what = match answer.kvs().first() {
                None => "does not exist",
                Some(kv) if kv.mod_revision() != one.mod_revision => "is of another revision",
                Some(kv) if <[u8; 32]>::from(Sha256::digest(kv.value())) != one.value => "has another value",
                Some(_) => continue,
            };
            return Ok(Comparison::Differs(format!(
                "a key that the snapshot has since revision {} {what} at revision {revision}",
                one.mod_revision
            )));
        }
        Ok(Comparison::Equal)
    }

    /// The answer to a read at a revision, or what an error says of the revision.
    fn read(
        &self,
        endpoint: &str,
        revision: i64,
        answer: Result<GetResponse, Error>,
    ) -> Result<Result<GetResponse, Comparison>> {
        match answer {
            Ok(answer) => Ok(Ok(answer)),
            Err(e) => {
                let said = describe(&e);
                if said.contains("has been compacted") {
                    Ok(Err(Comparison::Compacted))
                } else if said.contains("is a future revision") {
                    Ok(Err(Comparison::Differs(format!("it has not come to revision {revision}"))))
                } else if said.contains("request timed out") || said.contains("no leader") {
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
    Fault::new(Code::EtcdNoQuorum, format!("etcd at {endpoint} has no quorum to read from"))
        .hint("Look at its log for members that it cannot reach; then try again.")
        .into()
}

/// Whether etcd, or anything else that speaks, is there. A connection that is taken and dropped is what a forwarder does
/// that has nobody behind it.
async fn answers(url: &str, tls: Option<&ClientTlsConfig>) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else { return false };
    if TcpStream::connect((host.trim_matches(['[', ']']), port)).await.is_err() {
        return false;
    }
    let Some(tls) = tls else { return true };
    match connect(url, tls).await {
        Ok(_) => true,
        Err(e) => !dropped(&*e),
    }
}

fn dropped(e: &(dyn StdError + 'static)) -> bool {
    let gone = [
        ErrorKind::ConnectionRefused,
        ErrorKind::ConnectionReset,
        ErrorKind::ConnectionAborted,
        ErrorKind::BrokenPipe,
        ErrorKind::UnexpectedEof,
        ErrorKind::TimedOut,
    ];
    error::chain(e).any(|e| {
        e.is::<error::NoAnswer>() || e.downcast_ref::<io::Error>().is_some_and(|e| gone.contains(&e.kind()))
    })
}
