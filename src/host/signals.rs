// SPDX-License-Identifier: Apache-2.0
//! The signals by which this process is asked to stop.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};

static STOP_REQUESTED: AtomicBool = AtomicBool::new(false);

/// From now on Ctrl-C, the stop of the service manager and a lost terminal are requests to stop at the next safe point, not
/// the end of the process. To be called before there is a second thread.
///
/// # Errors
/// If the kernel refuses.
pub fn listen() -> Result<()> {
    let signals: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    signals.thread_block().context("blocking signals")?;
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            while let Ok(signal) = signals.wait() {
                if STOP_REQUESTED.swap(true, SeqCst) {
                    log::warn!(
                        "{signal} again: already stopping; to end it now would leave the files half exchanged"
                    );
                } else {
                    log::warn!("{signal}: stopping at the next safe point");
                }
            }
        })
        .context("listening for signals")?;
    Ok(())
}

/// A write past the limit of the size of files (RLIMIT_FSIZE) becomes an error, and does not end the process. To be called
/// before there is a second thread.
pub fn block_file_size_signal() {
    let signals: SigSet = [Signal::SIGXFSZ].into_iter().collect();
    let _ = signals.thread_block();
}

/// Whether this process is root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Whether this process was asked to stop.
pub fn stop_requested() -> bool {
    STOP_REQUESTED.load(SeqCst)
}
