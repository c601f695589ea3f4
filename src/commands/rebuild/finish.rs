// SPDX-License-Identifier: Apache-2.0
//! Finishes a rebuild whose data was restored before it was interrupted: K3s must become ready.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::error::{Code, Fault};
use crate::host::{Active, Host, K3s, Progress, Ready, UnitControl};

/// What is waited for.
pub(crate) struct FinishRequest<'a> {
    /// The K3s unit.
    pub(crate) unit: &'a dyn UnitControl,
    /// The K3s program.
    pub(crate) k3s: &'a dyn K3s,
    /// The machine.
    pub(crate) host: &'a dyn Host,
    /// Receives the progress.
    pub(crate) progress: &'a dyn Progress,
    /// The longest wait.
    pub(crate) limit: Duration,
    /// Between two looks.
    pub(crate) poll: Duration,
    /// Since when its log is read: seconds since the epoch.
    pub(crate) since: u64,
}

/// Starts K3s if it is down, and waits until its API server is ready.
///
/// # Errors
/// [`Code::NotReady`].
pub(crate) fn finish(req: &FinishRequest) -> Result<()> {
    req.progress.step("waiting for K3s to become ready", None);
    req.unit.start_if_down()?;
    let started = Instant::now();
    loop {
        let ready = req.k3s.ready();
        let unit = req.unit.unit()?;
        if matches!(ready, Ready::Yes) && unit.active == Active::Active {
            return Ok(());
        }
        if req.host.stop_requested() {
            return Err(Fault::new(Code::Stopped, "asked to stop; the rebuild is not done yet").into());
        }
        if started.elapsed() >= req.limit {
            let why = req.unit.fatal_message(req.since).unwrap_or_else(|| ready.describe());
            return Err(Fault::new(
                Code::NotReady,
                format!("the data is restored, but the API server is not ready: {why}"),
            )
            .hint(format!(
                "Check K3s with 'journalctl -u {}', then run 'k3s-snapshot rebuild' again.",
                unit.name
            ))
            .into());
        }
        req.progress.advance(0);
        std::thread::sleep(req.poll);
    }
}
