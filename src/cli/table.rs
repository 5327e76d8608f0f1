//! Columns, as kubectl sets them.

use std::borrow::Cow;
use std::fmt::Write;

use crate::domain::escape::escape;

/// A longer cell is cut: it would push all that follows it out of sight.
const WIDEST: usize = 256;

/// Nothing follows the last one. Room for the ranges of any shard.
const WIDEST_LAST: usize = 4_096;

/// Heads and rows, padded with three spaces; nothing behind the last column. Cells are escaped: what a cluster or a user
/// calls something stays within its cell.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let last = heads.len().saturating_sub(1);
    let lines: Vec<Vec<Cow<'_, str>>> = std::iter::once(&heads)
        .chain(rows)
        .map(|row| row.iter().enumerate().map(|(column, cell)| shown(cell, column == last)).collect())
        .collect();
    let mut widths = vec![0; heads.len()];
    for cells in &lines {
        for (width, cell) in widths.iter_mut().zip(cells) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for cells in &lines {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn shown(cell: &str, is_last: bool) -> Cow<'_, str> {
    let cell = escape(cell);
    match cell.char_indices().nth(if is_last { WIDEST_LAST } else { WIDEST }) {
        None => cell,
        Some((end, _)) => Cow::Owned(format!("{}…", &cell[..end])),
    }
}

#[cfg(test)]
pub(super) use tests::assert_harmless;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::escape::is_invisible;

    /// Nothing but whole lines of what can be seen.
    pub(in crate::cli) fn assert_harmless(text: &str) {
        let bad: Vec<char> = text.chars().filter(|c| *c != '\n' && is_invisible(*c)).collect();
        assert!(bad.is_empty(), "{bad:?} in {text:?}");
    }

    #[test]
    fn columns_are_padded_and_lines_end_with_text() {
        let rows = [vec!["a".to_owned(), "bc".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["X", "Y"], &rows), "X      Y\na      bc\nlong\n");
    }

    #[test]
    fn cells_of_a_megabyte_are_cut() {
        let cell = "n".repeat(1_200_000);
        let text = table(&["NAME", "MESSAGE"], &[vec![cell.clone(), cell]]);
        assert!(text.len() < 10_000, "{}", text.len());
    }

    proptest! {
        #[test]
        fn tables_have_a_line_a_row(rows in prop::collection::vec(prop::collection::vec(any::<String>(), 3), 0..5)) {
            let text = table(&["A", "B", "C"], &rows);
            assert_harmless(&text);
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
        }
    }
}
