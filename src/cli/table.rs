//! Columns, as kubectl sets them.

/// Heads and rows, padded with three spaces; nothing behind the last column.
pub(super) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let widths: Vec<usize> = (0..heads.len())
        .map(|column| {
            std::iter::once(&heads).chain(rows).map(|row| row[column].chars().count()).max().unwrap_or_default()
        })
        .collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    std::iter::once(&heads).chain(rows).map(line).collect()
}
