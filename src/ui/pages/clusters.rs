//! Clusters: a table, filtered, sorted and paged on the server.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::{Page, View, ago, class, cluster_path, phase, sign, text};
use crate::domain::verdict::Phase;
use crate::lists::{ClusterRow, Filter};
use crate::ui::params::{BadParam, Params};

/// Clusters on a page.
const PAGE: usize = 100;

pub(super) fn page(view: &View) -> Result<Page, BadParam> {
    let (filter, order, number) = (view.params.filter()?, view.params.order()?, view.params.page()?);
    let mut rows = view.rows()?;
    order.sort(&mut rows);
    let pages = rows.len().div_ceil(PAGE).max(1);
    let number = number.min(pages);
    let shown = &rows[(number - 1) * PAGE..rows.len().min(number * PAGE)];
    let main = html! {
        h1 { "Clusters" }
        (form(view, &filter))
        p { (rows.len()) @if rows.len() == 1 { " cluster" } @else { " clusters" } }
        (table(view, &filter, shown))
        @if pages > 1 { (pager(view.params, number, pages)) }
    };
    Ok(Page { title: "Clusters".to_owned(), main })
}

fn form(view: &View, filter: &Filter) -> Markup {
    let params = view.params;
    let types: BTreeSet<&str> = view.visible().flat_map(|row| &row.tools).map(|tool| tool.type_.as_str()).collect();
    let namespaces: BTreeSet<&str> =
        view.fleet.clusters.keys().map(|key| key.namespace()).filter(|name| view.access.allows(name)).collect();
    html! {
        form.filter method="get" action="/clusters" {
            label { "Search " input #search name="q" type="search" value=(params.q) placeholder="name or message"; }
            label { "Labels " input name="l" value=(params.l) placeholder="env=prod"; }
            (choice("Namespace", "ns", &params.ns, namespaces.into_iter()))
            (choice("Tool", "type", &params.type_, types.into_iter()))
            (choice("Phase", "phase", &params.phase, Phase::ALL.iter().map(|phase| phase.as_str())))
            label { "Reason " input name="reason" value=(params.reason) placeholder="ComponentNotReady"; }
            label { "Version " input name="version" value=(params.version) placeholder="2.11.0"; }
            (choice("Sort", "sort", &params.sort, ["worst", "since", "name"].into_iter()))
            button type="submit" { "Show" }
            @if params.link("") != Params::default().link("") { " " a href="/clusters" { "Clear" } }
            @if filter.phases.len() > 1 || filter.types.len() > 1 { p.faint { "Several phases or tools: " (text(&params.phase)) " " (text(&params.type_)) } }
        }
    }
}

fn choice<'a>(label: &str, name: &str, chosen: &str, options: impl Iterator<Item = &'a str>) -> Markup {
    let options: Vec<&str> = options.collect();
    html! {
        label { (label) " "
            select name=(name) {
                option value="" { "any" }
                // A choice that is none of the options any more stays visible.
                @if !chosen.is_empty() && !options.contains(&chosen) { option value=(chosen) selected { (text(chosen)) } }
                @for option in &options { option value=(option) selected[*option == chosen] { (text(option)) } }
            }
        }
    }
}

fn table(view: &View, filter: &Filter, rows: &[&ClusterRow]) -> Markup {
    let tools: BTreeSet<&str> = rows
        .iter()
        .flat_map(|row| &row.tools)
        .filter(|tool| filter.has_type(tool))
        .map(|tool| tool.integration.as_str())
        .collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label="Clusters" {
            table.clusters {
                thead { tr {
                    th scope="col" { "Cluster" }
                    th scope="col" { "Phase" }
                    th scope="col" { "Since" }
                    @for tool in &tools { th scope="col" { (text(tool)) } }
                    th scope="col" { "Message" }
                } }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" {
                                a href=(cluster_path(&row.namespace, &row.name)) { (text(&row.name)) }
                                " " span.faint { (text(&row.namespace)) }
                            }
                            td {
                                (phase(&row.phase))
                                @if row.maintenance.is_some() { " " span.badge.plain { "Maintenance" } }
                            }
                            td { (ago(row.since.as_deref(), view.now)) }
                            @for tool in &tools { td { (tool_cell(row, tool)) } }
                            td.message { (text(row.message.as_deref().unwrap_or_default())) }
                        }
                    }
                }
            }
        }
    }
}

fn tool_cell(row: &ClusterRow, integration: &str) -> Markup {
    let tool = row.tools.iter().find(|tool| tool.integration == integration);
    html! {
        @if let Some(tool) = tool {
            @let title = format!("{} {}", tool.phase, tool.reason);
            span class={ "phase " (class(&tool.phase)) } title=(text(&title)) {
                span aria-hidden="true" { (sign(&tool.phase)) } span.hidden { (text(&tool.phase)) }
            }
            @if let Some(version) = &tool.version { " " span.faint { (text(version)) } }
        } @else { span.faint { "–" } }
    }
}

fn pager(params: &Params, number: usize, pages: usize) -> Markup {
    let link = |number: usize| Params { page: number.to_string(), ..params.clone() }.link("/clusters");
    html! {
        nav.pager aria-label="Pages" {
            @if number > 1 { a rel="prev" href=(link(number - 1)) { "Previous" } " " }
            "Page " (number) " of " (pages)
            @if number < pages { " " a rel="next" href=(link(number + 1)) { "Next" } }
        }
    }
}
