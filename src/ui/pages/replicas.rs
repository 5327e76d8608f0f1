//! Replicas: the owners of the clusters, and how fresh their statuses are.

use maud::{Markup, html};

use super::{Page, View, short, text};
use crate::api::ShardMap;
use crate::domain::slot::SlotSet;
use crate::lists::Freshness;
use kube::ResourceExt;

pub(super) fn page(view: &View) -> Page {
    let maps = view.fleet.maps.iter().filter(|(key, _)| view.access.allows(key.namespace()));
    let maps: Vec<&ShardMap> = maps.map(|(_, map)| map).collect();
    let main = html! {
        h1 { "Replicas" }
        @if maps.is_empty() { p { "No replica of ksit has written here yet, or you may not see its namespace." } }
        @for map in maps { (installation(view, map)) }
    };
    Page { title: "Replicas".to_owned(), main }
}

fn installation(view: &View, map: &ShardMap) -> Markup {
    let status = map.status.clone().unwrap_or_default();
    let freshness = Freshness::of(&status, view.now);
    let name = format!("{}/{}", map.namespace().unwrap_or_default(), map.name_any());
    html! {
        section.card {
            h2 { (text(&name)) }
            p.{ @if freshness.is_stale() { "stale" } @else { "calm" } } { (freshness.words()) }
            p.faint { "Term " (map.spec.term) ", epoch " (map.spec.epoch) }
            div.scroll tabindex="0" role="region" aria-label="Replicas" { table {
                thead { tr { th scope="col" { "Replica" } th scope="col" { "Slots" } th scope="col" { "Clusters" } th scope="col" { "Oldest observation" } } }
                tbody { @for member in &map.spec.members {
                    @let load = status.replicas.iter().find(|load| load.name == member.name);
                    tr {
                        th scope="row" { (text(&member.name)) @if member.name == map.spec.coordinator.name { " " span.badge.plain { "coordinator" } } }
                        td.number { (slots(&member.slots)) }
                        td.number { @if let Some(load) = load { (load.targets) } @else { "?" } }
                        td { @match load.and_then(|load| load.oldest_observation_seconds) {
                            Some(seconds) => (short(i64::from(seconds))), None => "–",
                        } }
                    }
                } }
            } }
        }
    }
}

fn slots(ranges: &str) -> String {
    ranges.parse::<SlotSet>().map_or_else(|_| "?".to_owned(), |slots| slots.len().to_string())
}
