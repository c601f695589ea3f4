// SPDX-License-Identifier: Apache-2.0
//! The method `stream`: etcd sends the snapshot.

use std::time::Duration;

use anyhow::Result;
use tokio::time::timeout;
use tonic::transport::ClientTlsConfig;

use super::connection::{EtcdStream, HTTP2_WINDOW, STATUS_TIMEOUT, runtime};
use super::error::{self, describe};
use crate::error::{Code, Fault};
use crate::host::{Draft, Progress, sleep_exactly};
use crate::model::method::Method;
use crate::model::snapshot::Digest;
use crate::source::pace::Pace;
use crate::source::trailer_hasher::{StreamError, TrailerHasher};
use crate::source::{CaptureOutcome, Captured, Source};

/// A rest that does not delay the connection.
const SHORT: Duration = Duration::from_millis(10);

impl Source for EtcdStream {
    fn fill(
        &self,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<CaptureOutcome> {
        let tls = self.tls()?;
        runtime()?.block_on(self.receive(tls, draft, ensure_space, progress)).map(CaptureOutcome::Captured)
    }

    fn method(&self) -> Method {
        Method::Stream
    }
}

impl EtcdStream {
    async fn receive(
        &self,
        tls: ClientTlsConfig,
        draft: &Draft,
        ensure_space: &dyn Fn(u64) -> Result<()>,
        progress: &dyn Progress,
    ) -> Result<Captured> {
        progress.step("asking etcd", None);
        let (mut client, handshake) = self.handshake(&tls, HTTP2_WINDOW).await?;
        let endpoint = handshake.endpoint.as_str();
        ensure_space(handshake.size)?;
        progress.step("receiving the snapshot", Some(handshake.size));
        let mut stream = timeout(STATUS_TIMEOUT, client.snapshot())
            .await
            .map_err(|_| self.no_answer(endpoint))?
            .map_err(|e| self.explain(endpoint, &e))?;
        let mut hasher = TrailerHasher::default();
        let mut pace = Pace::of_open_snapshot(self.rate_limit, handshake.size);
        loop {
            let message = timeout(self.stall, stream.message())
                .await
                .map_err(|_| error::stalled(endpoint, self.stall))?
                .map_err(|e| error::broken(endpoint, &self.unit, &describe(&e)))?;
            let Some(message) = message else { break };
            let blob = message.blob();
            hasher.update(blob);
            draft.append(blob)?;
            progress.advance(blob.len() as u64);
            let delay = pace.delay(blob.len() as u64);
            if delay <= SHORT {
                // Nothing else runs in this thread, and a timer would wake it by system calls.
                sleep_exactly(delay);
            } else {
                tokio::time::sleep(delay).await;
            }
            if pace.is_sync_due() {
                draft.sync()?;
            }
        }
        let (bytes, sha256) = finish(hasher, endpoint, &self.unit)?;
        Ok(Captured::online(bytes, Some(sha256), handshake, Method::Stream))
    }
}

/// Length and digest of a stream that has ended.
///
/// # Errors
/// If it ended too early, or its trailer is not its checksum.
pub(super) fn finish(hasher: TrailerHasher, endpoint: &str, unit: &str) -> Result<(u64, Digest), Fault> {
    hasher.finish().map_err(|e| match e {
        StreamError::Short(n) => {
            error::broken(endpoint, unit, &format!("it ended after {n} bytes, without its checksum"))
        }
        StreamError::Checksum => Fault::new(
            Code::EtcdChecksumMismatch,
            format!("the snapshot that etcd at {endpoint} sent does not match its own checksum"),
        )
        .hint("Nothing was kept. Try again; if the error persists, check the memory and the disk of that server."),
    })
}
