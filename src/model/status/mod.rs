// SPDX-License-Identifier: Apache-2.0
//! The state of the backups of one server at one moment: facts with three outcomes, and the reasons to act that follow.

mod facts;
mod job;
mod location;
mod reason;
mod reasons;

pub use facts::{EtcdStatus, KitStatus, MemberFact, SqliteStatus, Status, Unknown};
pub use job::Job;
pub use location::{Counts, LocationStatus, Newest, PendingUploads, of_uploads, policy_rules};
pub use reason::{Reason, ReasonCode};
pub use reasons::{Limits, reasons};
