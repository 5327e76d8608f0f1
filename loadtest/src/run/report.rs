//! The report of a run, in the same form for all scenarios.

use serde::Serialize;

use super::RunError;
use super::machine::Machine;
use super::sampler::Sample;
use super::script::{Bound, Stat};

/// The measures of one run, with the limits that they must keep.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// Purpose of the script; empty for a built-in scenario.
    pub about: String,
    /// Kind of the targets: `sim`, `local` or `kind`.
    pub provider: String,
    /// Check mode of the replicas: `auto` or `poll`.
    pub mode: String,
    /// Number of targets.
    pub targets: u32,
    /// Number of replicas at the start.
    pub replicas: u32,
    /// The machine, and the versions of the programs.
    pub machine: Machine,
    /// In the order in which they were measured first.
    pub measures: Vec<Measure>,
    /// The script's limits, and whether each was kept.
    pub verdicts: Vec<Verdict>,
    /// Resource usage of the replicas over time.
    pub samples: Vec<Sample>,
}

/// Samples of one quantity, with an optional upper limit.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Measure {
    pub name: String,
    pub unit: &'static str,
    pub samples: Vec<f64>,
    pub median: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
    pub limit: Option<f64>,
}

/// A limit of the script, compared with the measured value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub what: String,
    /// NaN, serialized as null, if it was not measured.
    pub found: f64,
    pub most: f64,
    pub is_ok: bool,
}

impl Measure {
    pub fn new(name: &str, unit: &'static str, mut samples: Vec<f64>, limit: Option<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        let max = samples.last().copied().unwrap_or(f64::NAN);
        let [median, p90, p99] = [50, 90, 99].map(|percent| percentile(&samples, percent));
        Self { name: name.to_owned(), unit, samples, median, p90, p99, max, limit }
    }

    /// Adds the samples of another phase of the same name.
    pub(super) fn add(&mut self, mut more: Self) {
        more.samples.append(&mut self.samples);
        *self = Self::new(&self.name, self.unit, more.samples, self.limit);
    }

    /// Whether the limit was kept. Without a sample it was not.
    pub fn is_ok(&self) -> bool {
        self.limit.is_none_or(|limit| !self.samples.is_empty() && self.max <= limit)
    }

    fn stat(&self, stat: Stat) -> f64 {
        match stat {
            Stat::P50 => self.median,
            Stat::P99 => self.p99,
            Stat::Max => self.max,
        }
    }
}

/// Adds a measure, merged with an existing one of the same name.
pub(super) fn record(measures: &mut Vec<Measure>, measure: Measure) {
    match measures.iter_mut().find(|known| known.name == measure.name) {
        Some(known) => known.add(measure),
        None => measures.push(measure),
    }
}

/// The smallest sample that `percent` percent of the samples do not exceed.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).copied().unwrap_or(f64::NAN)
}

impl Verdict {
    /// A script that did not run to its end.
    pub(super) fn stopped(error: &RunError) -> Self {
        let why = error.to_string().replace(['\n', '|'], " ");
        Self { what: format!("script ran to its end: {why}"), found: f64::NAN, most: f64::NAN, is_ok: false }
    }

    pub(super) fn of(bound: &Bound, measures: &[Measure]) -> Self {
        let stat =
            |name: &str| measures.iter().find(|measure| measure.name == name).map(|found| found.stat(bound.stat));
        let found = stat(&bound.measure).unwrap_or(f64::NAN);
        let most = match &bound.times {
            None => bound.most + bound.plus,
            Some(other) => bound.most * stat(other).unwrap_or(f64::NAN) + bound.plus,
        };
        let stat = format!("{:?}", bound.stat).to_lowercase();
        let what = match &bound.times {
            None => format!("{}, {stat}", bound.measure),
            Some(other) if bound.plus == 0.0 => format!("{}, {stat}: at most {} × {other}", bound.measure, bound.most),
            Some(other) => {
                format!("{}, {stat}: at most {} × {other} + {}", bound.measure, bound.most, bound.plus)
            }
        };
        // False for NaN: an unmeasured limit counts as missed.
        Self { what, found, most, is_ok: found <= most }
    }
}

impl Report {
    /// Whether every limit, in code and in the script, was kept; an unmeasured one was not.
    pub fn is_ok(&self) -> bool {
        self.measures.iter().all(Measure::is_ok) && self.verdicts.iter().all(|verdict| verdict.is_ok)
    }

    /// The measures as a Markdown table.
    pub fn table(&self) -> String {
        let mut text =
            "| what | n | median | p90 | p99 | max | limit | |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n"
                .to_owned();
        for measure in &self.measures {
            let Measure { name, unit, samples, median, p90, p99, max, limit } = measure;
            let verdict = match (limit, measure.is_ok()) {
                (None, _) => "",
                (Some(_), true) => "ok",
                (Some(_), false) => "MISSED",
            };
            let n = samples.len();
            let [median, p90, p99, max] = [median, p90, p99, max].map(|value| figure(*value, 2, unit));
            let limit = limit.map_or("-".to_owned(), |limit| figure(limit, 2, unit));
            text.push_str(&format!("| {name} | {n} | {median} | {p90} | {p99} | {max} | {limit} | {verdict} |\n"));
        }
        text
    }

    /// The limits as a Markdown table; empty without limits.
    pub fn verdict_table(&self) -> String {
        if self.verdicts.is_empty() {
            return String::new();
        }
        let mut text = "| limit | found | at most | |\n| --- | --- | --- | --- |\n".to_owned();
        for Verdict { what, found, most, is_ok } in &self.verdicts {
            let verdict = if *is_ok { "ok" } else { "MISSED" };
            let [found, most] = [found, most].map(|value| figure(*value, 3, ""));
            text.push_str(&format!("| {what} | {found} | {most} | {verdict} |\n"));
        }
        text
    }

    /// The whole report as a Markdown page. `plots` are file names relative to the page.
    pub fn page(&self, plots: &[String]) -> String {
        let Self { scenario, about, provider, mode, targets, replicas, machine, .. } = self;
        let Machine { cores, processor, memory_mib, kernel, ksit, loadtest, kube_apiserver } = machine;
        let images: String = plots.iter().map(|file| format!("![{file}]({file})\n\n")).collect();
        format!(
            "# {scenario}: {targets} targets, {replicas} replicas\n\n{about}\n\n\
             Provider {provider}, mode {mode}. {cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}; {ksit}, \
             loadtest {loadtest}, kube-apiserver {kube_apiserver}.\n\n{}\n{}\n{images}",
            self.verdict_table(),
            self.table()
        )
    }
}

/// Formats a value; a dash if it was not measured.
fn figure(value: f64, decimals: usize, unit: &str) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.decimals$} {unit}").trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(name: &str, samples: &[f64]) -> Measure {
        Measure::new(name, "s", samples.to_vec(), None)
    }

    fn bound(measure: &str, stat: Stat, most: f64, times: Option<&str>, plus: f64) -> Bound {
        Bound { measure: measure.to_owned(), stat, most, times: times.map(str::to_owned), plus }
    }

    #[test]
    fn percentiles_are_samples() {
        let hundred: Vec<f64> = (1..=100).map(f64::from).collect();
        let measure = measure("x", &hundred);
        assert_eq!((measure.median, measure.p90, measure.p99, measure.max), (50.0, 90.0, 99.0, 100.0));
        let one = Measure::new("x", "s", vec![7.0], Some(7.0));
        assert_eq!((one.median, one.p90, one.p99), (7.0, 7.0, 7.0));
        assert!(one.is_ok() && !Measure::new("x", "s", vec![], Some(1.0)).is_ok());
    }

    #[test]
    fn repeated_phase_adds_its_samples() {
        let mut measure = measure("x", &[1.0, 9.0]);
        measure.add(Measure::new("x", "s", vec![5.0], None));
        assert_eq!((measure.samples, measure.median, measure.max), (vec![1.0, 5.0, 9.0], 5.0, 9.0));
    }

    #[test]
    fn unmeasured_value_is_a_dash() {
        assert_eq!([2.5, f64::NAN].map(|value| figure(value, 2, "s")), ["2.50 s", "-"]);
        assert_eq!(figure(7.0, 3, ""), "7.000");
    }

    #[test]
    fn limit_is_a_value_or_a_multiple_of_another_measure() {
        let measures = [measure("a", &[1.0, 3.0]), measure("baseline", &[2.0])];
        let is_ok = |bound: &Bound| Verdict::of(bound, &measures).is_ok;
        assert!(is_ok(&bound("a", Stat::Max, 3.0, None, 0.0)));
        assert!(is_ok(&bound("a", Stat::Max, 1.5, Some("baseline"), 0.0)));
        assert!(!is_ok(&bound("a", Stat::Max, 1.4, Some("baseline"), 0.0)));
        assert!(is_ok(&bound("a", Stat::Max, 1.4, Some("baseline"), 1.0)));
        assert!(!is_ok(&bound("a", Stat::Max, 9.0, Some("unknown"), 0.0)), "an unmeasured limit is missed");
    }
}
