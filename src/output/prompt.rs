// SPDX-License-Identifier: Apache-2.0
//! Asks somebody at a terminal. Whoever is not at one is not asked.

use std::io::{self, BufRead, IsTerminal, Write};

use super::log::printable;

/// Asks a question that is answered with yes or no; `None` where nobody is there to answer.
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
