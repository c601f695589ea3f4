// SPDX-License-Identifier: Apache-2.0
//! Decisions and their reasons: a stable word for JSON, and plain text for people.

use std::fmt;

use super::policy::Rule;

/// Why a file is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// A rule of the policy, applied to all snapshots of the group.
    Rule(Rule),
    /// A rule of the policy, applied to the verified snapshots of the group alone.
    RuleOfVerified(Rule),
    /// The policy keeps everything.
    All,
    /// It is the newest verified snapshot of its group.
    NewestVerified,
    /// It is the newest snapshot of a group without a verified one.
    NewestUnverified,
    /// It has the highest revision of its group. Names are made from the clock, revisions are not.
    HighestRevision,
    /// It is dated in the future.
    FutureDate,
    /// The times of the group have a gap, so nothing is removed by its age.
    ClockJump,
    /// The key revisions of the group dropped by more than half.
    KeyRevisionsDropped,
    /// It confirms the level after such a drop.
    NewBaseline,
    /// It is corrupt or incomplete, and no newer snapshot is verified.
    NoNewerVerified,
    /// It is incomplete, and was written to within the last day.
    RecentlyWritten,
    /// It is incomplete, and a process has it open.
    InUse,
    /// It is of another cluster.
    OtherCluster,
    /// Its cluster is not known.
    UnknownCluster,
    /// It is not known which cluster this server is of.
    OwnClusterUnknown,
}

/// Why a file is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remove {
    /// No rule keeps it.
    NoRule,
    /// It is corrupt, and a newer snapshot is verified.
    Corrupt,
    /// An interrupted save left it.
    Leftover,
}

/// Why a file was not selected. It is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmatched {
    /// It has another name.
    OtherName,
    /// It is a scheduled snapshot of K3s, whose base was not named.
    ScheduledByK3s,
    /// It is of another node.
    OtherNode,
    /// Several nodes use the location, and it is not known which one it is of.
    UnknownOwner,
    /// It is not a snapshot.
    Foreign,
}

/// What happens to one file, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is kept, for at least one reason.
    Keep(Vec<Keep>),
    /// It is deleted.
    Remove(Remove),
    /// It was not selected, and is kept.
    Unmatched(Unmatched),
}

impl Decision {
    /// The word of the action; `None` if it was not selected.
    pub fn as_str(&self) -> Option<&'static str> {
        match self {
            Decision::Keep(_) => Some("keep"),
            Decision::Remove(_) => Some("remove"),
            Decision::Unmatched(_) => None,
        }
    }

    /// The stable words of the reasons.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Decision::Keep(all) => all.iter().map(|keep| keep.as_str()).collect(),
            Decision::Remove(remove) => vec![remove.as_str()],
            Decision::Unmatched(unmatched) => vec![unmatched.as_str()],
        }
    }

    /// The reasons in plain text.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Decision::Keep(all) => all.iter().map(ToString::to_string).collect(),
            Decision::Remove(remove) => vec![remove.to_string()],
            Decision::Unmatched(unmatched) => vec![unmatched.to_string()],
        }
    }
}

impl Keep {
    /// The stable word for reports. A rule has the name of its option.
    pub fn as_str(self) -> &'static str {
        match self {
            Keep::Rule(rule) => rule.as_str(),
            Keep::RuleOfVerified(rule) => match rule {
                Rule::Last => "keep-last-verified",
                Rule::Hourly => "keep-hourly-verified",
                Rule::Daily => "keep-daily-verified",
                Rule::Weekly => "keep-weekly-verified",
                Rule::Monthly => "keep-monthly-verified",
                Rule::Yearly => "keep-yearly-verified",
                Rule::Within => "keep-within-verified",
            },
            Keep::All => "keep-all",
            Keep::NewestVerified => "newest-verified",
            Keep::NewestUnverified => "newest-unverified",
            Keep::HighestRevision => "highest-revision",
            Keep::FutureDate => "future-date",
            Keep::ClockJump => "clock-jump",
            Keep::KeyRevisionsDropped => "key-revisions-dropped",
            Keep::NewBaseline => "new-baseline",
            Keep::NoNewerVerified => "no-newer-verified",
            Keep::RecentlyWritten => "recently-written",
            Keep::InUse => "in-use",
            Keep::OtherCluster => "other-cluster",
            Keep::UnknownCluster => "unknown-cluster",
            Keep::OwnClusterUnknown => "own-cluster-unknown",
        }
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Keep::Rule(rule) => rule.as_str(),
            Keep::RuleOfVerified(rule) => return write!(f, "{} of the verified", rule.as_str()),
            Keep::All => "the policy keeps all",
            Keep::NewestVerified => "newest verified",
            Keep::NewestUnverified => "newest, none is verified",
            Keep::HighestRevision => "highest revision",
            Keep::FutureDate => "dated in the future",
            Keep::ClockJump => "gap in the snapshot times",
            Keep::KeyRevisionsDropped => "key revisions dropped",
            Keep::NewBaseline => "new baseline of the key revisions",
            Keep::NoNewerVerified => "no newer one is verified",
            Keep::RecentlyWritten => "written to within a day",
            Keep::InUse => "in use",
            Keep::OtherCluster => "of another cluster",
            Keep::UnknownCluster => "of an unknown cluster",
            Keep::OwnClusterUnknown => "the cluster of this server is not known",
        })
    }
}

impl Remove {
    /// The stable word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Remove::NoRule => "no-rule",
            Remove::Corrupt => "corrupt",
            Remove::Leftover => "leftover",
        }
    }
}

impl fmt::Display for Remove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Remove::NoRule => "no rule keeps it",
            Remove::Corrupt => "corrupt, and a newer one is verified",
            Remove::Leftover => "left by an interrupted save",
        })
    }
}

impl Unmatched {
    /// The stable word for reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Unmatched::OtherName => "other-name",
            Unmatched::ScheduledByK3s => "scheduled-by-k3s",
            Unmatched::OtherNode => "other-node",
            Unmatched::UnknownOwner => "unknown-owner",
            Unmatched::Foreign => "foreign",
        }
    }
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unmatched::OtherName => "not selected",
            Unmatched::ScheduledByK3s => "not selected: scheduled by K3s, select it with --name",
            Unmatched::OtherNode => "not selected: of another node",
            Unmatched::UnknownOwner => "not selected: its node is not known",
            Unmatched::Foreign => "not a snapshot",
        })
    }
}
