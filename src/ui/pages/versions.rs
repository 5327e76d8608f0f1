//! Versions: the clusters of each version of a tool.

use std::collections::BTreeMap;

use maud::html;

use super::{Page, View, text};
use crate::domain::version::order;
use crate::ui::params::Params;

/// Name for clusters whose version is not known.
const NOT_KNOWN: &str = "not known";

pub(super) fn page(view: &View) -> Page {
    let mut tools: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for tool in view.visible().flat_map(|row| &row.tools) {
        let version = tool.version.as_deref().unwrap_or(NOT_KNOWN);
        *tools.entry(&tool.type_).or_default().entry(version).or_default() += 1;
    }
    let link = |type_: &str, version: &str| {
        Params { type_: type_.to_owned(), version: version.to_owned(), ..view.params.scope() }.link("/clusters")
    };
    let main = html! {
        h1 { "Versions" }
        @if tools.is_empty() { p { "No tool is checked yet." } }
        @for (type_, versions) in &tools {
            @let all: usize = versions.values().sum();
            section.card {
                h2 { (text(type_)) }
                table.versions {
                    thead { tr { th scope="col" { "Version" } th scope="col" { "Clusters" } th scope="col" { "Share" } } }
                    tbody {
                        @for (version, count) in newest_first(versions) {
                            tr {
                                th scope="row" {
                                    @if version == NOT_KNOWN { span.faint { (version) } }
                                    @else { a href=(link(type_, version)) { (text(version)) } }
                                }
                                td.number { (count) }
                                td { meter min="0" max=(all) value=(count) aria-label={ (count) " of " (all) } {} }
                            }
                        }
                    }
                }
            }
        }
    };
    Page { title: "Versions".to_owned(), main }
}

fn newest_first<'a>(versions: &BTreeMap<&'a str, usize>) -> Vec<(&'a str, usize)> {
    let mut all: Vec<(&str, usize)> = versions.iter().map(|(version, count)| (*version, *count)).collect();
    all.sort_by(|(a, _), (b, _)| (*a == NOT_KNOWN).cmp(&(*b == NOT_KNOWN)).then_with(|| order(b, a)));
    all
}
