// SPDX-License-Identifier: Apache-2.0
//! The names of the files of etcd's write-ahead log, and their order.

use super::wal::corrupt;

/// The names of log files among the names in a directory, in order. Other names are ignored, as etcd ignores them: the
/// directory also has preallocated files.
///
/// # Errors
///
/// `database-corrupt` if there is no log file, if a number is missing, or if two files have the same number.
pub(super) fn in_order(names: impl Iterator<Item = String>) -> anyhow::Result<Vec<String>> {
    let mut files: Vec<(u64, String)> =
        names.filter_map(|name| sequence(&name).map(|sequence| (sequence, name))).collect();
    files.sort();
    let mut before: Option<u64> = None;
    for (sequence, name) in &files {
        if before.is_some_and(|before| before.checked_add(1) != Some(*sequence)) {
            return Err(corrupt(format!(
                "the number of '{name}' does not follow the number of the file before"
            )));
        }
        before = Some(*sequence);
    }
    if files.is_empty() {
        return Err(corrupt("there is no file".into()));
    }
    Ok(files.into_iter().map(|(_, name)| name).collect())
}

/// The number of a file named `SEQUENCE-INDEX.wal`, both of 16 hexadecimal digits.
fn sequence(name: &str) -> Option<u64> {
    let (sequence, index) = name.strip_suffix(".wal")?.split_once('-')?;
    let hex = |text: &str| {
        let digits = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
    };
    hex(index).and_then(|_| hex(sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_files_are_sorted_and_a_gap_is_an_error() {
        let name = |sequence: u64| format!("{sequence:016x}-{:016x}.wal", sequence.wrapping_mul(1000));
        let others = ["0.tmp", "x.wal", "0000000000000009-0000000000000001.wal.broken", "0-1.wal", "-.wal"];
        let all = |numbers: &[u64]| {
            in_order(numbers.iter().map(|n| name(*n)).chain(others.iter().map(|o| (*o).to_owned())))
        };
        assert_eq!(all(&[11, 9, 10]).unwrap(), [name(9), name(10), name(11)]);
        assert_eq!(all(&[u64::MAX]).unwrap(), [name(u64::MAX)]);
        for wrong in [&[][..], &[0, 2], &[1, 1]] {
            assert!(all(wrong).is_err(), "{wrong:?}");
        }
    }
}
