// SPDX-License-Identifier: Apache-2.0
//! Environment files in systemd's own syntax, which only looks like a shell's: see EnvironmentFile= in systemd.exec(5).

/// One variable of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    /// The line that it begins on.
    pub(super) line: u64,
}

enum State {
    /// Before a name.
    Begin,
    Comment,
    Name,
    /// Behind `=` or a closed quote: blanks do not count.
    Blank,
    /// Outside quotes.
    Bare,
    Quoted(char),
}

/// The variables in order. What is no assignment is passed over, as systemd does.
pub(super) fn parse(text: &str) -> Vec<Variable> {
    let mut all = Vec::new();
    let mut state = State::Begin;
    let (mut name, mut value) = (String::new(), String::new());
    // Up to where the value counts whatever follows: blanks at the end of what is not quoted do not.
    let mut solid = 0;
    let (mut line, mut begun) = (1, 1);
    let mut chars = text.chars().chain(['\n']).peekable();
    while let Some(c) = chars.next() {
        line += u64::from(c == '\n');
        state = match (state, c) {
            (State::Begin, '#' | ';') => State::Comment,
            (State::Begin, c) if c.is_ascii_whitespace() => State::Begin,
            (State::Begin, c) => {
                begun = line;
                name = c.to_string();
                State::Name
            }
            (State::Comment, '\n') => State::Begin,
            (State::Comment, _) => State::Comment,
            (State::Name, '\n') => State::Begin,
            (State::Name, '=') => {
                value.clear();
                solid = 0;
                State::Blank
            }
            (State::Name, c) => {
                name.push(c);
                State::Name
            }
            (State::Blank | State::Bare, '\n') => {
                value.truncate(solid);
                let name = name.trim_end();
                if is_name(name) {
                    all.push(Variable { name: name.to_owned(), value: value.clone(), line: begun });
                }
                State::Begin
            }
            (State::Blank, quote @ ('\'' | '"')) => State::Quoted(quote),
            (State::Blank, c) if c.is_ascii_whitespace() => State::Blank,
            (State::Blank | State::Bare, '\\') => {
                match chars.next() {
                    Some('\n') => line += 1,
                    Some(c) => value.push(c),
                    None => {}
                }
                solid = value.len();
                State::Bare
            }
            (State::Blank | State::Bare, c) => {
                value.push(c);
                if !c.is_ascii_whitespace() {
                    solid = value.len();
                }
                State::Bare
            }
            (State::Quoted(quote), c) if c == quote => {
                solid = value.len();
                State::Blank
            }
            (State::Quoted('"'), '\\') => {
                match chars.next() {
                    Some('\n') => line += 1,
                    Some(c @ ('"' | '\\' | '`' | '$')) => value.push(c),
                    Some(c) => value.extend(['\\', c]),
                    None => {}
                }
                State::Quoted('"')
            }
            (State::Quoted(quote), c) => {
                value.push(c);
                State::Quoted(quote)
            }
        };
    }
    all
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
            ("comments and blank lines", "# A=x\n; B=x\n\n A=b\n", vec![("A", "b", 4)]),
            ("blanks around", "A = b c  \n", vec![("A", "b c", 1)]),
            ("a comment sign in a value", "A=b#c ;d\n", vec![("A", "b#c ;d", 1)]),
            ("double quotes", "A=\"b c \"\n", vec![("A", "b c ", 1)]),
            ("single quotes take all as it is", "A='b\\n$c'\n", vec![("A", "b\\n$c", 1)]),
            ("escapes in double quotes", r#"A="b\"\$\\\n""#, vec![("A", r#"b"$\\n"#, 1)]),
            ("escapes outside", r"A=b\ \c\\ ", vec![("A", r"b c\", 1)]),
            ("quoted and not", "A='b'\"c\"d\n", vec![("A", "bcd", 1)]),
            ("a line goes on", "A=b\\\nc\nD=e", vec![("A", "bc", 1), ("D", "e", 3)]),
            ("a quote over lines", "A=\"b\nc\\\nd\"\nE=f", vec![("A", "b\ncd", 1), ("E", "f", 4)]),
            ("empty", "A=\nB=''\n", vec![("A", "", 1), ("B", "", 2)]),
            ("no variable is replaced", "A=$B ${C}\n", vec![("A", "$B ${C}", 1)]),
            ("what is no assignment", "A\nexport B=c\n1X=y\nD=e\n", vec![("D", "e", 4)]),
            ("an equals sign in a value", "A=b=c\n", vec![("A", "b=c", 1)]),
            ("the same name twice", "A=b\nA=c\n", vec![("A", "b", 1), ("A", "c", 2)]),
        ] {
            let got = parse(text);
            let got: Vec<(&str, &str, u64)> =
                got.iter().map(|v| (v.name.as_str(), v.value.as_str(), v.line)).collect();
            assert_eq!(got, want, "{name}");
        }
    }
}
