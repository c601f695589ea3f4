// SPDX-License-Identifier: Apache-2.0
//! The values of a layer by their types. A value that cannot be used is an error with the option, the value and its origin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use super::layer::{Layer, Origin};
use super::options::OptionId;
use super::paths::{K3sOpens, PathRules, openable};
use super::yaml::go_int;
use crate::error::{Code, Fault};

impl Layer {
    /// The text of an option.
    pub(super) fn get_str(&self, id: OptionId) -> Option<&str> {
        self.effective(id).map(|(text, _)| text)
    }

    /// The text of an option as a value of its own.
    pub(super) fn text(&self, id: OptionId) -> Option<String> {
        self.get_str(id).map(str::to_owned)
    }

    /// A boolean; false if the option is not set.
    ///
    /// # Errors
    /// If the text is neither true nor false.
    pub(super) fn bool(&self, id: OptionId) -> Result<bool> {
        let Some(text) = self.get_str(id) else { return Ok(false) };
        parse_bool(text).ok_or_else(|| self.invalid_value(id, "is not true or false"))
    }

    /// A port.
    ///
    /// # Errors
    /// If the text is not a number from 1 to 65535.
    pub(super) fn port(&self, id: OptionId) -> Result<u16> {
        self.get_str(id)
            .and_then(parse_port)
            .ok_or_else(|| self.invalid_value(id, "is not a port from 1 to 65535"))
    }

    /// A number of snapshots or of days. K3s keeps all snapshots if its number is negative, as with 0.
    ///
    /// # Errors
    /// If the text is not such a number.
    pub(super) fn count(&self, id: OptionId) -> Result<Option<u32>> {
        let Some((text, origin)) = self.effective(id) else { return Ok(None) };
        let number = match origin.is_from_k3s() {
            true => go_int(text).map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX)),
            false => text.parse().ok(),
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(self.invalid_value(id, "is not a number from 0 to 4294967295")),
        }
    }

    /// A duration.
    ///
    /// # Errors
    /// If the text is not a duration longer than zero.
    pub(super) fn duration(&self, id: OptionId) -> Result<Option<Duration>> {
        let Some(text) = self.get_str(id) else { return Ok(None) };
        match parse_duration(text) {
            Some(duration) => Ok(Some(duration)),
            None => {
                Err(self
                    .invalid_value(id, "is not a duration like 30s, 90m, 25h, 7d or 1h30m, longer than zero"))
            }
        }
    }

    /// A path as the machine has it, links not followed. `text` is a value of the option, or a part of it.
    ///
    /// # Errors
    /// If the working directory does not exist.
    pub(super) fn machine_path(&self, rules: &PathRules, id: OptionId, text: &str) -> Result<PathBuf> {
        let opens = match id {
            OptionId::DataDir | OptionId::TokenFile => K3sOpens::AtStart,
            _ => K3sOpens::Later,
        };
        let from_k3s = self.effective(id).is_some_and(|(_, origin)| origin.is_from_k3s());
        rules.machine_path(Path::new(text), from_k3s.then_some(opens))
    }

    /// The same path as a process of this machine can open it.
    ///
    /// # Errors
    /// If the working directory does not exist, or more than 40 links follow one another.
    pub(super) fn file_path(&self, rules: &PathRules, id: OptionId, text: &str) -> Result<PathBuf> {
        openable(&rules.root, &self.machine_path(rules, id, text)?)
    }

    /// The path that an option has; empty if it is not set.
    ///
    /// # Errors
    /// As [`Layer::file_path`].
    pub(super) fn path(&self, rules: &PathRules, id: OptionId) -> Result<PathBuf> {
        self.get_str(id).map_or_else(|| Ok(PathBuf::new()), |text| self.file_path(rules, id, text))
    }

    /// The error for a value that cannot be used. `reason` completes the sentence "option 'x' (value 'y', origin) ...".
    pub(super) fn invalid_value(&self, id: OptionId, reason: &str) -> anyhow::Error {
        let name = id.name();
        let Some((text, origin)) = self.effective(id) else {
            return Fault::new(Code::InvalidSetting, format!("option '{name}' {reason}")).into();
        };
        let fault = Fault::new(
            Code::InvalidSetting,
            match origin {
                // A secret may be in the wrong place.
                Origin::Secret(_) => format!("option '{name}' (value hidden, {origin}) {reason}"),
                _ => format!("option '{name}' (value '{}', {origin}) {reason}", text.escape_debug()),
            },
        )
        .of_kind(origin.error_kind());
        match id {
            OptionId::NodeName => fault.hint("Set a name with --node-name."),
            _ => fault,
        }
        .into()
    }
}

/// A boolean as K3s reads it (`strconv.ParseBool` of Go), and the other words of YAML 1.1.
pub(in crate::config) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "yes" | "on" => Some(true),
        "0" | "f" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A port as K3s reads it.
pub(super) fn parse_port(text: &str) -> Option<u16> {
    go_int(text).and_then(|n| u16::try_from(n).ok()).filter(|port| *port > 0)
}

/// A duration: those of Go (`1h30m`), and days and weeks in addition. A day has 24 hours. `None` for zero, for a negative
/// duration and for months and years, whose length varies.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let span: jiff::Span = text.parse().ok()?;
    let relative = jiff::SpanRelativeTo::days_are_24_hours();
    Duration::try_from(span.to_duration(relative).ok()?).ok().filter(|d| !d.is_zero())
}

/// Whether Go reads a text as a duration (`time.ParseDuration`), which has no days.
pub(super) fn is_go_duration(text: &str) -> bool {
    const UNITS: [&str; 8] = ["ns", "us", "\u{b5}s", "\u{3bc}s", "ms", "s", "m", "h"];
    let mut rest = text.strip_prefix(['+', '-']).unwrap_or(text);
    if rest == "0" {
        return true;
    }
    loop {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number);
        let is_number = number.contains(|c: char| c.is_ascii_digit()) && number.matches('.').count() <= 1;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        if !is_number || !UNITS.contains(&unit) {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go_and_days_and_weeks() {
        for (text, milliseconds) in [
            ("30s", 30_000),
            ("10m", 600_000),
            ("90m", 5_400_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("5m0s", 300_000),
            ("1.5h", 5_400_000),
            ("300ms", 300),
            ("25h", 90_000_000),
            ("7d", 604_800_000),
            ("1w", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["0", "+0", "0s", "-5m", "1h30m", "1.5h", ".5s", "1.s", "300ms", "2\u{b5}s", "1h1h"] {
            assert!(is_go_duration(text), "{text}");
        }
        for text in ["", "-", "5", "7d", "1w", "1 h", "s", ".s", "1.2.3s", "1hour", "1h 5m", "1H", "1h5"] {
            assert!(!is_go_duration(text), "{text}");
        }
        for text in ["", "0s", "-5m", "5", "soon", "1mo", "1y"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_of_k3s_may_be_negative_and_in_any_base_of_go() {
        let count = |text: &str, origin: Origin| {
            let mut layer = Layer::default();
            layer.set(OptionId::SnapshotRetention, vec![text.to_owned()], origin);
            layer.count(OptionId::SnapshotRetention).ok().flatten()
        };
        let k3s = || Origin::K3s("/c.yaml".to_owned(), 1);
        let ours = || Origin::File("/o.yaml".to_owned(), 1);
        for (text, of_k3s, of_ours) in [
            ("5", Some(5), Some(5)),
            ("0", Some(0), Some(0)),
            ("-1", Some(0), None),
            ("0x10", Some(16), None),
            ("010", Some(8), Some(10)),
            ("many", None, None),
            ("99999999999", Some(u32::MAX), None),
        ] {
            assert_eq!((count(text, k3s()), count(text, ours())), (of_k3s, of_ours), "{text}");
        }
    }
}
