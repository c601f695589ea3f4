// SPDX-License-Identifier: Apache-2.0
//! A configuration file as K3s understands one: a mapping from option to text or list of texts, with line numbers.
//!
//! K3s turns every value into the text of a flag; so do we. A nested mapping is kept beside, as "not a value".

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// One key of the file.
pub struct YamlEntry {
    /// The key as written, with its `+` where it has one.
    pub key: String,
    /// The line it stands on.
    pub line: u64,
    /// Its texts; `None` where the value is not a text or a list of them.
    pub values: Option<Vec<String>>,
    /// The lines of its mapping, where the value is one.
    pub children: Option<Vec<YamlEntry>>,
}

/// Reads a file. The error names line and column, and quotes nothing of the text: it may hold a secret.
pub fn parse(text: &str) -> Result<Vec<YamlEntry>, String> {
    if text.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        return Ok(Vec::new());
    }
    let options = serde_saphyr::options! { duplicate_keys: serde_saphyr::DuplicateKeyPolicy::PassThrough };
    match serde_saphyr::from_str_with_options::<Option<File>>(first_document(text), options) {
        Ok(file) => Ok(file.map(|f| f.0).unwrap_or_default()),
        Err(e) => Err(match e.location() {
            Some(at) => {
                format!("line {}, column {}: not a mapping of options in YAML", at.line(), at.column())
            }
            None => "not a mapping of options in YAML".to_owned(),
        }),
    }
}

/// K3s reads the first document of a file and no other.
fn first_document(text: &str) -> &str {
    let mut at = 0;
    let mut begun = false;
    for line in text.split_inclusive('\n') {
        let marker = line.trim_end() == "---" || line.starts_with("--- ");
        if begun && marker {
            return text.get(..at).unwrap_or(text);
        }
        begun |= marker || !(line.trim().is_empty() || line.starts_with('#'));
        at += line.len();
    }
    text
}

struct File(Vec<YamlEntry>);

impl<'de> Deserialize<'de> for File {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<File, D::Error> {
        struct Lines;
        impl<'de> Visitor<'de> for Lines {
            type Value = File;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of options")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<File, A::Error> {
                lines(map).map(File)
            }
        }
        d.deserialize_map(Lines)
    }
}

fn lines<'de, A: MapAccess<'de>>(mut map: A) -> Result<Vec<YamlEntry>, A::Error> {
    let mut lines = Vec::new();
    while let Some(key) = map.next_key::<Spanned<String>>()? {
        let (values, below) = match map.next_value()? {
            Value::Mapping(below) => (None, Some(below)),
            value => (value.texts(), None),
        };
        lines.push(YamlEntry { line: key.referenced.line(), key: key.value, values, children: below });
    }
    Ok(lines)
}

enum Value {
    Null,
    Text(String),
    List(Vec<Value>),
    Mapping(Vec<YamlEntry>),
}

impl Value {
    fn texts(self) -> Option<Vec<String>> {
        match self {
            Value::Null => Some(vec![]),
            Value::Text(t) => Some(vec![t]),
            Value::List(list) => {
                list.into_iter().map(|v| if let Value::Text(t) = v { Some(t) } else { None }).collect()
            }
            Value::Mapping(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Value, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
                Ok(Value::Text(v.to_string()))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
                Ok(Value::Text(v.to_string()))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
                Ok(Value::Text(v.to_string()))
            }

            fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
                Ok(Value::Text(v.to_string()))
            }

            fn visit_str<E>(self, v: &str) -> Result<Value, E> {
                Ok(Value::Text(v.to_owned()))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
                d.deserialize_any(Any)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(v) = seq.next_element::<Value>()? {
                    list.push(v);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
                lines(map).map(Value::Mapping)
            }
        }
        d.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, u64, Option<Vec<String>>)> {
        parse(text).unwrap().into_iter().map(|l| (l.key, l.line, l.values)).collect()
    }

    #[test]
    fn values_become_the_text_of_a_flag() {
        let text = "# a comment\ndata-dir: /x\netcd-s3: true\nnum: 12\nver: \"1.30\"\nnode-label:\n  - a=b\n  - 5\nkubelet-arg+: [x]\nempty:\nnested:\n  a: 1\n";
        let row = |k: &str, l, v: Option<&[&str]>| {
            (k.to_owned(), l, v.map(|v| v.iter().map(|s| (*s).to_owned()).collect()))
        };
        assert_eq!(
            read(text),
            [
                row("data-dir", 2, Some(&["/x"])),
                row("etcd-s3", 3, Some(&["true"])),
                row("num", 4, Some(&["12"])),
                row("ver", 5, Some(&["1.30"])),
                row("node-label", 6, Some(&["a=b", "5"])),
                row("kubelet-arg+", 9, Some(&["x"])),
                row("empty", 10, Some(&[])),
                row("nested", 11, None),
            ]
        );
    }

    #[test]
    fn lines_of_a_mapping_below_an_option_are_told_too() {
        let all = parse("retention:\n  timer:\n    keep-daily: 7\n  empty: {}\n  no: 5\n").unwrap();
        let below = all[0].children.as_ref().unwrap();
        let shown: Vec<_> =
            below.iter().map(|l| (l.key.as_str(), l.line, l.children.as_ref().map(Vec::len))).collect();
        assert_eq!(shown, [("timer", 2, Some(1)), ("empty", 4, Some(0)), ("no", 5, None)]);
        let line = &below[0].children.as_ref().unwrap()[0];
        assert_eq!(
            (line.key.as_str(), line.line, line.values.as_deref()),
            ("keep-daily", 3, Some(&["7".to_owned()][..]))
        );
    }

    #[test]
    fn what_k3s_takes_is_taken() {
        let row = |k: &str, l, v: &str| (k.to_owned(), l, Some(vec![v.to_owned()]));
        assert_eq!(read("tls-san: a\ntls-san: b\n"), [row("tls-san", 1, "a"), row("tls-san", 2, "b")]);
        assert_eq!(read("# x\n---\na: b\n---\n- c\n"), [row("a", 3, "b")]);
        assert_eq!(read("a: b\n---\nc: d\n"), [row("a", 1, "b")]);
    }

    #[test]
    fn empty_files_say_nothing_and_broken_ones_name_the_place_without_the_text() {
        for empty in ["", "\n", "# only a comment\n", "---\n"] {
            assert!(read(empty).is_empty(), "{empty:?}");
        }
        for bad in
            ["- a list\n", "just-a-word\n", "a: b: c\ntoken: geheim\n", "token: 'geheim\n", "a: [geheim\n"]
        {
            let said = parse(bad).err().unwrap_or_default();
            assert!(said.contains("YAML"), "{bad:?} gave {said:?}");
            assert!(!said.contains("geheim"), "{said}");
        }
    }
}
