// SPDX-License-Identifier: Apache-2.0
//! Text from outside, made safe for a terminal and for the journal.

/// A text without the characters that a terminal or the journal would interpret.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(
            |c| if c.is_control() || is_bidi_control(c) { c.escape_default().collect() } else { vec![c] },
        )
        .collect()
}

/// Characters that make a terminal show text in another order.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(super::printable("a\x1b[31m\nb ü"), "a\\u{1b}[31m\\nb ü");
    }
}
