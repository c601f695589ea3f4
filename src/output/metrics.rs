// SPDX-License-Identifier: Apache-2.0
//! Metrics in the text format of Prometheus, for the textfile collector of node_exporter.

use std::fmt::Write as _;

use crate::model::metrics::{FAMILIES, Sample};

/// The text: for each metric that has a sample its help, its type and its samples.
pub fn text(samples: &[Sample]) -> String {
    let mut out = String::new();
    for family in FAMILIES {
        let mut first = true;
        for sample in samples.iter().filter(|sample| sample.family == *family) {
            if first {
                let _ = writeln!(out, "# HELP {} {}\n# TYPE {} gauge", family.name, family.help, family.name);
                first = false;
            }
            let _ = writeln!(out, "{}{} {}", family.name, labels(sample), sample.value);
        }
    }
    out
}

fn labels(sample: &Sample) -> String {
    if sample.labels.is_empty() {
        return String::new();
    }
    let escaped = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let all: Vec<String> =
        sample.labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
    format!("{{{}}}", all.join(","))
}

/// The first value of a metric in a text of this format; `None` if it has none.
pub fn value(text: &str, name: &str) -> Option<f64> {
    let line =
        text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_help_and_type_once_and_is_read_back() {
        let [first, second] = [FAMILIES[0], FAMILIES[1]];
        let sample =
            |family, label: &str, value| Sample { family, labels: vec![("command", label.into())], value };
        let all =
            [sample(second, "x", 2.5), sample(first, "save", 1_795_335_110.0), sample(first, "a\"\\\n", 0.0)];
        let text = text(&all);
        assert_eq!(text.matches("# HELP").count(), 2);
        assert!(text.contains(&format!("{}{{command=\"save\"}} 1795335110\n", first.name)), "{text}");
        assert!(text.contains("{command=\"a\\\"\\\\\\n\"} 0\n"), "{text}");
        assert_eq!(value(&text, first.name), Some(1_795_335_110.0));
        assert_eq!(value(&text, second.name), Some(2.5));
        assert_eq!(value(&text, "k3s_snapshot_last"), None);
    }
}
