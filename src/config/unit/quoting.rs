// SPDX-License-Identifier: Apache-2.0
//! Splits a line into words as systemd does, with quotes and escapes: see "Quoting" in systemd.syntax(7).

use std::iter::Peekable;
use std::str::Chars;

/// All words. `None` if a quote does not end or an escape has no meaning: systemd ignores such a line.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut rest = text;
    let mut all = Vec::new();
    while let Some(word) = next(&mut rest)? {
        all.push(word);
    }
    Some(all)
}

/// The next word; `rest` then begins after it. `Some(None)` at the end; `None` as in [`split`].
pub(super) fn next(rest: &mut &str) -> Option<Option<String>> {
    let mut chars = rest.trim_start_matches(BLANK).chars().peekable();
    if chars.peek().is_none() {
        return Some(None);
    }
    let mut word = String::new();
    let mut quote = None;
    loop {
        let Some(c) = chars.next() else {
            *rest = "";
            return quote.is_none().then_some(Some(word));
        };
        match (c, quote) {
            ('\\', _) => escape(&mut chars, &mut word)?,
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            (c, None) if BLANK.contains(&c) => break,
            (c, _) => word.push(c),
        }
    }
    let left: usize = chars.map(char::len_utf8).sum();
    *rest = rest.get(rest.len() - left..)?.trim_start_matches(BLANK);
    Some(Some(word))
}

/// The characters that separate words.
pub(super) const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

fn escape(chars: &mut Peekable<Chars>, word: &mut String) -> Option<()> {
    let code = |chars: &mut Peekable<Chars>, digits: usize, radix| {
        let text: String = (0..digits).map_while(|_| chars.next_if(|c| c.is_digit(radix))).collect();
        (text.len() == digits).then(|| u32::from_str_radix(&text, radix).ok())?
    };
    let c = match chars.next()? {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        's' => ' ',
        c @ ('\\' | '"' | '\'') => c,
        // Only ASCII: a higher byte would be a part of a character.
        'x' => char::from_u32(code(chars, 2, 16)?).filter(char::is_ascii)?,
        'u' => char::from_u32(code(chars, 4, 16)?)?,
        'U' => char::from_u32(code(chars, 8, 16)?)?,
        first @ '0'..='7' => {
            let rest = code(chars, 2, 8)?;
            char::from_u32(first.to_digit(8)? * 64 + rest).filter(char::is_ascii)?
        }
        _ => return None,
    };
    word.push(c);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_systemd_splits_them() {
        for (name, text, want) in [
            ("white space", "  a \t b\n", Some(vec!["a", "b"])),
            ("no word", " \t", Some(vec![])),
            ("double quotes", r#""a b" c"#, Some(vec!["a b", "c"])),
            ("single quotes", "'a b' c", Some(vec!["a b", "c"])),
            ("a quote in the middle", r#"--x="a b"y z"#, Some(vec!["--x=a by", "z"])),
            ("the other quote inside", r#""it's" '"'"#, Some(vec!["it's", "\""])),
            ("an empty word", "'' a", Some(vec!["", "a"])),
            ("escapes, in quotes too", r#"a\sb "c\td" 'e\x41'"#, Some(vec!["a b", "c\td", "eA"])),
            ("octal and unicode", r"\101 \u00e9", Some(vec!["A", "é"])),
            ("a backslash", r"a\\b", Some(vec![r"a\b"])),
            ("a quote that does not end", "'a b", None),
            ("an escape without a meaning", r"a\qb", None),
            ("a backslash at the end", r"a\", None),
        ] {
            let got = split(text);
            assert_eq!(got.as_ref().map(|w| w.iter().map(String::as_str).collect()), want, "{name}");
        }
    }
}
