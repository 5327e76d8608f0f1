//! The JSON API below `/api/v1`: the same lists as the commands print with `-o json`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::history::{DAYS, Shown};
use super::pages::View;
use super::params::BadParam;
use crate::domain::keys::ObjectKey;
use crate::lists::problems;

/// Clusters on a page, unless `limit` says otherwise.
const LIMIT: usize = 100;

/// The most clusters on a page.
pub(super) const MAX_LIMIT: usize = 1_000;

/// The answer for a path below `/api/v1`; `None` if there is none.
///
/// # Errors
/// Fails if a parameter can't be read.
pub(super) fn answer(view: &View, path: &str, stale: Option<&str>) -> Result<Option<Value>, BadParam> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let mut found = match parts[..] {
        [""] => json!({ "paths": ["/api/v1/fleet", "/api/v1/clusters", "/api/v1/clusters/{namespace}/{name}",
            "/api/v1/problems", "/api/v1/versions", "/api/v1/history"] }),
        ["fleet"] => fleet(view)?,
        ["clusters"] => clusters(view)?,
        ["clusters", namespace, name] => match cluster(view, namespace, name) {
            Some(cluster) => cluster,
            None => return Ok(None),
        },
        ["problems"] => json!({ "items": value(&problems(view.rows()?)) }),
        ["versions"] => versions(view)?,
        _ => return Ok(None),
    };
    found["stale"] = json!(stale);
    Ok(Some(found))
}

/// Availability by name over each number of days, and the latest changes.
pub(super) fn history(shown: &Shown) -> Value {
    let availability: Vec<Value> = shown
        .availability
        .iter()
        .map(|(name, found)| {
            let days =
                DAYS.iter().zip(found).filter_map(|(days, found)| Some((format!("{days}d"), value(found.as_ref()?))));
            json!({ "name": name, "over": days.collect::<serde_json::Map<String, Value>>() })
        })
        .collect();
    json!({ "availability": availability, "changes": value(&shown.changes), "fault": shown.fault })
}

fn value(shown: &impl Serialize) -> Value {
    serde_json::to_value(shown).unwrap_or_default()
}

/// Clusters by phase, and those of each tool.
fn fleet(view: &View) -> Result<Value, BadParam> {
    let (mut clusters, mut tools) = (BTreeMap::<&str, u32>::new(), BTreeMap::<&str, BTreeMap<&str, u32>>::new());
    for row in view.rows()? {
        *clusters.entry(&row.phase).or_default() += 1;
        for tool in &row.tools {
            *tools.entry(&tool.type_).or_default().entry(&tool.phase).or_default() += 1;
        }
    }
    Ok(json!({ "clusters": clusters, "tools": tools }))
}

fn clusters(view: &View) -> Result<Value, BadParam> {
    let (order, page) = (view.params.order()?, view.params.page()?);
    let limit = match view.params.limit.as_str() {
        "" => LIMIT,
        text => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_LIMIT).contains(limit))
            .ok_or_else(|| BadParam { field: "limit", why: format!("use a number from 1 to {MAX_LIMIT}") })?,
    };
    let mut rows = view.rows()?;
    order.sort(&mut rows);
    let shown: Vec<_> = rows.iter().skip((page - 1).saturating_mul(limit)).take(limit).collect();
    Ok(json!({ "total": rows.len(), "page": page, "pages": rows.len().div_ceil(limit), "items": value(&shown) }))
}

/// The row of one cluster, and its whole status.
fn cluster(view: &View, namespace: &str, name: &str) -> Option<Value> {
    let cluster = view.fleet.clusters.get(&ObjectKey::new(namespace, name));
    let cluster = cluster.filter(|_| view.access.allows(namespace))?;
    let mut shown = value(&cluster.row);
    shown["status"] = value(&cluster.status());
    Some(shown)
}

/// The clusters of each version of a tool.
fn versions(view: &View) -> Result<Value, BadParam> {
    let mut tools = BTreeMap::<&str, BTreeMap<&str, u32>>::new();
    for tool in view.rows()?.into_iter().flat_map(|row| &row.tools) {
        if let Some(version) = &tool.version {
            *tools.entry(&tool.type_).or_default().entry(version).or_default() += 1;
        }
    }
    Ok(json!({ "tools": tools }))
}
