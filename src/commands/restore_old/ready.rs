// SPDX-License-Identifier: Apache-2.0
//! The last step: the API server is ready, and stays so.

use std::time::Instant;

use anyhow::Result;

use super::walk::{Walk, ms};
use super::{told, until};
use crate::error::{Code, Fault};
use crate::host::{Active, Ready};

impl Walk<'_> {
    /// Nothing is undone any more: the nodes act on the restored state.
    pub(super) fn ready(&mut self) -> Result<()> {
        let mut last = Ready::NoAnswer("it was not asked".to_owned());
        let begun = Instant::now();
        self.machine.progress.step("waiting until the API server is ready", None);
        let mut asked = false;
        // Since when the same process has been ready: one that ends right after is started anew for ever.
        let mut since: Option<(u32, Instant)> = None;
        let ready = until(self.req.ready_timeout, self.req.poll, self.machine.progress, || {
            asked = (self.machine.asked)();
            last = self.machine.k3s.ready();
            let unit = self.machine.service.unit().ok().filter(|u| u.active == Active::Active);
            since = match (unit, &last) {
                (Some(unit), Ready::Yes) => {
                    let same = since.filter(|(pid, _)| *pid == unit.main_pid);
                    Some(same.unwrap_or((unit.main_pid, Instant::now())))
                }
                _ => None,
            };
            asked || since.is_some_and(|(_, at)| at.elapsed() >= self.req.steady)
        }) && !asked;
        let until_ready = since.map_or(begun.elapsed(), |(_, at)| at.duration_since(begun));
        self.k3s += until_ready;
        self.times(since.map(|(_, at)| at));
        told(self.report).step("wait-ready", if ready { "done" } else { "failed" }, Some(ms(until_ready)));
        self.machine.site.forget()?;
        if ready {
            return Ok(());
        }
        let why = match last {
            _ if asked => "asked to stop waiting".to_owned(),
            Ready::No(status, line) => format!("it answers {status}: {line}"),
            Ready::NoAnswer(why) => why,
            Ready::Yes => "it does not stay so, or systemd does not call its unit active".to_owned(),
        };
        Err(Fault::new(
            Code::NotReady,
            format!("{}: etcd serves; but the API server is not ready: {why}", self.record.operation.past()),
        )
        .hint(format!(
            "It may only need longer: look with 'k3s kubectl get --raw /readyz' and 'journalctl -u {}'. The old database is \
             kept as etcd-old-<time>.",
            self.record.unit
        ))
        .into())
    }
}
