// SPDX-License-Identifier: Apache-2.0
//! The text of status: one screen.

use super::escape::printable;
use super::table::table;
use crate::model::status::{Job, KitStatus, LocationStatus, MemberFact, Newest, Status};
use crate::model::time::rfc3339;

/// The screen.
pub(super) fn text(status: &Status) -> String {
    let mut rows: Vec<[String; 2]> = Vec::new();
    let mut row = |name: &str, value: String| rows.push([format!("{name}:"), printable(&value)]);
    if let Some(local) = &status.local {
        row("Newest here", newest(local.newest.as_ref()));
        row("Stored here", stored(local));
    }
    if let Some(s3) = &status.s3 {
        let recorded = if s3.counts.is_none() { " (as recorded here; not listed)" } else { "" };
        row("Newest in S3", newest(s3.newest.as_ref()) + recorded);
        row("Stored in S3", stored(s3));
    }
    if let Some(pending) = &status.pending_uploads {
        let since = pending.oldest.as_ref().map(|at| format!(", the oldest of {at}")).unwrap_or_default();
        row("Pending uploads", format!("{}{since}", pending.count));
    }
    if let Some(etcd) = &status.etcd {
        let percent = etcd.db_bytes.saturating_mul(100).checked_div(etcd.quota_bytes).unwrap_or_default();
        let alarms = if etcd.alarms.is_empty() { String::new() } else { etcd.alarms.join(", ") + " alarm, " };
        let (size, limit) = (size(etcd.db_bytes), size(etcd.quota_bytes));
        row("etcd", format!("{alarms}revision {}, {size} of {limit} ({percent} %)", etcd.revision));
    }
    if let Some(members) = status.etcd.as_ref().map(|etcd| &etcd.members).filter(|all| !all.is_empty()) {
        row("Members", members.iter().map(member).collect::<Vec<_>>().join(", "));
    }
    if let Some(sqlite) = &status.sqlite {
        row("SQLite", format!("revision {}, {}", sqlite.revision, size(sqlite.db_bytes)));
    }
    if let Some(free) = status.free_bytes {
        row("Free space", size(free));
    }
    if let Some(kit) = &status.kit {
        row("Recovery kit", recovery_kit(kit));
    }
    for one in &status.jobs {
        row(&format!("Job {}", one.short_name()), job(one));
    }
    let stage = status.interrupted_restore.as_ref().map(|stage| format!("interrupted ({stage})"));
    row("Restore", stage.unwrap_or_else(|| "no interrupted restore".to_owned()));
    row("Schedule of K3s", status.k3s_schedule.clone().unwrap_or_else(|| "off".to_owned()));
    for unknown in &status.unknown {
        // A restore that could not be seen is not absent.
        rows.retain(|[name, _]| unknown.fact != "restore" || name != "Restore:");
        rows.retain(|[name, _]| {
            unknown.fact != "settings" || !["Restore:", "Schedule of K3s:"].contains(&&**name)
        });
        rows.push(["Not visible:".to_owned(), printable(&format!("{}: {}", unknown.fact, unknown.reason))]);
    }
    for reason in &status.reasons {
        let text = format!("{} [{}]", reason.message, reason.code.as_str());
        rows.push(["Reason to act:".to_owned(), printable(&text)]);
    }
    table(&rows.into_iter().map(Vec::from).collect::<Vec<_>>())
}

fn recovery_kit(kit: &KitStatus) -> String {
    let Some(name) = &kit.name else { return "none".to_owned() };
    match &kit.verified_at {
        Some(at) => format!("{name}, verified {at}"),
        None => format!("{name}, not verified"),
    }
}

fn newest(newest: Option<&Newest>) -> String {
    let Some(newest) = newest else { return "no verified snapshot".to_owned() };
    let revision = match (newest.revision, newest.behind) {
        (Some(revision), Some(behind)) => {
            format!(", revision {revision}, {behind} before that of the datastore")
        }
        (Some(revision), None) => format!(", revision {revision}"),
        (None, _) => String::new(),
    };
    format!("{}, {} old{revision}", newest.name, duration(newest.age_s))
}

fn stored(location: &LocationStatus) -> String {
    let counts = location.counts.iter().flat_map(|counts| counts.rows());
    let counts: Vec<String> =
        counts.filter(|(_, n)| *n > 0).map(|(state, n)| format!("{n} {}", state.as_str())).collect();
    let counts = match location.counts {
        None => "unknown".to_owned(),
        Some(_) if counts.is_empty() => "nothing".to_owned(),
        Some(_) => counts.join(", "),
    };
    match location.keeps.is_empty() {
        true => counts,
        false => format!("{counts}; retention: {}", location.keeps.join(", ")),
    }
}

fn job(job: &Job) -> String {
    let last = match (job.running, &job.result, &job.finished_at) {
        (true, ..) => "runs now".to_owned(),
        (_, Some(result), Some(at)) => {
            let code = job.exit_code.filter(|code| *code != 0).map(|code| format!(" {code}"));
            format!("{result}{} at {}", code.unwrap_or_default(), rfc3339(*at))
        }
        _ => "has not run since the boot".to_owned(),
    };
    let next = match (job.timer_active, job.next_run) {
        (true, Some(at)) => format!("next run {}", rfc3339(at)),
        (true, None) => "the timer has no next run".to_owned(),
        (false, _) => "the timer is not active".to_owned(),
    };
    format!("{last}; {next}")
}

/// A duration for people, in one unit.
fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    match bytes / MIB {
        0 => format!("{bytes} bytes"),
        mib @ 1..1024 => format!("{mib} MiB"),
        mib => format!("{}.{} GiB", mib / 1024, mib % 1024 * 10 / 1024),
    }
}

/// A member of etcd in a few words: `server-1-1a2b3c4d (here, leader)`.
fn member(member: &MemberFact) -> String {
    let name = if member.name.is_empty() { "not started" } else { &member.name };
    let roles = [(member.here, "here"), (member.leader, "leader"), (member.learner, "learner")];
    let roles: Vec<&str> = roles.iter().filter(|(is, _)| *is).map(|(_, role)| *role).collect();
    if roles.is_empty() { name.to_owned() } else { format!("{name} ({})", roles.join(", ")) }
}
