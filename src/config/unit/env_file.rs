// SPDX-License-Identifier: Apache-2.0
//! Environment files as systemd reads them: see EnvironmentFile= in systemd.exec(5). The states are those of
//! `parse_env_file` of systemd.

/// One variable of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// The line on which it begins.
    pub(super) line: u64,
}

/// What the parser expects next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    PreKey,
    Key,
    PreValue,
    Value,
    ValueEscape,
    SingleQuoteValue,
    DoubleQuoteValue,
    DoubleQuoteValueEscape,
    Comment,
    CommentEscape,
}

/// The characters that a backslash in double quotes escapes.
const SHELL_NEED_ESCAPE: [char; 4] = ['"', '\\', '`', '$'];

/// The variables in order. Lines that are no assignments are ignored, as systemd does.
pub(super) fn parse(text: &str) -> Vec<Variable> {
    let mut parser = Parser::default();
    let mut state = State::PreKey;
    for c in text.chars() {
        state = parser.step(state, c);
        parser.line += u64::from(c == '\n');
    }
    if !matches!(state, State::PreKey | State::Key | State::Comment | State::CommentEscape) {
        parser.push();
    }
    parser.all
}

/// The assignment that is read, and those before it.
#[derive(Default)]
struct Parser {
    all: Vec<Variable>,
    key: String,
    value: String,
    /// The length of the value without the white space at its end, if that is not quoted.
    value_end: usize,
    line: u64,
    first_line: u64,
}

impl Parser {
    fn step(&mut self, state: State, c: char) -> State {
        let (newline, space) = (matches!(c, '\n' | '\r'), matches!(c, ' ' | '\t' | '\n' | '\r'));
        match state {
            State::PreKey | State::Key => self.step_key(state, c, newline, space),
            State::PreValue | State::Value if newline => {
                self.push();
                State::PreKey
            }
            State::PreValue if c == '\'' => State::SingleQuoteValue,
            State::PreValue if c == '"' => State::DoubleQuoteValue,
            State::PreValue | State::Value if c == '\\' => State::ValueEscape,
            State::PreValue if space => State::PreValue,
            State::PreValue | State::Value => {
                self.value.push(c);
                if !space {
                    self.keep();
                }
                State::Value
            }
            State::ValueEscape => {
                if !newline {
                    self.value.push(c);
                }
                self.keep();
                State::Value
            }
            State::SingleQuoteValue | State::DoubleQuoteValue | State::DoubleQuoteValueEscape => {
                self.step_quoted(state, c)
            }
            State::Comment if c == '\\' => State::CommentEscape,
            State::Comment | State::CommentEscape if newline => State::PreKey,
            State::Comment | State::CommentEscape => State::Comment,
        }
    }

    fn step_key(&mut self, state: State, c: char, newline: bool, space: bool) -> State {
        match state {
            State::PreKey if matches!(c, '#' | ';') => State::Comment,
            State::PreKey if space => State::PreKey,
            State::PreKey => {
                self.first_line = self.line;
                self.key = c.to_string();
                State::Key
            }
            _ if newline => State::PreKey,
            _ if c == '=' => {
                self.value.clear();
                self.value_end = 0;
                State::PreValue
            }
            _ => {
                self.key.push(c);
                State::Key
            }
        }
    }

    fn step_quoted(&mut self, state: State, c: char) -> State {
        let next = match (state, c) {
            (State::SingleQuoteValue, '\'') | (State::DoubleQuoteValue, '"') => return State::PreValue,
            (State::DoubleQuoteValue, '\\') => return State::DoubleQuoteValueEscape,
            (State::DoubleQuoteValueEscape, '\n') => State::DoubleQuoteValue,
            (State::DoubleQuoteValueEscape, c) => {
                if !SHELL_NEED_ESCAPE.contains(&c) {
                    self.value.push('\\');
                }
                self.value.push(c);
                State::DoubleQuoteValue
            }
            (state, c) => {
                self.value.push(c);
                state
            }
        };
        self.keep();
        next
    }

    /// What the value has so far is no white space to remove.
    fn keep(&mut self) {
        self.value_end = self.value.len();
    }

    fn push(&mut self) {
        self.value.truncate(self.value_end);
        let name = self.key.trim_end();
        if is_name(name) {
            let (name, value) = (name.to_owned(), self.value.clone());
            self.all.push(Variable { name, value, line: self.first_line + 1 });
        }
    }
}

/// Whether this can be the name of a variable.
pub(super) fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_systemd_reads_it() {
        for (name, text, want) in [
            ("plain", "A=b\nC=d", vec![("A", "b", 1), ("C", "d", 2)]),
            ("comments and empty lines", "# A=x\n; B=x\n\n A=b\n", vec![("A", "b", 4)]),
            ("white space around", "A = b c  \n", vec![("A", "b c", 1)]),
            ("a comment sign in a value", "A=b#c ;d\n", vec![("A", "b#c ;d", 1)]),
            ("double quotes", "A=\"b c \"\n", vec![("A", "b c ", 1)]),
            ("single quotes", "A='b\\n$c'\n", vec![("A", "b\\n$c", 1)]),
            ("escapes in double quotes", r#"A="b\"\$\\\n""#, vec![("A", r#"b"$\\n"#, 1)]),
            ("escapes outside", r"A=b\ \c\\ ", vec![("A", r"b c\", 1)]),
            ("quoted and not", "A='b'\"c\"d\n", vec![("A", "bcd", 1)]),
            ("a continued line", "A=b\\\nc\nD=e", vec![("A", "bc", 1), ("D", "e", 3)]),
            ("a quote over several lines", "A=\"b\nc\\\nd\"\nE=f", vec![("A", "b\ncd", 1), ("E", "f", 4)]),
            ("empty", "A=\nB=''\n", vec![("A", "", 1), ("B", "", 2)]),
            ("no variable is expanded", "A=$B ${C}\n", vec![("A", "$B ${C}", 1)]),
            ("lines that are no assignments", "A\nexport B=c\n1X=y\nD=e\n", vec![("D", "e", 4)]),
            ("an equals sign in a value", "A=b=c\n", vec![("A", "b=c", 1)]),
            ("a carriage return ends a line", "A=b\r\nC=d\r\n", vec![("A", "b", 1), ("C", "d", 2)]),
            ("a quote that does not end", "A=\"b c\nd", vec![("A", "b c\nd", 1)]),
            ("no newline at the end", "A=b  ", vec![("A", "b", 1)]),
            ("a backslash at the end of a comment", "# c\\\nA=b\n", vec![("A", "b", 2)]),
            ("a blank after a quote", "A=\"b\" \nC='d' e\n", vec![("A", "b", 1), ("C", "de", 2)]),
            ("the same name twice", "A=b\nA=c\n", vec![("A", "b", 1), ("A", "c", 2)]),
        ] {
            let got = parse(text);
            let got: Vec<(&str, &str, u64)> =
                got.iter().map(|v| (v.name.as_str(), v.value.as_str(), v.line)).collect();
            assert_eq!(got, want, "{name}");
        }
    }
}
