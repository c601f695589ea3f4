// SPDX-License-Identifier: Apache-2.0
//! The first document of a file as a mapping of values. K3s reads no other document, and no merge key (`<<`).

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use super::scalar;
use super::value::{YamlEntry, YamlValue};

/// The limit of values that are nested in one another.
const MAX_DEPTH: usize = 100;
/// The limit of values in a file, each use of an alias counted again.
const MAX_VALUES: usize = 100_000;
/// The namespace of the tags that are written with `!!`.
const YAML_TAGS: &str = "tag:yaml.org,2002:";

/// Reads a file.
///
/// # Errors
/// If the text is not a mapping in YAML. The error has line and column and no part of the text, which may be secret.
pub(crate) fn parse(text: &str) -> Result<Vec<YamlEntry>, String> {
    let mut text = Cow::Borrowed(text);
    // Each repair reads the text again, so there is a limit.
    for _ in 0..MAX_REPAIRS {
        match parse_once(&text) {
            Err(Problem { scan: Some(e), .. }) if let Some(repaired) = repair(&text, &e) => {
                text = Cow::Owned(repaired);
            }
            result => return result.map_err(|problem| problem.message()),
        }
    }
    Err(NOT_A_MAPPING.to_owned())
}

fn parse_once(text: &str) -> Result<Vec<YamlEntry>, Problem> {
    let mut reader = Reader::new(text);
    match reader.document()? {
        YamlValue::Null => Ok(Vec::new()),
        YamlValue::Mapping(entries) => Ok(entries.into_iter().map(|(_, entry)| entry).collect()),
        _ => Err(Problem { line: reader.first.0, column: reader.first.1, scan: None }),
    }
}

/// The parser reads YAML 1.2. What K3s accepts beyond that is made acceptable: a comment directly after a quote or a bracket,
/// and an escaped single quote in double quotes.
fn repair(text: &str, e: &ScanError) -> Option<String> {
    let at = e.marker().byte_offset()?;
    let (before, after) = text.split_at_checked(at)?;
    match e.kind() {
        ErrorKind::CommentNotSeparated if after.starts_with('#') => Some(format!("{before} {after}")),
        ErrorKind::UnknownQuotedScalarEscape if after.starts_with('"') => {
            let mut escaped = false;
            let position = after.char_indices().skip(1).find(|(_, c)| {
                let found = escaped && *c == '\'';
                escaped = !escaped && *c == '\\';
                found
            });
            let (quote, _) = position?;
            Some(format!("{before}{}{}", after.get(..quote - 1)?, after.get(quote..)?))
        }
        _ => None,
    }
}

const NOT_A_MAPPING: &str = "not a mapping of options in YAML";
/// The limit of repairs of one text.
const MAX_REPAIRS: usize = 1000;

/// Where a file cannot be read.
struct Problem {
    line: usize,
    column: usize,
    /// The error of the parser, if it found the problem.
    scan: Option<Box<ScanError>>,
}

impl Problem {
    fn message(&self) -> String {
        format!("line {}, column {}: {NOT_A_MAPPING}", self.line, self.column)
    }
}

impl From<ScanError> for Problem {
    fn from(e: ScanError) -> Problem {
        Problem { line: e.marker().line(), column: e.marker().col() + 1, scan: Some(Box::new(e)) }
    }
}

/// Builds values from the events of the parser.
struct Reader<'a> {
    events: Box<dyn Iterator<Item = Result<(Event<'a>, Span), ScanError>> + 'a>,
    anchors: HashMap<usize, YamlValue>,
    /// The values built so far, aliases included.
    count: usize,
    /// Where the last event is.
    line: usize,
    column: usize,
    /// Where the first value is.
    first: (usize, usize),
}

/// A value with what its parent has to know: whether it can be the key `<<`.
struct Node {
    value: YamlValue,
    is_merge_key: bool,
    line: u64,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        let options = granit_parser::options! { emit_comments: false };
        Reader {
            events: Box::new(Parser::new_from_str_with_options(text, options)),
            anchors: HashMap::new(),
            count: 0,
            line: 1,
            column: 1,
            first: (1, 1),
        }
    }

    fn next(&mut self) -> Result<Event<'a>, Problem> {
        let Some(next) = self.events.next() else { return Err(self.problem()) };
        let (event, span) = next?;
        (self.line, self.column) = (span.start.line(), span.start.col() + 1);
        Ok(event)
    }

    /// The problem is the last event.
    fn problem(&self) -> Problem {
        Problem { line: self.line, column: self.column, scan: None }
    }

    /// The value of the first document; null if there is none.
    fn document(&mut self) -> Result<YamlValue, Problem> {
        loop {
            match self.next()? {
                Event::StreamStart => {}
                Event::DocumentStart(..) => break,
                Event::StreamEnd => return Ok(YamlValue::Null),
                _ => return Err(self.problem()),
            }
        }
        let event = self.next()?;
        self.first = (self.line, self.column);
        if matches!(event, Event::DocumentEnd) {
            return Ok(YamlValue::Null);
        }
        let node = self.node(event, 0)?;
        match self.next()? {
            Event::DocumentEnd => Ok(node.value),
            _ => Err(self.problem()),
        }
    }

    fn node(&mut self, event: Event<'a>, depth: usize) -> Result<Node, Problem> {
        let line = u64::try_from(self.line).unwrap_or(u64::MAX);
        self.count += 1;
        if depth > MAX_DEPTH || self.count > MAX_VALUES {
            return Err(self.problem());
        }
        let (value, anchor, is_merge_key) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let untagged = matches!(style, ScalarStyle::Plain) && tag.is_none();
                let is_merge_key = text == "<<" && (untagged || tag.as_deref().is_some_and(is_merge_tag));
                (
                    scalar_value(&text, style, tag.as_deref()).ok_or_else(|| self.problem())?,
                    anchor,
                    is_merge_key,
                )
            }
            Event::SequenceStart(_, anchor, _) => (YamlValue::List(self.list(depth)?), anchor, false),
            Event::MappingStart(_, anchor, _) => (YamlValue::Mapping(self.mapping(depth)?), anchor, false),
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned().ok_or_else(|| self.problem())?;
                self.count += size(&value);
                (value, 0, false)
            }
            _ => return Err(self.problem()),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(Node { value, is_merge_key, line })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<YamlValue>, Problem> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(list),
                event => list.push(self.node(event, depth + 1)?.value),
            }
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Vec<(YamlValue, YamlEntry)>, Problem> {
        let mut entries = Vec::new();
        loop {
            let key = match self.next()? {
                Event::MappingEnd => return Ok(entries),
                event => self.node(event, depth + 1)?,
            };
            let event = self.next()?;
            let value = self.node(event, depth + 1)?.value;
            if !key.is_merge_key {
                let entry = YamlEntry { key: key.value.text(), line: key.line, value };
                entries.push((key.value, entry));
            } else if !is_mergeable(&value) {
                return Err(self.problem());
            }
        }
    }
}

/// Whether the key `<<` can have this value: a mapping, or a list of mappings.
fn is_mergeable(value: &YamlValue) -> bool {
    match value {
        YamlValue::Mapping(_) => true,
        YamlValue::List(list) => list.iter().all(|one| matches!(one, YamlValue::Mapping(_))),
        _ => false,
    }
}

fn is_merge_tag(tag: &Tag) -> bool {
    yaml_tag(tag).as_deref() == Some("merge")
}

/// The name of a tag of YAML itself, without `!!`.
fn yaml_tag(tag: &Tag) -> Option<String> {
    tag.suffix_in_namespace(YAML_TAGS).map(|name| name.into_owned())
}

/// `None` if the text cannot be what the tag requires.
fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Option<YamlValue> {
    let as_text = || Some(YamlValue::Text(text.to_owned()));
    let Some(tag) = tag else {
        return match style {
            ScalarStyle::Plain => Some(scalar::resolve(text)),
            _ => as_text(),
        };
    };
    match yaml_tag(tag).as_deref() {
        Some(tag @ ("null" | "bool" | "int" | "float")) => scalar::resolve_as(tag, text),
        Some("binary") => {
            let base64: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
            let bytes = STANDARD.decode(base64).ok()?;
            Some(YamlValue::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        _ => as_text(),
    }
}

/// The number of values in a value.
fn size(value: &YamlValue) -> usize {
    match value {
        YamlValue::List(list) => 1 + list.iter().map(size).sum::<usize>(),
        YamlValue::Mapping(entries) => {
            1 + entries.iter().map(|(key, entry)| size(key) + size(&entry.value)).sum::<usize>()
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, u64, Vec<String>)> {
        parse(text).unwrap().into_iter().map(|e| (e.key, e.line, e.value.flag_values())).collect()
    }

    #[test]
    fn values_become_the_texts_of_flags() {
        let text = "# a comment\ndata-dir: /x\netcd-s3: true\nnum: 12\nver: \"1.30\"\nnode-label:\n  - a=b\n  - 5\nkubelet-arg+: [x]\nempty:\nnone: []\n";
        let row = |k: &str, l, v: &[&str]| (k.to_owned(), l, v.iter().map(|s| (*s).to_owned()).collect());
        assert_eq!(
            read(text),
            [
                row("data-dir", 2, &["/x"]),
                row("etcd-s3", 3, &["true"]),
                row("num", 4, &["12"]),
                row("ver", 5, &["1.30"]),
                row("node-label", 6, &["a=b", "5"]),
                row("kubelet-arg+", 9, &["x"]),
                row("empty", 10, &[""]),
                row("none", 11, &[]),
            ]
        );
    }

    #[test]
    fn entries_of_a_nested_mapping_have_their_lines() {
        let all = parse("retention:\n  timer:\n    keep-daily: 7\n  empty: {}\n  last: 5\n").unwrap();
        let below = all[0].value.children().unwrap();
        let shown: Vec<_> =
            below.iter().map(|e| (e.key.as_str(), e.line, e.value.children().map(|c| c.len()))).collect();
        assert_eq!(shown, [("timer", 2, Some(1)), ("empty", 4, Some(0)), ("last", 5, None)]);
        let inner = below[0].value.children().unwrap()[0];
        assert_eq!((inner.key.as_str(), inner.line, inner.value.text().as_str()), ("keep-daily", 3, "7"));
        assert_eq!(all[0].value.plain_values(), None);
    }

    #[test]
    fn only_the_first_document_counts_and_a_key_may_be_repeated() {
        let row = |k: &str, l, v: &str| (k.to_owned(), l, vec![v.to_owned()]);
        assert_eq!(read("tls-san: a\ntls-san: b\n"), [row("tls-san", 1, "a"), row("tls-san", 2, "b")]);
        assert_eq!(read("# x\n---\na: b\n---\n- c\n"), [row("a", 3, "b")]);
        assert_eq!(read("a: b\n---\nc: d\n"), [row("a", 1, "b")]);
        assert_eq!(read("a: b\n...\n}{\n"), [row("a", 1, "b")]);
    }

    #[test]
    fn empty_files_set_nothing_and_an_error_has_the_place_without_the_text() {
        for empty in ["", "\n", "# only a comment\n", "---\n", "--- ~\n", "{}\n"] {
            assert!(read(empty).is_empty(), "{empty:?}");
        }
        let deep = "[".repeat(200);
        let nested = format!("a: {}{}\n", "[".repeat(150), "]".repeat(150));
        let lines: String = (1..30).map(|n| format!("a{n}: &a{n} [*a{0}, *a{0}, *a{0}]\n", n - 1)).collect();
        let bomb = format!("a0: &a0 [secret]\n{lines}");
        for invalid in [
            "- a list\n",
            "just-a-word\n",
            "'secret'\n",
            "a: b: c\ntoken: secret\n",
            "token: 'secret\n",
            "a: [secret\n",
            "a: *secret\n",
            "a: !!int secret\n",
            "a: !!binary secret!\n",
            "<<: secret\n",
            "a: &a [*a]\n",
            &deep,
            &nested,
            &bomb,
        ] {
            let message = parse(invalid).err().unwrap_or_else(|| panic!("{invalid:?} is read"));
            assert!(message.starts_with("line ") && message.contains("YAML"), "{invalid:?} gave {message:?}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
