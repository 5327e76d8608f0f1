//! A scenario as a file: what is done to the fleet, step by step, and what its measures must keep.

use std::time::Duration;

use serde::Deserialize;

use super::RunError;
use crate::simulator::Fault;

/// Scenarios that come with the program.
const EMBEDDED: [(&str, &str); 14] = [
    ("survey", include_str!("../../scenarios/survey.yaml")),
    ("cold-start", include_str!("../../scenarios/cold-start.yaml")),
    ("changes", include_str!("../../scenarios/changes.yaml")),
    ("detection", include_str!("../../scenarios/detection.yaml")),
    ("idle-watch", include_str!("../../scenarios/idle-watch.yaml")),
    ("hang", include_str!("../../scenarios/hang.yaml")),
    ("settle", include_str!("../../scenarios/settle.yaml")),
    ("blackout", include_str!("../../scenarios/blackout.yaml")),
    ("all-break", include_str!("../../scenarios/all-break.yaml")),
    ("kill", include_str!("../../scenarios/kill.yaml")),
    ("rotation", include_str!("../../scenarios/rotation.yaml")),
    ("poison", include_str!("../../scenarios/poison.yaml")),
    ("poll", include_str!("../../scenarios/poll.yaml")),
    ("churn", include_str!("../../scenarios/churn.yaml")),
];

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// What it shows, in a sentence.
    pub about: String,
    /// Types of the integrations that concern every target.
    #[serde(default = "all_integrations")]
    pub integrations: Vec<String>,
    pub steps: Vec<Step>,
    #[serde(default)]
    pub limits: Vec<Bound>,
}

/// A duration as Kubernetes writes it: 20ms, 30s, 1m30s.
pub type Span = kube::core::Duration;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// From here on measures are of the phase with that name; one that comes again goes on.
    Phase(String),
    Wait(Span),
    /// Waits until every status is right, at most so long.
    UntilRight(Span),
    /// Breaks components at random, so many a second, and mends each after a while.
    BreakAndMend(BreakAndMend),
    /// One component of every target.
    BreakAll,
    MendAll,
    Inject(Inject),
    /// Takes the faults away.
    Heal,
    /// Network delay of all targets.
    Delay(Span),
    Kill(Role),
    /// One replica after the other.
    RestartReplicas,
    /// With `--limit`: ends all replicas and measures once more how long the floor takes to watch everything.
    Floor,
    /// The same while a bare client reads of the hub what a start has to.
    FloorWithHub,
    /// Ends all replicas that run, then starts them together.
    ColdStart,
    Rotate(Rotate),
    RemoveTargets(u32),
    /// Those that were removed.
    AddTargets,
    Repeat(Repeat),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakAndMend {
    pub breaks_per_second: f64,
    /// From a break until it is mended.
    #[serde(default = "ten_seconds")]
    pub hold: Span,
    pub r#for: Span,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inject {
    pub fault: Fault,
    /// Of all targets: 0.2 is a fifth.
    pub share: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    Coordinator,
    Worker,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rotate {
    /// All Secrets get a new token within that time.
    pub within: Span,
    /// How long the old token is still good.
    pub overlap: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repeat {
    pub times: u32,
    pub steps: Vec<Step>,
}

/// A measure may be at most `most`; with `times` at most so many times another measure.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bound {
    pub measure: String,
    #[serde(default)]
    pub stat: Stat,
    pub most: f64,
    pub times: Option<String>,
    /// Added to the product.
    #[serde(default)]
    pub plus: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stat {
    P50,
    P99,
    #[default]
    Max,
}

fn all_integrations() -> Vec<String> {
    ["argocd", "flux", "prometheus", "istio", "cert-manager"].map(str::to_owned).to_vec()
}

fn ten_seconds() -> Span {
    Duration::from_secs(10).into()
}

impl Script {
    /// By its name, else from a file.
    pub fn load(name: &str) -> Result<Self, RunError> {
        let text = match EMBEDDED.iter().find(|(embedded, _)| *embedded == name) {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name).map_err(|error| {
                format!("--scenario: {name} is neither a scenario ({}) nor a file: {error}", Self::names().join(", "))
            })?,
        };
        serde_saphyr::from_str(&text).map_err(|error| format!("--scenario: {name}: {error}").into())
    }

    /// The first step that only simulated clusters can do.
    pub fn needs_simulator(&self) -> Option<String> {
        first_simulated(&self.steps)
    }

    /// Of those that come with the program.
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, _)| *name).collect()
    }
}

fn first_simulated(steps: &[Step]) -> Option<String> {
    steps.iter().find_map(|step| match step {
        Step::Inject(_) => Some("inject".to_owned()),
        Step::Delay(_) => Some("delay".to_owned()),
        Step::Rotate(_) => Some("rotate".to_owned()),
        Step::Repeat(repeat) => first_simulated(&repeat.steps),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_can_be_read_and_says_what_it_shows() {
        for name in Script::names() {
            let script = Script::load(name).unwrap();
            assert!(script.about.ends_with('.') && !script.steps.is_empty(), "{name}");
        }
        assert!(Script::load("unknown").is_err_and(|error| error.to_string().contains("cold-start")));
    }

    #[test]
    fn faults_need_the_simulator_also_within_repeats() {
        let needs = |name: &str| Script::load(name).unwrap().needs_simulator();
        assert_eq!(needs("cold-start"), None);
        assert_eq!(needs("all-break"), None);
        assert_eq!(needs("hang").as_deref(), Some("inject"));
        let text = "about: x.\nsteps: [{ repeat: { times: 2, steps: [{ delay: 20ms }] } }]\n";
        let script: Script = serde_saphyr::from_str(text).unwrap();
        assert_eq!(script.needs_simulator().as_deref(), Some("delay"));
    }

    #[test]
    fn steps_read_as_they_are_written() {
        let text = "about: x.\nsteps: [{ phase: a }, { wait: 30s }, breakAll, { kill: worker },\n\
            { repeat: { times: 2, steps: [heal] } }, { inject: { fault: hang-in-tls, share: 0.2 } }]\n";
        let script: Script = serde_saphyr::from_str(text).unwrap();
        assert!(matches!(&script.steps[3], Step::Kill(Role::Worker)));
        assert!(matches!(&script.steps[5], Step::Inject(Inject { fault: Fault::HangInTls, .. })));
        assert!(serde_saphyr::from_str::<Script>("about: x.\nsteps: [{ brake: 1 }]\n").is_err());
    }
}
