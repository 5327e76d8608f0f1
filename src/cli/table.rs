//! Renders tables in kubectl's style.

use std::borrow::Cow;
use std::fmt::Write;

use crate::domain::escape::escape;

/// Longer cells are truncated, or they would push the following columns out of sight.
const MAX_WIDTH: usize = 256;

/// Width of the last column: room for the ranges of any shard.
const MAX_LAST_WIDTH: usize = 4_096;

/// Renders headings and rows, separated by three spaces, without trailing spaces. Cells are escaped: names from
/// clusters and users can't break out of their cell.
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
    match cell.char_indices().nth(if is_last { MAX_LAST_WIDTH } else { MAX_WIDTH }) {
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

    /// Asserts that the text has visible characters and line feeds only.
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
    fn cells_of_a_megabyte_are_truncated() {
        let cell = "n".repeat(1_200_000);
        let text = table(&["NAME", "MESSAGE"], &[vec![cell.clone(), cell]]);
        assert!(text.len() < 10_000, "{}", text.len());
    }

    proptest! {
        #[test]
        fn tables_have_one_line_per_row(rows in prop::collection::vec(prop::collection::vec(any::<String>(), 3), 0..5)) {
            let text = table(&["A", "B", "C"], &rows);
            assert_harmless(&text);
            prop_assert_eq!(text.lines().count(), rows.len() + 1);
        }
    }
}
