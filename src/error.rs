// SPDX-License-Identifier: Apache-2.0
//! What went wrong, in the terms of an exit code and a next step.
//!
//! Errors travel as `anyhow` with context along the path. Where the kind is known, a [`Fault`] is put into the
//! chain: it decides the exit code and carries the hint. New codes go here and into k3s-snapshot(7), nowhere else.

use std::fmt;

/// The class of a failure. Its exit code is part of the interface, see k3s-snapshot(7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something did not work: a system call, a server, a peer.
    Failed,
    /// The command line cannot be understood.
    Usage,
    /// A snapshot was kept, but not all that was asked for came true.
    Partial,
    /// There is no such snapshot.
    Missing,
    /// A restore failed and was rolled back: K3s is as it was before.
    RolledBack,
    /// Restored, but K3s is not ready.
    NotReady,
    /// A restore failed, and so did the way back: K3s is kept from starting.
    Stuck,
    /// A snapshot, or the database itself, is damaged.
    Corrupt,
    /// Another run holds the lock; try later.
    Busy,
    /// Refused: it could do harm, or it is not possible here.
    Refused,
    /// The configuration, or the machine as it is set up, does not allow it.
    Config,
}

impl Kind {
    /// Every kind, for tables and tests.
    pub const ALL: [Kind; 11] = [
        Kind::Failed,
        Kind::Usage,
        Kind::Partial,
        Kind::Missing,
        Kind::RolledBack,
        Kind::NotReady,
        Kind::Stuck,
        Kind::Corrupt,
        Kind::Busy,
        Kind::Refused,
        Kind::Config,
    ];

    /// The exit code of this kind.
    pub fn code(self) -> u8 {
        match self {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Partial => 3,
            Kind::Missing => 4,
            // Free of the names that systemd knows for exit codes below 10.
            Kind::RolledBack => 10,
            Kind::NotReady => 11,
            Kind::Stuck => 12,
            Kind::Corrupt => 65,
            Kind::Busy => 75,
            Kind::Refused => 77,
            Kind::Config => 78,
        }
    }

    /// The word for reports and the journal.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Partial => "partial",
            Kind::Missing => "missing",
            Kind::RolledBack => "rolled-back",
            Kind::NotReady => "not-ready",
            Kind::Stuck => "stuck",
            Kind::Corrupt => "corrupt",
            Kind::Busy => "busy",
            Kind::Refused => "refused",
            Kind::Config => "config",
        }
    }
}

/// A failure whose kind is known, with what to do next where there is something to do.
#[derive(Debug)]
pub struct Fault {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Fault {
    /// A fault with a message: lower case, the path or option in it, no full stop.
    pub fn new(kind: Kind, message: impl Into<String>) -> Fault {
        Fault { kind, message: message.into(), hint: None }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Adds the next step, a sentence for the operator.
    pub fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// The kind of an error: that of the outermost fault in the chain, [`Kind::Failed`] without one.
pub fn kind_of(error: &anyhow::Error) -> Kind {
    fault_in(error).map_or(Kind::Failed, |f| f.kind)
}

/// The outermost fault, also one that travelled as an error of reading.
fn fault_in(error: &anyhow::Error) -> Option<&Fault> {
    error.downcast_ref::<Fault>().or_else(|| {
        error.chain().find_map(|e| e.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<Fault>())
    })
}

/// The hint of an error, if it carries one.
pub fn hint_of(error: &anyhow::Error) -> Option<&str> {
    fault_in(error).and_then(|f| f.hint.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_fault_is_found_as_root_and_as_context_below_other_context() {
        let root = anyhow::Error::from(Fault::new(Kind::Busy, "locked").hint("wait")).context("saving");
        assert_eq!((kind_of(&root), hint_of(&root)), (Kind::Busy, Some("wait")));
        let io: std::io::Result<()> = Err(std::io::Error::other("eio"));
        let ctx = io.context(Fault::new(Kind::Config, "reading 'x'")).context("starting").unwrap_err();
        assert_eq!((kind_of(&ctx), hint_of(&ctx)), (Kind::Config, None));
        assert_eq!(format!("{ctx:#}"), "starting: reading 'x': eio");
        assert_eq!(kind_of(&anyhow::anyhow!("plain")), Kind::Failed);
    }

    #[test]
    fn exit_codes_are_distinct_and_as_documented() {
        let codes: Vec<u8> = Kind::ALL.iter().map(|k| k.code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 10, 11, 12, 65, 75, 77, 78]);
    }
}
