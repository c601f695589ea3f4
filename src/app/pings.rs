// SPDX-License-Identifier: Apache-2.0
//! The pings of a job and the report that is sent after it. A failure here is a warning and changes no exit code.

use std::thread::JoinHandle;

use super::context::Context;
use crate::model::command::Command;
use crate::model::ping::Signal;
use crate::model::report::Report;
use crate::model::s3_config::ProxyVariables;
use crate::model::secret::Secret;
use crate::model::warning::WarningCode;
use crate::output::{ping, render};

/// What is sent about one run.
pub(super) struct Pings {
    check: Option<Secret>,
    notify: Option<Secret>,
    proxies: ProxyVariables,
    /// The ping of the start, which must not delay the run.
    start: Option<JoinHandle<Result<(), String>>>,
}

impl Pings {
    /// Begins to send the ping of the start.
    pub(super) fn start(cx: &Context, command: Command, report: &mut Report) -> Pings {
        let s = cx.settings;
        let mut url = |url: anyhow::Result<Option<Secret>>, code, what: &str| {
            url.unwrap_or_else(|e| {
                report.warn(code, format!("{what} is not sent: {e:#}"));
                None
            })
        };
        let check = url(s.ping_url(command), WarningCode::PingFailed, "a ping");
        let notify = url(s.notify_url(), WarningCode::ReportNotSent, "the report");
        let proxies = s.proxy_variables();
        let start = check.clone().map(|check| {
            let proxies = proxies.clone();
            std::thread::spawn(move || ping::ping(&Signal::Start.url(&check), &proxies))
        });
        Pings { check, notify, proxies, start }
    }

    /// Sends the ping of the end, and then the report with the warnings about pings.
    pub(super) fn end(self, report: &mut Report) {
        let started = self.start.and_then(|thread| thread.join().ok());
        let signal = Signal::Exit(report.exit_code);
        let ended = self.check.map(|check| ping::ping(&signal.url(&check), &self.proxies));
        for (signal, sent) in [(Signal::Start, started), (signal, ended)] {
            if let Some(Err(reason)) = sent {
                let what = format!("pinging the check with {}: {reason}", signal.describe());
                report.warn(WarningCode::PingFailed, what);
            }
        }
        let Some(notify) = &self.notify else { return };
        if let Err(reason) = ping::post(notify, &self.proxies, &render::json(report)) {
            report.warn(WarningCode::ReportNotSent, format!("sending the report to its URL: {reason}"));
        }
    }
}
