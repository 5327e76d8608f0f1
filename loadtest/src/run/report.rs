//! What a run found: one form for all scenarios.

use serde::Serialize;

use super::Settings;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub scenario: String,
    pub targets: u32,
    pub replicas: u32,
    pub cores: usize,
    pub measures: Vec<Measure>,
}

/// Samples of one quantity, and what the largest may be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    pub name: String,
    pub unit: &'static str,
    pub samples: Vec<f64>,
    pub median: f64,
    pub max: f64,
    pub limit: Option<f64>,
}

impl Measure {
    pub fn new(name: &str, unit: &'static str, mut samples: Vec<f64>, limit: Option<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let median = samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN);
        let max = samples.last().copied().unwrap_or(f64::NAN);
        Self { name: name.to_owned(), unit, samples, median, max, limit }
    }

    /// Without a sample nothing was shown.
    pub fn is_ok(&self) -> bool {
        !self.samples.is_empty() && self.limit.is_none_or(|limit| self.max <= limit)
    }
}

impl Report {
    pub(super) fn new(settings: &Settings, measures: Vec<Measure>) -> Self {
        Self {
            scenario: format!("{:?}", settings.scenario).to_lowercase(),
            targets: settings.targets,
            replicas: settings.replicas,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            measures,
        }
    }

    pub fn is_ok(&self) -> bool {
        self.measures.iter().all(Measure::is_ok)
    }

    /// As Markdown.
    pub fn table(&self) -> String {
        let mut text = "| what | n | median | max | limit | |\n| --- | --- | --- | --- | --- | --- |\n".to_owned();
        for measure in &self.measures {
            let Measure { name, unit, samples, median, max, limit } = measure;
            let limit = limit.map_or("-".to_owned(), |limit| format!("{limit:.2} {unit}"));
            let verdict = if measure.is_ok() { "ok" } else { "MISSED" };
            let n = samples.len();
            text.push_str(&format!("| {name} | {n} | {median:.2} {unit} | {max:.2} {unit} | {limit} | {verdict} |\n"));
        }
        text
    }
}
