// SPDX-License-Identifier: Apache-2.0
//! Our configuration file. It is read as K3s reads its own, but an unknown key is an error.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::files::read_yaml;
use super::layer::{BaseOptions, Layer, OptionValue, Origin};
use super::options::{self, OPTIONS, OptionId, OptionSpec, ValueKind};
use super::retention;
use super::yaml::YamlEntry;
use crate::error::{Code, Fault};
use crate::model::name::check_part;
use crate::model::warning::{Warning, WarningCode};

/// Adds the options of one file.
///
/// # Errors
/// If the file cannot be read, or has an unknown key or a value of a wrong form.
pub(super) fn read(layer: &mut Layer, file: &Path, warnings: &mut Vec<Warning>) -> Result<()> {
    for entry in read_yaml(file)? {
        let (spelling, appends) = match entry.key.strip_suffix('+') {
            Some(spelling) => (spelling, true),
            None => (entry.key.as_str(), false),
        };
        if entry.key == retention::OF_BASES {
            let Some(bases) = entry.value.children() else { return Err(not_a_mapping(file, &entry)) };
            for base in bases {
                layer.set_base(base.key.clone(), for_base(file, base)?);
            }
            continue;
        }
        let Some(option) = options::find(spelling) else {
            let known = OPTIONS.iter().filter(|o| o.is_ours).map(|o| o.name).chain([retention::OF_BASES]);
            return Err(unknown_key(file, &entry, &known.collect::<Vec<_>>()));
        };
        warn_of_number(warnings, file, &entry, Some(option));
        let values = strings(file, &entry, option)?;
        if appends {
            layer.append(option.id, values, origin(file, &entry));
        } else {
            layer.set(option.id, values, origin(file, &entry));
        }
    }
    Ok(())
}

/// Warns of a number without quotes that is meant as a text and that K3s reads as another text: `token: 0755` is 493.
pub(super) fn warn_of_number(
    warnings: &mut Vec<Warning>,
    file: &Path,
    entry: &YamlEntry,
    option: Option<&'static OptionSpec>,
) {
    let Some(option) =
        option.filter(|o| matches!(o.kind, ValueKind::Text | ValueKind::File | ValueKind::Directory))
    else {
        return;
    };
    let Some((written, read)) = entry.value.changed_number() else { return };
    let (name, place) = (option.name, format!("'{}', line {}", file.display(), entry.line));
    let message = match option.is_secret {
        true => format!(
            "option '{name}' in {place} is a number, so it is not read as it is written: put it in quotes"
        ),
        false => {
            format!("option '{name}' in {place}: the number {written} is read as {read}: put it in quotes")
        }
    };
    warnings.push(Warning { code: WarningCode::NumberNotQuoted, message });
}

fn origin(file: &Path, entry: &YamlEntry) -> Origin {
    Origin::File(file.display().to_string(), entry.line)
}

/// The retention options of one base.
fn for_base(file: &Path, base: &YamlEntry) -> Result<BaseOptions> {
    check_part(&base.key).map_err(|reason| {
        let place = format!("'{}', line {}", file.display(), base.line);
        Fault::new(Code::ConfigInvalid, format!("the base '{}' in {place} {reason}", base.key.escape_debug()))
    })?;
    let Some(entries) = base.value.children() else { return Err(not_a_mapping(file, base)) };
    let mut all = BTreeMap::new();
    for entry in entries {
        let option = options::find(&entry.key).filter(|o| retention::OPTIONS_OF_BASES.contains(&o.id));
        let Some(option) = option else {
            return Err(unknown_key(file, entry, &retention::OPTIONS_OF_BASES.map(OptionId::name)));
        };
        all.insert(
            option.id,
            OptionValue { values: strings(file, entry, option)?, origin: origin(file, entry) },
        );
    }
    Ok(all)
}

fn not_a_mapping(file: &Path, entry: &YamlEntry) -> anyhow::Error {
    let (key, line) = (entry.key.escape_debug(), entry.line);
    Fault::new(Code::ConfigInvalid, format!("'{key}' in '{}', line {line}, is not a mapping", file.display()))
        .hint(
            "Write the bases of names below 'retention:', and the options of each base below it; see \
             k3s-snapshot.conf(5).",
        )
        .into()
}

fn unknown_key(file: &Path, entry: &YamlEntry, known: &[&str]) -> anyhow::Error {
    let key = entry.key.strip_suffix('+').unwrap_or(&entry.key).escape_debug();
    let message = format!("unknown option '{key}' in '{}', line {}", file.display(), entry.line);
    let hint = format!("Use one of: {}. See k3s-snapshot.conf(5).", known.join(", "));
    Fault::new(Code::ConfigInvalid, message).hint(hint).into()
}

fn strings(file: &Path, entry: &YamlEntry, option: &OptionSpec) -> Result<Vec<String>> {
    entry.value.plain_values().ok_or_else(|| {
        let place = format!("'{}', line {}", file.display(), entry.line);
        Fault::new(Code::ConfigInvalid, format!("option '{}' in {place}, is not a text", option.name)).into()
    })
}
