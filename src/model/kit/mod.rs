// SPDX-License-Identifier: Apache-2.0
//! Recovery kits: what a new machine needs and a snapshot lacks.

mod content;
mod name;
mod needed;
mod record;
mod report;

pub(crate) use content::{
    KIT_VERSION, Kit, KitFacts, KitFile, KitFlag, KitNode, KitTokens, KitUnit, KitVariable, KitVersions,
    ParseError,
};
pub use name::KitName;
pub(crate) use needed::unneeded;
pub use needed::{KitNeeds, StoredKit};
pub(crate) use record::{KitVerification, SealedKit};
pub use report::{KitReport, KitSummary};

#[cfg(test)]
pub(crate) use content::tests;
