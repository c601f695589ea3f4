// SPDX-License-Identifier: Apache-2.0
//! Asks for a confirmation at the terminal.

use std::io::{self, BufRead, IsTerminal, Write};

use super::escape::printable;

/// Asks a yes-or-no question; `None` if standard input or standard error is not a terminal.
///
/// # Errors
/// If the terminal cannot be read or written.
pub fn confirm(question: &str) -> io::Result<Option<bool>> {
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return Ok(None);
    }
    write!(stderr, "{} [y/N] ", printable(question))?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")))
}
