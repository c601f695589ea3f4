// SPDX-License-Identifier: Apache-2.0
//! Times as text.

/// Seconds since the epoch as RFC 3339 in UTC, as K3s prints it.
pub fn rfc3339(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|s| jiff::Timestamp::from_second(s).ok())
        .map_or_else(|| seconds.to_string(), |t| t.to_string())
}
