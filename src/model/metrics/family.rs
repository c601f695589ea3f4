// SPDX-License-Identifier: Apache-2.0
//! The table of metrics. A new metric is a row here and a row in docs/monitoring.md; a test compares the two.
//!
//! Names follow the conventions of Prometheus: base units, a unit at the end, no label without bound. All are gauges: a
//! job is a process of its own and counts nothing from run to run.

/// A metric: its samples differ in their labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is, in one sentence.
    pub help: &'static str,
}

/// A value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its metric.
    pub family: Family,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

impl Family {
    /// A sample without labels.
    pub(super) fn value(self, value: f64) -> Sample {
        Sample { family: self, labels: vec![], value }
    }

    /// A sample with labels.
    pub(super) fn labeled(self, labels: &[(&'static str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        Sample { family: self, labels, value }
    }
}

macro_rules! families {
    ($($id:ident $name:literal $help:literal)*) => {
        $(#[doc = $help] pub(super) const $id: Family = Family { name: $name, help: $help };)*
        /// Every metric, in the order of the files.
        pub const FAMILIES: &[Family] = &[$($id),*];
    };
}

families! {
    LAST_RUN "k3s_snapshot_last_run_timestamp_seconds" "When the last run of the command ended."
    LAST_SUCCESS "k3s_snapshot_last_success_timestamp_seconds" "When the last run of the command that exited with 0 ended."
    EXIT_CODE "k3s_snapshot_last_run_exit_code" "Exit code of the last run of the command."
    DURATION "k3s_snapshot_last_run_duration_seconds" "Duration of the last run of the command."
    PHASE "k3s_snapshot_last_run_phase_duration_seconds" "Duration of each phase of the last run of the command."
    WRITTEN "k3s_snapshot_last_run_written_bytes" "Size of the snapshots that the last run of the command saved or uploaded."
    BUCKET "k3s_snapshot_bucket_snapshots" "Number of snapshots that the last prune has left in the bucket, by state."
    SKIPPED "k3s_snapshot_skipped" "Whether the last job was skipped, because this machine has nothing to save; then the value is 1."
    BUILD "k3s_snapshot_build_info" "Version of k3s-snapshot; the value is always 1."
    WRITTEN_AT "k3s_snapshot_state_timestamp_seconds" "When the state was written."
    NEWEST "k3s_snapshot_newest_verified_timestamp_seconds" "Time of the newest snapshot that is verified and current; for S3 of those that this server has uploaded."
    NEWEST_REVISION "k3s_snapshot_newest_verified_revision" "Revision of etcd in that snapshot."
    NEWEST_SIZE "k3s_snapshot_newest_verified_size_bytes" "Size of that snapshot."
    IS_CURRENT "k3s_snapshot_newest_is_current" "Whether the last saved snapshot has all that the cluster had acknowledged."
    SNAPSHOTS "k3s_snapshot_snapshots" "Number of snapshots in the snapshot directory, by state."
    MAX_AGE "k3s_snapshot_max_age_seconds" "Greatest age of the newest verified snapshot, as configured."
    UPLOADS "k3s_snapshot_uploads_enabled" "Whether snapshots are to be uploaded."
    PENDING "k3s_snapshot_pending_uploads" "Number of pending uploads."
    OLDEST_PENDING "k3s_snapshot_oldest_pending_upload_timestamp_seconds" "Time of the oldest snapshot whose upload is pending."
    DB_SIZE "k3s_snapshot_etcd_database_size_bytes" "Size of the database file of etcd."
    DB_QUOTA "k3s_snapshot_etcd_database_quota_bytes" "Size limit of the database of etcd."
    FREE "k3s_snapshot_directory_free_bytes" "Free space in the file system of the snapshot directory."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus_and_are_unique() {
        let mut names: Vec<&str> = FAMILIES.iter().map(|f| f.name).collect();
        for name in &names {
            assert!(name.starts_with("k3s_snapshot_"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
            assert!(!["_total", "_count", "_sum", "_bucket"].iter().any(|end| name.ends_with(end)), "{name}");
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(FAMILIES.iter().all(|f| f.help.ends_with('.') && !f.help.contains(['\n', '\\'])));
    }
}
