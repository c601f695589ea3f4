// SPDX-License-Identifier: Apache-2.0
//! Parses the XML of a store, which is not trusted: depth and number of elements are limited.
//!
//! The only importer of `quick_xml`. Namespaces and attributes are ignored. A DOCTYPE is an error.

use quick_xml::Reader;
use quick_xml::events::Event;

/// Elements of one document: a thousand objects with a dozen fields each, and room for a store that lists more at once.
const MAX_ELEMENTS: usize = 150_000;
/// Elements inside elements.
const MAX_DEPTH: usize = 12;

/// An element: its name, its text, its children.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Node>,
}

impl Node {
    /// The first child of this name.
    pub(super) fn child(&self, name: &str) -> Option<&Node> {
        self.children.iter().find(|c| c.name == name)
    }

    /// All children of this name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Node> {
        self.children.iter().filter(move |c| c.name == name)
    }

    /// The text of the first child of this name, without surrounding space; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.child(name).map_or("", |c| c.text.trim())
    }
}

/// The root element. The error says what is wrong with the document.
pub(super) fn parse(bytes: &[u8]) -> Result<Node, String> {
    let bad = |e: &dyn std::fmt::Display| format!("it is not XML: {e}");
    let text = std::str::from_utf8(bytes).map_err(|e| bad(&e))?;
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = Vec::new();
    let mut count = 0usize;
    loop {
        match reader.read_event().map_err(|e| bad(&e))? {
            event @ (Event::Start(_) | Event::Empty(_)) => {
                count += 1;
                if count > MAX_ELEMENTS || open.len() >= MAX_DEPTH {
                    return Err("it has too many elements".to_owned());
                }
                let (start, closed) = match &event {
                    Event::Start(start) => (start, false),
                    Event::Empty(start) => (start, true),
                    _ => continue,
                };
                let name = start.local_name().into_inner().to_owned();
                let node = Node { name, ..Node::default() };
                if closed {
                    match open.last_mut() {
                        Some(parent) => parent.children.push(node),
                        None => return Ok(node),
                    }
                } else {
                    open.push(node);
                }
            }
            Event::End(_) => {
                let Some(node) = open.pop() else {
                    return Err("an element ends that did not begin".to_owned());
                };
                match open.last_mut() {
                    Some(parent) => parent.children.push(node),
                    None => return Ok(node),
                }
            }
            Event::Text(text) => push(&mut open, &text),
            Event::CData(text) => push(&mut open, &text),
            Event::GeneralRef(name) => {
                let resolved = match name.resolve_char_ref().map_err(|e| bad(&e))? {
                    Some(c) => c,
                    None => match &*name {
                        "amp" => '&',
                        "lt" => '<',
                        "gt" => '>',
                        "quot" => '"',
                        "apos" => '\'',
                        _ => return Err("it has an unknown entity".to_owned()),
                    },
                };
                push(&mut open, resolved.encode_utf8(&mut [0; 4]));
            }
            Event::DocType(_) => return Err("it has a DOCTYPE".to_owned()),
            Event::Eof => return Err("it ends in the middle".to_owned()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

fn push(open: &mut [Node], text: &str) {
    if let Some(node) = open.last_mut() {
        node.text.push_str(text);
    }
}

/// Text as the content of an element.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 cannot express other control characters: a request with such a key fails.
            '\r' | '\n' | '\t' => out.push_str(&format!("&#{};", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_in_every_notation() {
        let text = "<?xml version='1.0'?><!-- c --><s3:R xmlns:s3='x'><A>1 &amp; &#50;&lt;</A><B/><A><![CDATA[<x>]]></A></s3:R>";
        let root = parse(text.as_bytes()).unwrap();
        assert_eq!((root.name.as_str(), root.text("A")), ("R", "1 & 2<"));
        assert_eq!(root.all("A").map(|n| n.text.as_str()).collect::<Vec<_>>(), ["1 & 2<", "<x>"]);
        assert!(root.child("B").is_some_and(|b| b.text.is_empty()));
        // A store that needs long to complete an upload sends spaces in the meantime, before or after the declaration.
        for text in [
            "  \n <?xml version='1.0'?><A/>",
            "<?xml version='1.0'?>\n   \n<A/>",
            "\u{feff}<?xml version='1.0'?><A/>",
        ] {
            assert_eq!(parse(text.as_bytes()).unwrap().name, "A", "{text:?}");
        }
        let odd = "a<b>&\"c\n";
        assert_eq!(parse(format!("<k>{}</k>", escape(odd)).as_bytes()).unwrap().text, odd);
    }

    #[test]
    fn hostile_documents_are_errors() {
        let deep = "<a>".repeat(50);
        let wide = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xx'>]><a>&x;</a>";
        for text in [
            &deep,
            &wide,
            bomb,
            "<a>&x;</a>",
            "",
            "no xml",
            "<a><b></a></b>",
            "<a>",
            "</a>",
            "<a>\u{0}</b>",
            "<a>&#xD800;</a>",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{}", text.get(..20).unwrap_or(text));
        }
        assert!(parse(b"<a>\xff</a>").is_err());
    }
}
