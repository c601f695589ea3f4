// SPDX-License-Identifier: Apache-2.0
//! A snapshot of etcd that is kept open and not received, so that its pages stay unchanged in the database file.
//!
//! etcd sends a snapshot from a read transaction of bbolt, and bbolt never writes to a page that an open read transaction can
//! reach. etcd sends only as much as the windows of HTTP/2 allow. While the stream is not read, it waits in the middle of the
//! snapshot, and its transaction is open.

use anyhow::{Result, anyhow};
use etcd_client::{Client, SnapshotResponse, SnapshotStreaming};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::connection::{EtcdStream, STATUS_TIMEOUT, runtime};
use super::error::{self, describe};
use super::stream::finish;
use crate::error::Fault;
use crate::host::{Draft, Progress};
use crate::model::snapshot::Digest;
use crate::source::handshake::Handshake;
use crate::source::trailer_hasher::TrailerHasher;

/// The flow-control window of the stream in bytes: the default of HTTP/2, which every server supports.
const HTTP2_WINDOW: u32 = 65_535;
/// Bytes that are received before the transaction is used: the two meta pages, at the largest page size. etcd makes them for
/// this snapshot; the file does not have them.
const HEAD: u64 = 2 * 65_536;
/// Bytes that are received to confirm that the transaction is open. Without a reader, etcd can have sent a window, and can have
/// about 200 KiB more in its own buffers. The last of these bytes were therefore read from the database file after the
/// stream was read again.
const CONFIRMATION: u64 = 1 << 20;
/// A smaller snapshot could be in the windows and buffers as a whole, and its transaction closed.
const MIN_PINNED: u64 = 2 << 20;

/// An open snapshot of etcd.
pub(in crate::source) struct Pin<'a> {
    etcd: &'a EtcdStream,
    // Dropped before the runtime that serves it.
    stream: SnapshotStreaming,
    _client: Client,
    runtime: Runtime,
    handshake: Handshake,
    /// The first bytes of the snapshot.
    head: Vec<u8>,
    /// Bytes that etcd has not sent yet, the trailer not included.
    remaining: u64,
}

impl EtcdStream {
    /// Asks etcd what every method asks, then opens a snapshot. `ensure_space` is called once with the size of the database,
    /// before the snapshot is opened.
    ///
    /// # Errors
    /// Outside: no snapshot may be taken, whatever the method, or the error of `ensure_space`. Inside: etcd does not open a
    /// snapshot.
    pub(in crate::source) fn pin(
        &self,
        ensure_space: &dyn Fn(u64) -> Result<()>,
    ) -> Result<Result<Pin<'_>, Fault>> {
        let tls = self.tls()?;
        let runtime = runtime()?;
        let (mut client, handshake) = runtime.block_on(self.handshake(&tls, HTTP2_WINDOW))?;
        ensure_space(handshake.size)?;
        let opened = runtime.block_on(async { timeout(STATUS_TIMEOUT, client.snapshot()).await });
        let stream = match opened {
            Err(_) => return Ok(Err(error::no_answer(&handshake.endpoint, &self.unit))),
            Ok(Err(e)) => {
                return Ok(Err(error::broken(&handshake.endpoint, &self.unit, &describe(&e))));
            }
            Ok(Ok(stream)) => stream,
        };
        let mut pin =
            Pin { etcd: self, stream, _client: client, runtime, handshake, head: Vec::new(), remaining: 0 };
        Ok(pin.receive_head().map(|()| pin))
    }
}

impl Pin<'_> {
    /// Bytes of the database.
    pub(in crate::source) fn database_len(&self) -> u64 {
        self.head.len() as u64 + self.remaining
    }

    /// Whether etcd must still have the transaction open. If not, the snapshot can only be received.
    pub(in crate::source) fn is_pinned(&self) -> bool {
        self.database_len() >= MIN_PINNED
    }

    /// Runs `work` with the first bytes of the snapshot, which have both meta pages, while the connection is kept alive and the stream is not read.
    ///
    /// # Errors
    /// If `work` panics.
    pub(in crate::source) fn hold_during<T: Send>(&self, work: impl FnOnce(&[u8]) -> T + Send) -> Result<T> {
        let head = &self.head;
        let (done, wait) = oneshot::channel();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let _ = done.send(work(head));
            });
            let result = self.runtime.block_on(wait);
            thread.join().ok().and(result.ok()).ok_or_else(|| anyhow!("a copying thread died"))
        })
    }

    /// Confirms that the transaction was open until now: etcd continues to send the snapshot. Then ends the snapshot.
    ///
    /// # Errors
    /// The stream has ended: the pages of the file may have been changed in the meantime.
    pub(in crate::source) fn confirm(mut self) -> Result<Handshake, Fault> {
        let mut received = 0_u64;
        while received < CONFIRMATION {
            received += self.next_blob()?.len() as u64;
        }
        match self.remaining {
            0 => Err(self.broken("it was complete")),
            _ => Ok(self.handshake),
        }
    }

    /// Receives the whole snapshot into the draft. Returns its length and digest, with the trailer.
    ///
    /// # Errors
    /// If etcd does not send all of it, or the draft cannot be written.
    pub(in crate::source) fn receive(
        mut self,
        draft: &Draft,
        progress: &dyn Progress,
    ) -> Result<(u64, Digest, Handshake)> {
        let mut hasher = TrailerHasher::default();
        let mut blob = std::mem::take(&mut self.head);
        loop {
            hasher.update(&blob);
            draft.append(&blob)?;
            progress.advance(blob.len() as u64);
            match self.next_message()? {
                Some(message) => blob = message.blob().to_vec(),
                None => break,
            }
        }
        let (bytes, sha256) = finish(hasher, &self.handshake.endpoint, &self.etcd.unit)?;
        Ok((bytes, sha256, self.handshake))
    }

    fn receive_head(&mut self) -> Result<(), Fault> {
        while (self.head.len() as u64) < HEAD {
            let blob = self.next_blob()?;
            self.head.extend_from_slice(&blob);
            if self.remaining == 0 {
                // All but the trailer of a very small database.
                break;
            }
        }
        Ok(())
    }

    /// The next bytes of the database.
    fn next_blob(&mut self) -> Result<Vec<u8>, Fault> {
        match self.next_message()? {
            Some(message) => {
                self.remaining = message.remaining_bytes();
                Ok(message.blob().to_vec())
            }
            None => Err(self.broken("it ended")),
        }
    }

    fn next_message(&mut self) -> Result<Option<SnapshotResponse>, Fault> {
        let stall = self.etcd.stall;
        let stream = &mut self.stream;
        match self.runtime.block_on(async { timeout(stall, stream.message()).await }) {
            Err(_) => Err(error::stalled(&self.handshake.endpoint, stall)),
            Ok(Err(e)) => Err(self.broken(&describe(&e))),
            Ok(Ok(message)) => Ok(message),
        }
    }

    fn broken(&self, cause: &str) -> Fault {
        error::broken(&self.handshake.endpoint, &self.etcd.unit, cause)
    }
}
