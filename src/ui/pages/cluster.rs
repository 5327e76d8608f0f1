//! Cluster: everything about one.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use maud::{Markup, html};

use super::{Page, View, ago, phase, short, text};
use crate::api::{
    ComponentStatus, IntegrationResult, IntegrationTargetStatus, MaintenanceStatus, ResourceCounts, TransitionRecord,
};
use crate::domain::keys::ObjectKey;
use crate::lists::ClusterRow;
use crate::ui::commands::commands;
use crate::ui::links::tool_link;

/// The cluster's page; `None` if there is none that the user may see.
pub(super) fn page(view: &View, namespace: &str, name: &str) -> Option<Page> {
    let cluster = view.fleet.clusters.get(&ObjectKey::new(namespace, name));
    let cluster = cluster.filter(|_| view.access.allows(namespace))?;
    let (row, status) = (&cluster.row, cluster.status());
    let main = html! {
        h1 { (text(name)) " " (phase(&row.phase)) }
        p {
            span.faint { (text(namespace)) } ", since " (ago(row.since.as_deref(), view.now))
            @if cluster.is_paused() { ", " b { "paused by a user" } }
        }
        @if let Some(window) = &row.maintenance { (maintenance(view, window)) }
        @if let Some(message) = &status.message { p.message { (text(message)) } }
        @for tool in &status.integrations { (tool_section(view, row, cluster.cluster_name(), tool)) }
        (connection(view, &status))
        (history(view, &status.history))
        section.card {
            h2 { "Labels" }
            ul.names { @for (key, value) in &row.labels { li { code { (text(key)) "=" (text(value)) } } } }
        }
    };
    Some(Page { title: name.to_owned(), main })
}

fn maintenance(view: &View, window: &MaintenanceStatus) -> Markup {
    let left = window.until.parse::<Timestamp>().map(|until| until.duration_since(view.now).as_secs());
    html! {
        p {
            span.badge.plain { "Maintenance" } " " (text(&window.name)) ", until " (text(&window.until))
            @if let Ok(left) = left { " (" (short(left)) ")" }
            @if !window.integrations.is_empty() { ": " (text(&window.integrations.join(", "))) }
        }
    }
}

fn tool_section(view: &View, row: &ClusterRow, cluster_name: &str, tool: &IntegrationResult) -> Markup {
    let integration = view.fleet.integrations.get(&ObjectKey::new(row.namespace.as_str(), tool.name.as_str()));
    let link = integration.and_then(|integration| tool_link(integration, row, cluster_name));
    html! {
        section.card {
            h2 {
                (text(&tool.name)) " " (phase(&tool.phase))
                @if let Some(version) = &tool.version { " " span.faint { (text(version)) } }
                @if let Some(link) = link { " " a href=(link) rel="noreferrer" { "Open its page" } }
            }
            p { (text(&tool.reason)) ", since " (ago(tool.last_transition_time.as_deref(), view.now)) }
            @if let Some(message) = &tool.message { p.message { (text(message)) } }
            @if !tool.components.is_empty() { (components(view, &tool.components)) }
            @if !tool.healthy_components.is_empty() {
                details { summary { (tool.healthy_components.len()) " healthy components" }
                    ul.names { @for name in &tool.healthy_components { li { (text(name)) } } }
                }
            }
            @if !tool.resources.is_empty() { (resources(view, &tool.resources)) }
            @let commands = commands(row, cluster_name, tool);
            @if !commands.is_empty() {
                h3 { "Look further" }
                @for command in commands { pre { (text(&command)) } }
            }
        }
    }
}

fn components(view: &View, components: &[ComponentStatus]) -> Markup {
    let count = |count: Option<u32>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    html! {
        div.scroll tabindex="0" role="region" aria-label="Components" { table {
            thead { tr { th scope="col" { "Component" } th scope="col" { "State" } th scope="col" { "Ready" } th scope="col" { "Since" } th scope="col" { "Message" } } }
            tbody { @for part in components { tr {
                th scope="row" {
                    (text(&part.kind)) " " (text(&part.name))
                    @if let Some(namespace) = &part.namespace { " " span.faint { (text(namespace)) } }
                }
                td { (text(&part.state)) }
                td { @if part.ready.is_some() || part.desired.is_some() { (count(part.ready)) "/" (count(part.desired)) } }
                td { (ago(part.since.as_deref(), view.now)) }
                td.message { (text(part.message.as_deref().unwrap_or_default())) }
            } } }
        } }
    }
}

fn resources(view: &View, resources: &[ResourceCounts]) -> Markup {
    html! {
        h3 { "Managed objects" }
        @for counts in resources {
            p {
                b { (text(&counts.kind)) } ": " (counts.total) " in all, " (counts.failing) " failing, "
                (counts.progressing) " progressing, " (counts.suspended) " suspended"
                @if counts.unknown > 0 { ", " (counts.unknown) " unknown" }
            }
            @if let Some(message) = &counts.message { p.message { (text(message)) } }
            @if !counts.worst.is_empty() {
                ul.names { @for object in &counts.worst { li {
                    (text(&object.place())) " "
                    span.faint { (text(object.reason.as_deref().unwrap_or_default())) " " (ago(object.since.as_deref(), view.now)) }
                } } }
            }
        }
    }
}

fn connection(view: &View, status: &IntegrationTargetStatus) -> Markup {
    html! {
        section.card {
            h2 { "Connection" }
            dl {
                @if let Some(server) = &status.server { dt { "Server" } dd { (text(server)) } }
                @if let Some(replica) = &status.reported_by { dt { "Checked by" } dd { (text(replica)) } }
                @if let Some(managed_by) = &status.managed_by { dt { "Installation" } dd { (text(managed_by)) } }
                dt { "Last written" } dd { (ago(status.last_sync_time.as_deref(), view.now)) " ago" }
            }
            div.scroll tabindex="0" role="region" aria-label="Conditions" { table {
                thead { tr { th scope="col" { "Condition" } th scope="col" { "Status" } th scope="col" { "Reason" } th scope="col" { "Since" } th scope="col" { "Message" } } }
                tbody { @for condition in &status.conditions { (condition_row(view, condition)) } }
            } }
        }
    }
}

fn condition_row(view: &View, condition: &Condition) -> Markup {
    let since = condition.last_transition_time.0.to_string();
    html! { tr {
        th scope="row" { (text(&condition.type_)) }
        td { (text(&condition.status)) }
        td { (text(&condition.reason)) }
        td { (ago(Some(&since), view.now)) }
        td.message { (text(&condition.message)) }
    } }
}

fn history(view: &View, history: &[TransitionRecord]) -> Markup {
    html! {
        section.card {
            h2 { "History" }
            @if history.is_empty() { p { "Nothing has changed since ksit first saw this cluster." } }
            ol.history { @for change in history.iter().rev() { li {
                (ago(Some(&change.time), view.now)) " ago: "
                b { (text(change.integration.as_deref().unwrap_or("the cluster"))) } " "
                (phase(&change.from)) " → " (phase(&change.to)) " " span.faint { (text(&change.reason)) }
            } } }
        }
    }
}
