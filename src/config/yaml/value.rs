// SPDX-License-Identifier: Apache-2.0
//! The values of a configuration file, and the text that K3s makes of each: K3s turns every value into the value of a flag.
//!
//! K3s prints with `fmt.Sprint` and cuts white space off both ends (`convert.ToString` of rancher/wrangler).

/// One key of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct YamlEntry {
    /// The key, with its `+` if it has one.
    pub(crate) key: String,
    /// The line of the key.
    pub(crate) line: u64,
    /// The value.
    pub(crate) value: YamlValue,
}

/// A value of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum YamlValue {
    /// Null, or nothing.
    Null,
    /// A text.
    Text(String),
    /// A boolean or a number.
    Typed {
        /// As Go prints it.
        printed: String,
        /// As the file has it.
        written: String,
    },
    /// A list.
    List(Vec<YamlValue>),
    /// A mapping; its keys are values too.
    Mapping(Vec<(YamlValue, YamlEntry)>),
}

impl YamlValue {
    /// The text that K3s takes: of a list its first element, without white space at both ends.
    pub(crate) fn text(&self) -> String {
        let one = match self {
            YamlValue::List(list) => list.first(),
            other => Some(other),
        };
        match one {
            None | Some(YamlValue::Null) => String::new(),
            Some(value) => value.printed().trim().to_owned(),
        }
    }

    /// The values of the flags that K3s makes of it: none for an empty list.
    pub(crate) fn flag_values(&self) -> Vec<String> {
        match self {
            YamlValue::List(list) => list.iter().map(YamlValue::text).collect(),
            one => vec![one.text()],
        }
    }

    /// As [`YamlValue::flag_values`], but `None` if a value is not a text, a number or a boolean.
    pub(crate) fn plain_values(&self) -> Option<Vec<String>> {
        let is_plain = |value: &YamlValue| !matches!(value, YamlValue::List(_) | YamlValue::Mapping(_));
        match self {
            YamlValue::List(list) if list.iter().all(is_plain) => Some(self.flag_values()),
            one if is_plain(one) => Some(self.flag_values()),
            _ => None,
        }
    }

    /// The entries of a mapping.
    pub(crate) fn children(&self) -> Option<Vec<&YamlEntry>> {
        match self {
            YamlValue::Mapping(entries) => Some(entries.iter().map(|(_, entry)| entry).collect()),
            _ => None,
        }
    }

    /// Adds a value, as K3s does for a key that ends in `+`.
    pub(crate) fn append(self, more: YamlValue) -> YamlValue {
        let mut list = self.into_list();
        list.extend(more.into_list());
        YamlValue::List(list)
    }

    fn into_list(self) -> Vec<YamlValue> {
        match self {
            YamlValue::List(list) => list,
            YamlValue::Text(_) => vec![self],
            other => match other.text() {
                text if text.is_empty() => Vec::new(),
                _ => vec![other],
            },
        }
    }

    /// A number whose text is not what the file has: `0755` is 493. Both texts, the one of the file first.
    pub(crate) fn changed_number(&self) -> Option<(&str, &str)> {
        match self {
            YamlValue::Typed { printed, written }
                if printed != "true" && printed != "false" && printed != written =>
            {
                Some((written, printed))
            }
            YamlValue::List(list) => list.iter().find_map(YamlValue::changed_number),
            _ => None,
        }
    }

    /// As `fmt.Sprint` of Go prints it.
    fn printed(&self) -> String {
        match self {
            YamlValue::Null => "<nil>".to_owned(),
            YamlValue::Text(text) => text.clone(),
            YamlValue::Typed { printed, .. } => printed.clone(),
            YamlValue::List(list) => {
                format!("[{}]", list.iter().map(YamlValue::printed).collect::<Vec<_>>().join(" "))
            }
            YamlValue::Mapping(entries) => {
                let items = entries
                    .iter()
                    .map(|(key, entry)| format!("{{{} {}}}", key.printed(), entry.value.printed()));
                format!("[{}]", items.collect::<Vec<_>>().join(" "))
            }
        }
    }
}
