// SPDX-License-Identifier: Apache-2.0
//! Small helpers that every layer may use.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Seconds by which two clocks may differ. More than that is treated as a wrong clock.
pub(crate) const MAX_CLOCK_SKEW: u64 = 300;

/// Seconds of a day.
pub(crate) const DAY: u64 = 86_400;

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// One word as a shell takes it.
pub(crate) fn shell_quote(text: &str) -> String {
    // A NUL byte cannot be in an argument at all; without it every text can be quoted.
    let text = text.replace('\0', "");
    shlex::try_quote(&text).map_or_else(|_| String::new(), |quoted| quoted.into_owned())
}

/// A field of `fstab` or `mountinfo`, byte by byte: a blank is `\040`, and so on.
pub(crate) fn mount_field(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let octal = behind.get(..3).and_then(|d| std::str::from_utf8(d).ok());
        match octal.filter(|_| *first == b'\\').and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = behind.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_if_a_shell_would_read_more_into_them() {
        for (text, word) in [
            ("/var/lib/x/a-1.zip", "/var/lib/x/a-1.zip"),
            ("/a b", "'/a b'"),
            ("/$(x)", "'/$(x)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_quote(text), word);
        }
        let hostile = "/a'; reboot '";
        assert_eq!(shlex::split(&shell_quote(hostile)).unwrap(), [hostile]);
    }

    #[test]
    fn hex_has_two_digits_per_byte() {
        assert_eq!(hex([0u8, 0xab]), "00ab");
    }

    #[test]
    fn an_escaped_field_of_a_mount_table_is_read_byte_by_byte() {
        assert_eq!(mount_field(r"a\134b\"), PathBuf::from(r"a\b\"));
        assert_eq!(mount_field(r"/mnt/my\040nas"), PathBuf::from("/mnt/my nas"));
        assert_eq!(mount_field("/mnt/ü"), PathBuf::from("/mnt/ü"));
    }
}
