// SPDX-License-Identifier: Apache-2.0
//! Whether K3s serves what it was given: first its etcd, then its API server.

use std::time::Instant;

use anyhow::{Result, anyhow};

use super::prepared::Prepared;
use super::transaction::Transaction;
use crate::datastore::Datastore;
use crate::error::{Code, Fault};
use crate::host::{Active, Ready};
use crate::model::restore::{StepId, StepState};
use crate::model::restore_report::K3sState;
use crate::source::{Comparison, MemberStatus};

/// systemd may restart K3s this many times before that is a failure.
const MAX_RESTARTS: u32 = 3;

/// What the running etcd must be.
pub(super) enum Goal<'a> {
    /// Alone, and hold what was prepared.
    Serves(&'a Prepared),
    /// A voting member, not alone.
    Joined,
}

/// What etcd answers, compared with the goal.
enum Answer {
    Reached,
    /// It will never be reached by waiting.
    Wrong(anyhow::Error),
}

impl Transaction<'_> {
    /// The running etcd serves the data: the point of no return, unless K3s does not stay up.
    ///
    /// # Errors
    /// If it does not within the time limit, serves something else, or K3s does not stay up.
    pub(super) fn verify_served(&mut self, goal: &Goal) -> Result<()> {
        self.k3s_step(StepId::Verify, "checking that the datastore serves the data", |tx| {
            let limit = tx.cx.machine.timeouts.ready;
            let mut last = anyhow!("the datastore was not asked");
            let mut end: Option<Result<()>> = None;
            tx.cx.machine.poll_until(limit, || {
                let look = tx.cx.machine.ensure_not_stopped().and_then(|()| tx.ensure_running());
                end = match look {
                    Err(e) => Some(Err(e)),
                    Ok(()) => match tx.compare_live(goal) {
                        Ok(Answer::Reached) => Some(Ok(())),
                        Ok(Answer::Wrong(what)) => Some(Err(what)),
                        Err(e) => {
                            last = e;
                            None
                        }
                    },
                };
                end.is_some()
            });
            end.unwrap_or_else(|| {
                Err(last.context(format!(
                    "K3s was started, but its datastore does not serve after {} s",
                    limit.as_secs()
                )))
            })
        })
    }

    /// Waits until the API server is ready and stays ready. What is not ready in time may only need more time: that is not
    /// an error here.
    ///
    /// # Errors
    /// If K3s does not stay up.
    pub(super) fn wait_until_ready(&mut self) -> Result<Option<String>> {
        let (machine, begun) = (self.cx.machine, Instant::now());
        machine.progress.step("waiting until the API server is ready", None);
        let mut last = Ready::NoAnswer("the API server was not asked".to_owned());
        let mut failed = Ok(());
        let mut stop = false;
        // Since when one and the same process has been ready: K3s can end right after it was.
        let mut since: Option<(u32, Instant)> = None;
        machine.poll_until(machine.timeouts.ready, || {
            stop = machine.host.stop_requested();
            last = machine.k3s.ready();
            let unit = machine.unit.unit().ok().filter(|u| u.active == Active::Active);
            since = match (unit, &last) {
                (Some(unit), Ready::Yes) => {
                    let same = since.filter(|(pid, _)| *pid == unit.main_pid);
                    Some(same.unwrap_or((unit.main_pid, Instant::now())))
                }
                _ => None,
            };
            failed = self.ensure_running();
            stop || failed.is_err() || since.is_some_and(|(_, at)| at.elapsed() >= machine.timeouts.stable)
        });
        let ready = failed.is_ok() && since.is_some_and(|(_, at)| at.elapsed() >= machine.timeouts.stable);
        let took = since.map_or(begun.elapsed(), |(_, at)| at.duration_since(begun));
        self.k3s_time += took;
        let state = if ready { StepState::Done } else { StepState::Failed };
        self.end_step(StepId::WaitReady, state, Some(took));
        failed?;
        if ready {
            self.record_downtime(since.map(|(_, at)| at));
            self.report.restore_mut().k3s_state = Some(K3sState::Ready);
            return Ok(None);
        }
        self.record_downtime(None);
        self.report.restore_mut().k3s_state = Some(K3sState::EtcdOnly);
        Ok(Some(match last {
            _ if stop => "asked to stop waiting".to_owned(),
            Ready::Yes => "the unit of K3s is not active".to_owned(),
            other => other.describe(),
        }))
    }

    /// Fails if K3s will not come up by waiting, with its own reason.
    fn ensure_running(&self) -> Result<()> {
        let unit = self.cx.machine.unit.unit()?;
        // While the start waits, the assertion is that of an earlier start, which was refused while that was blocked.
        if unit.assert_failed && unit.active.is_down() && !unit.has_job {
            return Err(anyhow!("systemd refuses to start {}: an assertion of the unit failed", unit.name));
        }
        if unit.active != Active::Failed && unit.restarts < MAX_RESTARTS {
            return Ok(());
        }
        let reason = self.cx.machine.unit.fatal_message(self.started_at);
        let reason = reason.unwrap_or_else(|| format!("the unit of K3s ended with '{}'", unit.result));
        Err(anyhow!("K3s does not stay up, systemd restarted it {} times: {reason}", unit.restarts))
    }

    fn compare_live(&self, goal: &Goal) -> Result<Answer> {
        let machine = self.cx.machine;
        let status = machine.etcd.look()?;
        let prepared = match goal {
            Goal::Serves(prepared) => prepared,
            Goal::Joined => return joined(&status),
        };
        let content = &prepared.content;
        if machine.files.datastore == Datastore::Sqlite {
            // Any process could read it: what counts is that K3s writes to it.
            anyhow::ensure!(machine.files.is_database_open()?, "K3s has not opened the new database");
            anyhow::ensure!(
                status.revision > content.facts.revision,
                "K3s has not written to the new database"
            );
        } else if let Some(wrong) = not_alone(&status, prepared)? {
            return Ok(Answer::Wrong(wrong));
        }
        Ok(match machine.etcd.holds(content.facts.revision, content.live_keys, &content.sample)? {
            // It was compared at rest.
            Comparison::Equal | Comparison::Compacted => Answer::Reached,
            Comparison::Differs(what) => Answer::Wrong(anyhow!(
                "the running K3s does not hold the content of the new database: {what}"
            )),
        })
    }
}

/// Why the etcd that answers is not the new one alone.
fn not_alone(status: &MemberStatus, prepared: &Prepared) -> Result<Option<anyhow::Error>> {
    let [member] = status.members.as_slice() else {
        return Ok(Some(anyhow!("the new etcd has {} members instead of one", status.members.len())));
    };
    // K3s gives every new member another name.
    let expected = prepared.member.as_deref().unwrap_or_default();
    anyhow::ensure!(
        member.name == expected,
        "the etcd that answers is '{}', not '{expected}'",
        member.name.escape_debug()
    );
    Ok(None)
}

/// Whether the member votes in a cluster of several.
fn joined(status: &MemberStatus) -> Result<Answer> {
    anyhow::ensure!(!status.learner, "the member is still a learner");
    anyhow::ensure!(status.has_leader(), "the member has no leader");
    Ok(match status.members.len() {
        0 | 1 => Answer::Wrong(anyhow!("K3s has started a cluster of its own instead of joining")),
        _ => Answer::Reached,
    })
}

/// The restored K3s whose API server is not ready in time.
pub(super) fn not_ready(tx: &Transaction, why: &str) -> anyhow::Error {
    Fault::new(
        Code::NotReady,
        format!(
            "{}: the datastore serves the data, but the API server is not ready yet: {why}",
            tx.state.operation.past_participle()
        ),
    )
    .hint(format!(
        "It may only need more time: check 'k3s kubectl get --raw /readyz' and 'journalctl -u {}'. The previous database is \
         kept as {}.",
        tx.state.unit, tx.state.old_name
    ))
    .into()
}
