//! Problems: everything that is wrong, by cause.

use maud::{Markup, html};

use super::{Page, View, ago, cluster_path, phase, text};
use crate::lists::{Problem, problems};
use crate::ui::params::{BadParam, Params};

/// Clusters that a cause names; a link leads to all.
const MAX_NAMES: usize = 8;

pub(super) fn page(view: &View) -> Result<Page, BadParam> {
    let found = problems(view.rows()?);
    let main = html! {
        h1 { "Problems" }
        @if found.is_empty() { p.calm { "Nothing is wrong." } }
        @for problem in &found { (card(view, problem)) }
    };
    Ok(Page { title: "Problems".to_owned(), main })
}

fn card(view: &View, problem: &Problem) -> Markup {
    let cause = &problem.cause;
    let all =
        Params { type_: cause.type_.clone().unwrap_or_default(), reason: cause.reason.clone(), ..view.params.scope() };
    let subject = cause.type_.as_deref().unwrap_or("Clusters");
    html! {
        section.card {
            h2 { (phase(&cause.phase)) " " (text(subject)) ": " (text(&cause.reason)) }
            p {
                a href=(all.link("/clusters")) { b { (problem.clusters.len()) } @if problem.clusters.len() == 1 { " cluster" } @else { " clusters" } }
                ", first " (ago(problem.first.as_deref(), view.now)) " ago, latest " (ago(problem.since.as_deref(), view.now)) " ago"
            }
            @if !problem.example.is_empty() { p.message { (text(&problem.example)) } }
            ul.names {
                @for name in problem.clusters.iter().take(MAX_NAMES) {
                    @let (namespace, name) = name.split_once('/').unwrap_or(("", name));
                    li { a href=(cluster_path(namespace, name)) { (text(name)) } }
                }
                @if problem.clusters.len() > MAX_NAMES {
                    li { a href=(all.link("/clusters")) { "and " (problem.clusters.len() - MAX_NAMES) " more" } }
                }
            }
        }
    }
}
