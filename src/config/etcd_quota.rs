// SPDX-License-Identifier: Apache-2.0
//! The size limit of the etcd database: that of the configuration of K3s, else etcd's own.

use super::settings::Settings;

/// etcd's own default for the size of its database, in bytes.
const ETCD_QUOTA: u64 = 2 << 30;

impl Settings {
    /// The size limit of the etcd database in bytes.
    pub(crate) fn etcd_quota(&self) -> u64 {
        let args = self.flags.all("etcd-arg");
        let configured = args
            .iter()
            .rev()
            .find_map(|arg| arg.trim_start_matches('-').strip_prefix("quota-backend-bytes="));
        match configured.and_then(|bytes| bytes.trim().parse().ok()) {
            None | Some(0) => ETCD_QUOTA,
            Some(bytes) => bytes,
        }
    }
}
