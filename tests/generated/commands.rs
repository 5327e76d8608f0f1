//! Commands on the pages parse, and the chart's README explains every reason.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::CommandFactory;
use clap::error::ErrorKind;
use ksit::cli::Cli;
use ksit::domain::reason::Reason;

use crate::{docs, read};

/// Pages with commands, besides those of `docs`.
const PAGES: [&str; 4] = ["README.md", "chart/README.md", "examples/README.md", "src/api/catalogue/README.md"];

/// The `ksit …` commands of a page: between backticks in a line, and lines of code blocks.
fn commands(page: &str) -> BTreeSet<String> {
    let (mut is_block, mut found) = (false, BTreeSet::new());
    for line in read(page).lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        }
        let pieces: Vec<&str> = if is_block { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        let typed = pieces.iter().map(|piece| piece.replace("cargo run -- ", "ksit ").replace("\\|", "|"));
        // Text after a comment, a pipe or a redirection is not part of the command.
        let is_usage = |piece: &str| piece.contains(" [") || piece.contains(" <");
        let ours = typed.filter(|piece| piece.starts_with("ksit ") && !piece.contains('…') && !is_usage(piece));
        let command = |piece: String| {
            [" #", " | ", " > "].iter().fold(piece, |piece, end| piece.split(end).next().unwrap().to_owned())
        };
        found.extend(ours.map(|piece| command(piece).trim().to_owned()));
    }
    found
}

#[test]
fn commands_on_the_pages_parse() {
    for page in PAGES.iter().map(PathBuf::from).chain(docs()) {
        let page = page.to_str().unwrap();
        for command in commands(page) {
            let words = command.split_whitespace().map(|word| word.trim_matches('\''));
            let parsed = Cli::command().try_get_matches_from(words);
            // Help, or a command or flag named without its arguments.
            let fits = |error: &clap::Error| {
                let is_short = error.kind() == ErrorKind::MissingRequiredArgument;
                error.exit_code() == 0 || is_short || error.to_string().contains("none was supplied")
            };
            assert!(parsed.as_ref().err().is_none_or(fits), "{page}: {command}: {}", parsed.unwrap_err());
        }
    }
    for (page, command) in
        [("README.md", "ksit check --all-contexts"), ("docs/getting-started.md", "ksit target berlin -n ksit-system")]
    {
        assert!(commands(page).contains(command), "{page}: {:?}", commands(page));
    }
}

#[test]
fn chart_readme_explains_every_reason_once() {
    let text = read("chart/README.md");
    let (_, rest) = text.split_once("<!-- reasons -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- /reasons -->").unwrap();
    let rows = table.lines().skip(2).map(|row| row.split('|').nth(1).unwrap());
    let named: Vec<&str> = rows.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let unknown: Vec<&&str> = named.iter().filter(|name| Reason::parse(name).is_none()).collect();
    assert!(unknown.is_empty(), "ksit has no such reasons: {unknown:?}");
    for reason in Reason::ALL {
        let count = named.iter().filter(|name| **name == reason.as_str()).count();
        assert_eq!(count, 1, "the table of chart/README.md has {reason} {count} times");
    }
}
