// SPDX-License-Identifier: Apache-2.0
//! Tables in the form that K3s prints.

use std::fmt::Write as _;

/// Rows of two or more columns, padded as K3s pads them. The last column is not padded.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(i) {
                Some(w) => *w = width.max(*w),
                None => widths.push(width),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ = if i == last { writeln!(out, "{cell}") } else { write!(out, "{cell:width$} ") };
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_padded_and_the_last_is_not() {
        let rows = [vec!["Name".into(), "S".into()], vec!["a".into(), "12".into()]];
        assert_eq!(table(&rows), "Name S\na    12\n");
    }
}
