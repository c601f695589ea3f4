// SPDX-License-Identifier: Apache-2.0
//! Where no restore of ours is proven: the refusal, with the distribution's own steps in words that can be typed.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::config::settings::Settings;
use crate::error::{Code, Fault};

/// Fails, with what to do instead, where the distribution is restored by hand. `target` is the snapshot that was named.
pub(super) fn refuse(s: &Settings, target: Option<&str>) -> Result<()> {
    let (name, steps) = (s.distribution.name, s.distribution.by_hand);
    if steps.is_empty() {
        return Ok(());
    }
    let snapshot = match target {
        Some(path) if path.contains('/') => PathBuf::from(path),
        Some(file) if file != "latest" => s.dir.join(file),
        _ => s.dir.join("NAME"),
    };
    let (snapshot, data_dir) = (typed(&snapshot), typed(&s.data_dir));
    let said =
        steps.iter().map(|step| step.replace("{snapshot}", &snapshot).replace("{data-dir}", &data_dir));
    let first = format!("These are {name}'s own commands, which no test of this program has run:");
    let hint: Vec<String> = std::iter::once(first).chain(said).collect();
    Err(Fault::new(
        Code::DistributionUnsupported,
        format!("{name} is not restored by this program; nothing was touched"),
    )
    .hint(hint.join("\n"))
    .into())
}

/// A path as a shell takes it.
fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,%=".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_where_a_shell_would_read_more_into_them() {
        for (path, want) in [
            ("/var/lib/x/a-1.zip", "/var/lib/x/a-1.zip"),
            ("/a b", "'/a b'"),
            ("/a'; reboot '", r"'/a'\''; reboot '\'''"),
            ("/$(x)", "'/$(x)'"),
        ] {
            assert_eq!(typed(Path::new(path)), want);
        }
    }
}
