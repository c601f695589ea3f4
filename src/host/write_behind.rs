// SPDX-License-Identifier: Apache-2.0
//! Writes a large draft to the disk while it grows.
//!
//! The disk works while the rest is read. It never gets the whole draft at once, which would delay the syncs of etcd.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::{Result, anyhow};

use super::Draft;

/// Bytes between two syncs.
const STEP: u64 = 32 << 20;

/// A thread that syncs a draft.
pub(crate) struct WriteBehind<'scope> {
    draft: &'scope Draft,
    /// `None` if the draft need not reach the disk.
    thread: Option<(SyncSender<()>, ScopedJoinHandle<'scope, io::Result<()>>)>,
    written: AtomicU64,
}

impl<'scope> WriteBehind<'scope> {
    /// Starts the thread, unless the draft is never published.
    pub(crate) fn start(scope: &'scope Scope<'scope, '_>, draft: &'scope Draft) -> WriteBehind<'scope> {
        let thread = (!draft.is_temporary()).then(|| {
            let (wake, woken) = sync_channel(1);
            let thread = scope.spawn(move || woken.iter().try_for_each(|()| draft.file().sync_data()));
            (wake, thread)
        });
        WriteBehind { draft, thread, written: AtomicU64::new(0) }
    }

    /// Counts bytes that were appended to the draft.
    pub(crate) fn wrote(&self, bytes: u64) {
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if let Some((wake, _)) = &self.thread
            && before / STEP < before.saturating_add(bytes) / STEP
        {
            // Fails if the thread has more to do, or has failed: `finish` reports that.
            let _ = wake.try_send(());
        }
    }

    /// Ends the thread.
    ///
    /// # Errors
    ///
    /// If the draft could not be written. The kernel reports this once, so a later sync could succeed.
    pub(crate) fn finish(self) -> Result<()> {
        let Some((wake, thread)) = self.thread else { return Ok(()) };
        drop(wake);
        let synced = thread.join().map_err(|_| anyhow!("the syncing thread failed"))?;
        synced.map_err(|e| self.draft.write_error(e))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;

    use super::*;

    /// Whether a draft with this file could be written behind, a step at a time.
    fn outcome(draft: &Draft) -> (bool, Result<()>) {
        std::thread::scope(|scope| {
            let behind = WriteBehind::start(scope, draft);
            for _ in 0..3 {
                (&mut &*draft).write_all(b"x").unwrap();
                behind.wrote(STEP - 1);
                behind.wrote(1);
            }
            (behind.thread.is_some(), behind.finish())
        })
    }

    #[test]
    fn a_draft_is_synced_while_it_grows_an_error_is_reported_and_a_temporary_draft_is_not_synced() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::new(dir.path()).unwrap();
        assert!(matches!(outcome(&draft), (true, Ok(()))));
        assert!(matches!(outcome(&Draft::new(dir.path()).unwrap().temporary()), (false, Ok(()))));
        // Its file cannot be synced.
        let (_, pipe) = std::io::pipe().unwrap();
        let draft = draft.with_file(File::from(std::os::fd::OwnedFd::from(pipe)));
        std::thread::scope(|scope| {
            let behind = WriteBehind::start(scope, &draft);
            behind.wrote(STEP);
            assert!(behind.finish().is_err());
        });
    }
}
