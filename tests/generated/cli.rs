//! Generates `docs/reference/cli.md` from the arguments that clap knows.

use clap::{Arg, Command, CommandFactory};
use ksit::cli::Cli;

use crate::generated_between;

#[test]
fn reference_lists_every_command() {
    let mut cli = Cli::command();
    cli.build();
    let commands: String = cli.get_subcommands().flat_map(|command| described(command, "ksit")).collect();
    generated_between("docs/reference/cli.md", "commands", &commands);
}

/// The sections of a command and of those below it.
fn described(command: &Command, parent: &str) -> Vec<String> {
    if command.is_hide_set() || command.get_name() == "help" {
        return Vec::new();
    }
    let name = format!("{parent} {}", command.get_name());
    let about = command.get_long_about().or(command.get_about()).unwrap_or_default().to_string();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").replace("\n       ", "\n");
    let rows: String = command.get_arguments().filter(|arg| is_listed(arg)).map(row).collect();
    let table = match rows.as_str() {
        "" => String::new(),
        rows => format!("| argument | meaning | default |\n| --- | --- | --- |\n{rows}\n"),
    };
    let own = format!("## {name}\n\n{}\n```text\n{usage}\n```\n\n{table}", prose(&about));
    let below = command.get_subcommands().flat_map(|command| described(command, &name));
    std::iter::once(own).chain(below).collect()
}

/// Every command has the flags that are left out.
fn is_listed(arg: &Arg) -> bool {
    !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version")
}

fn row(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help()).unwrap_or_default().to_string();
    let help = escaped(&help.split_whitespace().collect::<Vec<_>>().join(" "));
    let default = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
    let default = match default.is_empty() || !arg.get_action().takes_values() {
        true => String::new(),
        false => format!("`{}`", cell(&default)),
    };
    format!("| `{}` | {help} | {default} |\n", cell(&spelt(arg)))
}

/// An argument as it is typed.
fn spelt(arg: &Arg) -> String {
    let choices = arg.get_possible_values();
    let values = match choices.is_empty() || arg.get_long().is_none() {
        true => arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        false => choices.iter().map(clap::builder::PossibleValue::get_name).collect::<Vec<_>>().join("|"),
    };
    let Some(long) = arg.get_long() else { return values };
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    match arg.get_action().takes_values() {
        true => format!("{short}--{long} {values}"),
        false => format!("{short}--{long}"),
    }
}

/// Text in which indented lines are a code block.
fn prose(about: &str) -> String {
    let (mut text, mut is_block) = (String::new(), false);
    for line in about.lines() {
        let is_code = line.starts_with("  ");
        if is_code != is_block {
            text.push_str(match is_code {
                true if text.ends_with("\n\n") => "```sh\n",
                true => "\n```sh\n",
                false => "```\n",
            });
            is_block = is_code;
        }
        text.push_str(&if is_code { commented(line.trim_start()) } else { escaped(line) });
        text.push('\n');
    }
    if is_block { format!("{text}```\n") } else { text }
}

/// An example, with its remark as a comment of the shell.
fn commented(example: &str) -> String {
    match example.split_once("  ") {
        Some((command, remark)) if !remark.trim().is_empty() => format!("{command}  # {}", remark.trim()),
        _ => example.to_owned(),
    }
}

/// Markdown takes `<NAME>` for HTML.
fn escaped(text: &str) -> String {
    cell(text).replace('<', "&lt;")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
