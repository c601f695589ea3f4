// SPDX-License-Identifier: Apache-2.0
//! The configuration of K3s as it will be: the files of a recovery kit and those of the new machine, merged by the rules of K3s.

use crate::config::unit::long_name;
use crate::config::yaml::{YamlEntry, YamlValue};

/// One configuration file of K3s.
pub(super) struct Source {
    /// Whether it is of the kit, and not of the new machine alone.
    pub(super) from_kit: bool,
    /// Its keys.
    pub(super) entries: Vec<YamlEntry>,
}

/// A key, as all files together set it.
#[derive(Debug)]
pub(super) struct Key {
    /// As it is spelled, without `+`.
    pub(super) name: String,
    value: YamlValue,
    /// Whether a part of the value is of the kit.
    pub(super) from_kit: bool,
}

impl Key {
    /// The long name of the flag.
    pub(super) fn flag(&self) -> &str {
        long_name(&self.name)
    }

    /// The values of the flag; none if the key sets nothing.
    pub(super) fn values(&self) -> Vec<String> {
        self.value.flag_values()
    }
}

/// Merges files in the order in which K3s reads them.
pub(super) fn merge(sources: Vec<Source>) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for Source { from_kit, entries } in sources {
        for entry in entries {
            let (name, appends) = match entry.key.strip_suffix('+') {
                Some(name) => (name.to_owned(), true),
                None => (entry.key, false),
            };
            match keys.iter_mut().find(|key| key.name == name) {
                Some(key) if appends => {
                    let before = std::mem::replace(&mut key.value, YamlValue::Null);
                    key.value = before.append(entry.value);
                    key.from_kit |= from_kit;
                }
                Some(key) => (key.value, key.from_kit) = (entry.value, from_kit),
                None => keys.push(Key { name, value: entry.value, from_kit }),
            }
        }
    }
    keys
}
