// SPDX-License-Identifier: Apache-2.0
//! Rust source as code, comments and string literals, for tests that read the source tree.

/// What a piece of source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Code,
    Comment,
    Literal,
}

/// A piece of source that begins in this line, 1-based.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// The pieces of a file, in order. Comments are without their slashes, literals without their quotes.
pub(crate) fn pieces(source: &str) -> Vec<Piece> {
    let mut reader = Reader { chars: source.chars().collect(), at: 0, line: 1, pieces: Vec::new() };
    while reader.at < reader.chars.len() {
        reader.next();
    }
    reader.pieces
}

/// The code alone: comments and the content of literals are left out, lines stay where they are.
pub(crate) fn code(source: &str) -> String {
    let mut text = String::new();
    for piece in pieces(source) {
        let newlines = "\n".repeat(piece.text.matches('\n').count());
        match piece.kind {
            Kind::Code => text.push_str(&piece.text),
            Kind::Comment => text.push_str(&newlines),
            Kind::Literal => text.push_str(&format!("\"{newlines}\"")),
        }
    }
    text
}

/// The source without its unit tests, which are the end of a file.
pub(crate) fn without_tests(source: &str) -> &str {
    let tests = ["\n#[cfg(test)]", "\n#![cfg(test)]"];
    tests.iter().filter_map(|t| source.find(t)).min().map_or(source, |at| &source[..at + 1])
}

struct Reader {
    chars: Vec<char>,
    at: usize,
    line: usize,
    pieces: Vec<Piece>,
}

impl Reader {
    fn next(&mut self) {
        let here = self.chars[self.at];
        let ahead = |n: usize| self.chars.get(self.at + n).copied().unwrap_or('\0');
        match here {
            '/' if ahead(1) == '/' => self.line_comment(),
            '/' if ahead(1) == '*' => self.block_comment(),
            '"' => self.literal(),
            'r' if self.begins_word() && (ahead(1) == '"' || ahead(1) == '#' && self.is_raw()) => {
                self.raw_literal()
            }
            '\'' => self.quote(),
            _ => self.take_code(1),
        }
    }

    fn begins_word(&self) -> bool {
        let before = self.at.checked_sub(1).map_or(' ', |i| self.chars[i]);
        // A byte string is `br"..."`.
        !(before.is_alphanumeric() || before == '_') || before == 'b'
    }

    fn is_raw(&self) -> bool {
        self.chars[self.at + 1..].iter().find(|c| **c != '#') == Some(&'"')
    }

    fn push(&mut self, kind: Kind, text: String) {
        let newlines = text.matches('\n').count();
        match self.pieces.last_mut() {
            Some(last) if last.kind == kind && kind == Kind::Code => last.text.push_str(&text),
            _ => self.pieces.push(Piece { kind, line: self.line, text }),
        }
        self.line += newlines;
    }

    fn take_code(&mut self, count: usize) {
        let text: String = self.chars[self.at..self.at + count].iter().collect();
        self.at += count;
        self.push(Kind::Code, text);
    }

    fn line_comment(&mut self) {
        let rest = &self.chars[self.at..];
        let length = rest.iter().position(|c| *c == '\n').unwrap_or(rest.len());
        let text: String = rest[..length].iter().collect();
        self.at += length;
        self.push(Kind::Comment, text.trim_start_matches(['/', '!']).to_owned());
    }

    fn block_comment(&mut self) {
        let rest: String = self.chars[self.at..].iter().collect();
        let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
        self.at += rest[..length].chars().count();
        self.push(Kind::Comment, rest[..length].to_owned());
    }

    fn literal(&mut self) {
        let begin = self.at + 1;
        let mut end = begin;
        while self.chars.get(end).is_some_and(|c| *c != '"') {
            end += if self.chars[end] == '\\' { 2 } else { 1 };
        }
        let end = end.min(self.chars.len());
        self.at = (end + 1).min(self.chars.len());
        let text = self.chars[begin..end].iter().collect();
        self.push(Kind::Literal, text);
    }

    fn raw_literal(&mut self) {
        let hashes = self.chars[self.at + 1..].iter().take_while(|c| **c == '#').count();
        let begin = self.at + hashes + 2;
        let closing: String = std::iter::once('"').chain("#".repeat(hashes).chars()).collect();
        let rest: String = self.chars[begin..].iter().collect();
        let text = rest.split(&closing).next().unwrap().to_owned();
        self.at = begin + text.chars().count() + hashes + 1;
        self.push(Kind::Literal, text);
    }

    /// A character literal, or a lifetime, which has no closing quote.
    fn quote(&mut self) {
        let rest = &self.chars[self.at + 1..];
        let length = match rest {
            ['\\', ..] => rest.iter().skip(2).position(|c| *c == '\'').map(|n| n + 4),
            [_, '\'', ..] => Some(3),
            _ => None,
        };
        self.take_code(length.unwrap_or(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_split_into_code_comments_and_literals() {
        let source = "//! a\nlet x = \"b \\\" c\"; // d\nlet y = r#\"e \"f\" g\"#;\nlet z: &'static str = '\"'; /* h */";
        let of = |kind: Kind| -> Vec<String> {
            pieces(source).into_iter().filter(|p| p.kind == kind).map(|p| p.text).collect()
        };
        assert_eq!(of(Kind::Comment), [" a", " d", "/* h */"]);
        assert_eq!(of(Kind::Literal), ["b \\\" c", "e \"f\" g"]);
        let code = code(source);
        assert_eq!(
            code.lines().collect::<Vec<_>>(),
            ["", "let x = \"\"; ", "let y = \"\";", "let z: &'static str = '\"'; "]
        );
        assert_eq!(pieces(source).last().unwrap().line, 4);
    }
}
