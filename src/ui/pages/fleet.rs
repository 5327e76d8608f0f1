//! Fleet: tools by groups of clusters, and a mark for each cluster.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};

use super::{Page, View, class, cluster_path, sign, text};
use crate::domain::verdict::Phase;
use crate::lists::ClusterRow;
use crate::ui::params::{BadParam, Params};

/// Groups that are shown; the rest are one group.
const MAX_GROUPS: usize = 12;

/// Clusters without the label.
const UNLABELLED: &str = "(none)";

/// Groups beyond the limit.
const OTHERS: &str = "(others)";

/// Clusters of one group.
type Groups<'a> = BTreeMap<String, Vec<&'a ClusterRow>>;

/// Clusters of one tool in one group.
#[derive(Default)]
struct Cell {
    all: usize,
    failed: usize,
    degraded: usize,
    unknown: usize,
}

impl Cell {
    fn add(&mut self, phase: &str) {
        self.all += 1;
        match Phase::read(phase) {
            Some(Phase::Failed) => self.failed += 1,
            Some(Phase::Unknown | Phase::Other(_)) | None => self.unknown += 1,
            Some(Phase::Degraded) => self.degraded += 1,
            Some(Phase::Running | Phase::Initializing | Phase::Paused | Phase::NotInstalled) => {}
        }
    }

    fn worst(&self) -> &'static str {
        match self {
            Self { failed: 1.., .. } => "Failed",
            Self { unknown: 1.., .. } => "Unknown",
            Self { degraded: 1.., .. } => "Degraded",
            _ => "Running",
        }
    }

    /// The number of clusters in the worst phase.
    fn count(&self) -> usize {
        [self.failed, self.unknown, self.degraded].into_iter().find(|count| *count > 0).unwrap_or_default()
    }
}

pub(super) fn page(view: &View) -> Result<Page, BadParam> {
    let rows = view.rows()?;
    let by = chosen_label(view.params, &rows);
    let groups = groups(&rows, by.as_deref());
    let main = html! {
        h1 { "Fleet" }
        (summary(view.params, &rows))
        @if rows.is_empty() { (empty(view)) } @else {
            (grouping(view.params, &rows, by.as_deref()))
            (matrix(view.params, &groups, by.as_deref()))
            h2 { "Clusters" }
            @for (name, rows) in &groups { (heat_map(name, rows)) }
        }
    };
    Ok(Page { title: "Fleet".to_owned(), main })
}

fn empty(view: &View) -> Markup {
    html! {
        @if view.fleet.listed.contains("IntegrationTarget") {
            p { "No cluster is here yet. Add one from your kubeconfig: " code { "ksit target add --context NAME" } }
        } @else { p { "The hub has not answered yet." } }
    }
}

/// The number of clusters by phase, each a link to them.
fn summary(params: &Params, rows: &[&ClusterRow]) -> Markup {
    let mut counts: BTreeMap<Phase, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.rank()).or_default() += 1;
    }
    let link = |phase: &str| Params { phase: phase.to_owned(), ..params.scope() }.link("/clusters");
    html! {
        ul.tiles {
            li { a href=(params.scope().link("/clusters")) { b { (rows.len()) } " clusters" } }
            @for (phase, count) in counts {
                li class=(class(phase.as_str())) {
                    a href=(link(phase.as_str())) {
                        b { (count) } " " span aria-hidden="true" { (sign(phase.as_str())) } " " (phase.as_str())
                    }
                }
            }
        }
    }
}

/// The label that groups the fleet: as asked for, else the first of the usual ones that tells clusters apart.
fn chosen_label(params: &Params, rows: &[&ClusterRow]) -> Option<String> {
    if !params.by.is_empty() {
        return Some(params.by.clone());
    }
    let usual = ["env", "environment", "stage", "region", "zone", "wave", "tier"];
    let is_there = |label: &&&str| rows.iter().any(|row| row.labels.contains_key(**label));
    usual.iter().find(is_there).map(|label| (*label).to_owned())
}

fn grouping(params: &Params, rows: &[&ClusterRow], by: Option<&str>) -> Markup {
    let labels: BTreeSet<&str> = rows.iter().flat_map(|row| row.labels.keys()).map(String::as_str).collect();
    let labels: Vec<&str> = labels.into_iter().filter(|label| *label != "ksit.io/slot").take(50).collect();
    html! {
        form.filter method="get" action="/" {
            label { "Group by "
                select name="by" {
                    @for label in labels { option value=(label) selected[by == Some(label)] { (text(label)) } }
                }
            }
            label { "Labels " input name="l" value=(params.l) placeholder="env=prod"; }
            @if !params.ns.is_empty() { input type="hidden" name="ns" value=(params.ns); }
            button type="submit" { "Show" }
        }
    }
}

fn groups<'a>(rows: &[&'a ClusterRow], by: Option<&str>) -> Groups<'a> {
    let value = |row: &ClusterRow| match by {
        Some(by) => row.labels.get(by).cloned().unwrap_or_else(|| UNLABELLED.to_owned()),
        None => "all".to_owned(),
    };
    let mut groups: Groups = BTreeMap::new();
    for row in rows {
        groups.entry(value(row)).or_default().push(row);
    }
    if groups.len() > MAX_GROUPS {
        let mut sizes: Vec<(usize, String)> = groups.iter().map(|(name, rows)| (rows.len(), name.clone())).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        for (_, name) in sizes.split_off(MAX_GROUPS - 1) {
            let rows = groups.remove(&name).unwrap_or_default();
            groups.entry(OTHERS.to_owned()).or_default().extend(rows);
        }
    }
    groups
}

/// Tools by groups. A cell says how many of all clusters are in its worst phase.
fn matrix(params: &Params, groups: &Groups, by: Option<&str>) -> Markup {
    let mut tools: BTreeMap<&str, BTreeMap<&str, Cell>> = BTreeMap::new();
    for (name, rows) in groups {
        for tool in rows.iter().flat_map(|row| &row.tools) {
            tools.entry(tool.title()).or_default().entry(name).or_default().add(&tool.phase);
        }
    }
    html! {
        div.scroll tabindex="0" role="region" aria-label="Tools by groups of clusters" {
            table.matrix {
                thead { tr { th scope="col" { "Tool" } @for name in groups.keys() { th scope="col" { (text(name)) } } } }
                tbody {
                    @for (tool, cells) in &tools {
                        tr {
                            th scope="row" { (text(tool)) }
                            @for name in groups.keys() { td { @match cells.get(name.as_str()) {
                                Some(cell) => (matrix_cell(params, cell, tool, name, by)),
                                None => span.faint { "–" },
                            } } }
                        }
                    }
                }
            }
        }
    }
}

fn matrix_cell(params: &Params, cell: &Cell, tool: &str, group: &str, by: Option<&str>) -> Markup {
    let worst = cell.worst();
    let phase = if worst == "Running" { String::new() } else { worst.to_owned() };
    let labels = match (by, group) {
        (Some(by), UNLABELLED) => format!("!{by}"),
        (Some(by), group) if group != OTHERS => format!("{by}={group}"),
        _ => String::new(),
    };
    let all: Vec<&str> = [params.l.as_str(), &labels].into_iter().filter(|part| !part.is_empty()).collect();
    let link = Params { type_: tool.to_owned(), phase, l: all.join(","), ..params.scope() }.link("/clusters");
    html! {
        a.cell.(class(worst)) href=(link) {
            span.hidden { (text(tool)) ": " }
            span aria-hidden="true" { (sign(worst)) }
            @if cell.count() > 0 { " " b { (cell.count()) } "/" (cell.all) } @else { " " (cell.all) }
            span.hidden { " " (worst) }
        }
    }
}

/// A mark for each cluster, the worst first. Only those that need a look are links: ten thousand links would be a page of
/// megabytes.
fn heat_map(name: &str, rows: &[&ClusterRow]) -> Markup {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| (a.rank(), &a.namespace, &a.name).cmp(&(b.rank(), &b.namespace, &b.name)));
    let bad = rows.iter().filter(|row| is_linked(row)).count();
    html! {
        section.heat {
            h3 { (text(name)) " " span.faint { (rows.len()) @if bad > 0 { ", " (bad) " need a look" } } }
            div.marks {
                @for row in &rows {
                    @if is_linked(row) {
                        a.(class(&row.phase)) href=(cluster_path(&row.namespace, &row.name))
                            title={ (text(&row.name)) ": " (text(&row.phase)) } {
                            span aria-hidden="true" { (sign(&row.phase)) }
                            span.hidden { (text(&row.name)) " " (text(&row.phase)) }
                        }
                    } @else { i.(class(&row.phase)) {} }
                }
            }
        }
    }
}

fn is_linked(row: &ClusterRow) -> bool {
    row.rank().is_bad() || row.rank() == Phase::Degraded
}
