// SPDX-License-Identifier: Apache-2.0
//! What a restore needs of the machine, behind traits.

use std::time::Duration;

use anyhow::Result;

use super::ports::Listener;
use super::progress::Progress;
use super::readyz::Ready;
use super::server_files::Scratch;
use crate::model::secret::Secret;

/// K3s's own program, as far as a restore needs it.
pub trait K3s {
    /// The first line of `k3s --version`.
    ///
    /// # Errors
    /// If it cannot be run, or does not answer within 10 s.
    fn version(&self) -> Result<String>;

    /// Runs the cluster reset of K3s aside, in the scratch directory: on the pinned snapshot, else on the database that was
    /// copied there. Returns when it has ended.
    ///
    /// # Errors
    /// If it cannot be started, had to be ended because it made no progress, or the process was asked to stop.
    fn reset_aside(
        &self,
        scratch: &Scratch,
        from_snapshot: bool,
        progress: &dyn Progress,
    ) -> Result<ResetOutcome>;

    /// Starts K3s aside on the rehearsal copy of the scratch directory and waits until its API server is ready; then ends it.
    /// False if this server runs no API server that could be asked.
    ///
    /// # Errors
    /// If it ends by itself, or is not ready within `limit`.
    fn rehearse(&self, scratch: &Scratch, limit: Duration, progress: &dyn Progress) -> Result<bool>;

    /// Whether the live API server is ready.
    fn ready(&self) -> Ready;
}

/// The rest of the machine.
pub trait Host: Send + Sync {
    /// The processes that listen on one of these ports.
    ///
    /// # Errors
    /// If the kernel does not tell.
    fn listeners(&self, ports: &[u16]) -> Result<Vec<Listener>>;
    /// Whether this process was asked to stop.
    fn stop_requested(&self) -> bool;
    /// Every address of this machine, without loopback; that of the default route first.
    fn addresses(&self) -> Vec<String>;
    /// Bytes of memory that are available without swapping.
    fn available_memory(&self) -> u64;
    /// A random number other than 0.
    ///
    /// # Errors
    /// If the kernel gives none.
    fn random_id(&self) -> Result<u64>;
}

/// A server that K3s is to join.
pub trait JoinServer {
    /// Its URL.
    fn url(&self) -> &str;

    /// The hash of its certificate authority, to compare it with another server.
    ///
    /// # Errors
    /// If it does not answer.
    fn authority(&self) -> Result<String>;

    /// Whether a token may name its certificate authority by this hash: that of the whole file, or, if it is a chain, that of
    /// one of its certificates. From then on only this authority is trusted.
    ///
    /// # Errors
    /// If it does not answer.
    fn has_authority(&self, hash: &str) -> Result<bool>;

    /// Whether it accepts the password of this token. It is asked over a connection that the trusted authority vouches for.
    ///
    /// # Errors
    /// If it does not answer, or no authority is trusted yet: a password is not sent to a server that is not verified.
    fn lets_in(&self, token: &Secret) -> Result<bool>;

    /// The names of the etcd members in its cluster, asked in the same way; empty for a member that has not started yet.
    /// Without a quorum it knows only its own.
    ///
    /// # Errors
    /// If it does not answer, or is of a version that does not tell.
    fn members(&self, token: &Secret) -> Result<Vec<String>>;
}

/// How the reset of K3s ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetOutcome {
    /// Whether its exit code was 0. K3s has been seen to exit with 0 after a failure.
    pub success: bool,
    /// The exit code or the signal, in words.
    pub how: String,
    /// Its first fatal message, else its last message.
    pub reason: String,
    /// Whether it printed that the reset succeeded.
    pub confirmed: bool,
}
