//! Formats objects as `kubectl get` does: the API server builds the table, this module lays it out.

use kube::Client;
use serde::Deserialize;
use serde_json::Value;

const ACCEPT: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// The objects listed by `path` (`/apis/ksit.io/v1alpha1/integrations`) as a table in `kubectl get` format.
pub async fn get(client: &Client, path: &str) -> Result<String, kube::Error> {
    let request = http::Request::get(path).header(http::header::ACCEPT, ACCEPT).body(Vec::new());
    let table: Table = client.request(request.map_err(kube::Error::HttpError)?).await?;
    Ok(lay_out(&table))
}

fn lay_out(table: &Table) -> String {
    let shown: Vec<usize> =
        (0..table.column_definitions.len()).filter(|index| table.column_definitions[*index].priority == 0).collect();
    let heads = shown.iter().map(|index| table.column_definitions[*index].name.to_uppercase()).collect();
    let rows = table.rows.iter().map(|row| shown.iter().map(|index| text(row.cells.get(*index))).collect());
    let lines: Vec<Vec<String>> = std::iter::once(heads).chain(rows).collect();
    let widths: Vec<usize> = (0..shown.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("   ").trim_end())
    };
    lines.iter().map(line).collect()
}

fn text(cell: Option<&Value>) -> String {
    match cell {
        None | Some(Value::Null) => "<none>".to_owned(),
        Some(Value::String(text)) if text.is_empty() => "<none>".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
