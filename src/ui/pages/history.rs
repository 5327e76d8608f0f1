//! History: availability and the latest changes.

use jiff::Timestamp;
use maud::{Markup, html};

use super::{Page, View, ago, cluster_path, phase, text};
use crate::history::{Availability, ChangeRow};
use crate::ui::history::{DAYS, Shown};
use crate::ui::params::Params;

/// Rows of availability.
const MAX_ROWS: usize = 100;

/// The page; `None` for `shown` if no history is kept.
pub(in crate::ui) fn page(view: &View, shown: Option<&Shown>) -> Page {
    let main = html! {
        h1 { "History" }
        @match shown {
            None => p { "No history is kept beyond the last 20 changes of each cluster. Start the page with "
                code { "--history FILE" } ", or set " code { "ui.history.enabled" } " in the chart." },
            Some(shown) => {
                @if let Some(why) = &shown.fault { p.stale role="alert" { "Nothing is recorded at the moment: " (text(why)) } }
                (form(view.params))
                (availability(view.params, shown))
                (changes(view, &shown.changes))
            }
        }
    };
    Page { title: "History".to_owned(), main }
}

fn form(params: &Params) -> Markup {
    html! {
        form.filter method="get" action="/history" {
            label { "Cluster " input #search name="q" type="search" value=(params.q) placeholder="name"; }
            label { "Tool " input name="type" value=(params.type_) placeholder="argocd"; }
            label { "Group by "
                select name="by" {
                    option value="" selected[params.by != "cluster"] { "tool" }
                    option value="cluster" selected[params.by == "cluster"] { "cluster" }
                }
            }
            button type="submit" { "Show" }
        }
    }
}

fn availability(params: &Params, shown: &Shown) -> Markup {
    html! {
        h2 { "Availability" }
        @if shown.availability.is_empty() { p { "Nothing is recorded yet." } } @else {
            p.faint { "Share of the known time in which the tools worked. Unknown time and maintenance count apart." }
            div.scroll tabindex="0" role="region" aria-label="Availability" { table {
                thead { tr {
                    th scope="col" { @if params.by == "cluster" { "Cluster" } @else { "Tool" } }
                    @for days in DAYS { th scope="col" { @if days == 1 { "24 h" } @else { (days) " d" } } }
                } }
                tbody { @for (name, found) in shown.availability.iter().take(MAX_ROWS) { tr {
                    th scope="row" { (text(name)) }
                    @for found in found { td.number { (share(found.as_ref())) } }
                } } }
            } }
            @if shown.availability.len() > MAX_ROWS { p.faint { "The worst " (MAX_ROWS) " of " (shown.availability.len()) "." } }
        }
    }
}

fn share(found: Option<&Availability>) -> Markup {
    let Some(found) = found else { return html! { span.faint { "–" } } };
    let apart = |seconds: i64, name: &str| (seconds > 0).then(|| format!("{} {name}", super::short(seconds)));
    let apart = [
        apart(found.down_seconds, "down"),
        apart(found.unknown_seconds, "unknown"),
        apart(found.maintenance_seconds, "maintenance"),
    ];
    let apart: Vec<String> = apart.into_iter().flatten().collect();
    html! {
        @match found.availability { Some(share) => (percent(share)), None => span.faint { "unknown" } }
        @if !apart.is_empty() { br; span.faint { (apart.join(", ")) } }
    }
}

/// A share that is 100 % only if it is: rounding would hide an outage.
fn percent(share: f64) -> String {
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.3} %", (share * 100_000.0).floor() / 1_000.0) }
}

fn changes(view: &View, changes: &[ChangeRow]) -> Markup {
    html! {
        h2 { "Changes" }
        @if changes.is_empty() { p { "No phase has changed." } }
        ol.history { @for change in changes {
            @let time = Timestamp::from_millisecond(change.at).map(|time| time.to_string()).unwrap_or_default();
            li {
                (ago(Some(&time), view.now)) " ago: "
                a href=(cluster_path(&change.namespace, &change.cluster)) { (text(&change.cluster)) } " "
                b { (text(&change.integration)) } " "
                @if change.phase.is_empty() { span.faint { "removed" } } @else { (phase(&change.phase)) }
                " " span.faint { (text(&change.reason)) }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_is_never_rounded_away() {
        assert_eq!([1.0, 0.999_999_9, 0.999, 0.5].map(percent), ["100 %", "99.999 %", "99.900 %", "50.000 %"]);
    }
}
