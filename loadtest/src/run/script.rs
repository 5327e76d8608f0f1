//! Scenario files: steps applied to the fleet, and limits for the measures.

use std::time::Duration;

use serde::Deserialize;
use simulator::Fault;

use super::RunError;

/// Embedded scenarios.
const EMBEDDED: [(&str, &str); 17] = [
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
    ("hostile", include_str!("../../scenarios/hostile.yaml")),
    ("poll", include_str!("../../scenarios/poll.yaml")),
    ("churn", include_str!("../../scenarios/churn.yaml")),
    ("versions", include_str!("../../scenarios/versions.yaml")),
    ("proxy", include_str!("../../scenarios/proxy.yaml")),
    ("managed", include_str!("../../scenarios/managed.yaml")),
];

/// Former names of embedded scenarios.
const ALIASES: [(&str, &str); 1] = [("poison", "hostile")];

/// A scenario file.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Script {
    /// Purpose, in one sentence.
    pub about: String,
    /// Types of the integrations that select every target.
    #[serde(default = "all_integrations")]
    pub integrations: Vec<String>,
    /// Applications, and as many Kustomizations, on each simulated cluster. A tool fails as soon as one of them does.
    #[serde(default)]
    pub managed: u16,
    /// Executed one after the other.
    pub steps: Vec<Step>,
    /// Compared with the measures at the end; empty if the script only measures.
    #[serde(default)]
    pub limits: Vec<Bound>,
}

/// A duration as Kubernetes writes it: 20ms, 30s, 1m30s.
pub type Span = kube::core::Duration;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Step {
    /// Starts a phase, which names the measures from here on; a repeated phase adds samples.
    Phase(String),
    Wait(Span),
    /// Waits until every status is right, up to this time.
    UntilRight(Span),
    /// Breaks random components at a rate and repairs each after a while.
    BreakAndMend(BreakAndMend),
    /// Breaks one component of every target.
    BreakAll,
    MendAll,
    Inject(Inject),
    /// Removes the faults.
    Heal,
    /// Sets the network delay of all targets.
    Delay(Span),
    Kill(Role),
    /// Restarts one replica after the other.
    RestartReplicas,
    /// With `--limit`: ends all replicas and measures again how long the baseline takes to watch everything.
    #[serde(alias = "floor")]
    Baseline,
    /// Like `Baseline`, while a bare client reads from the hub what a start must read.
    #[serde(alias = "floorWithHub")]
    BaselineWithHub,
    /// Ends all running replicas, then starts them together.
    ColdStart,
    Rotate(Rotate),
    /// Names one forward proxy in every kubeconfig; it is used from the next start of the replicas on.
    Proxy,
    /// Gives the targets this many versions of Flux in turn: 1.0.0, 1.1.0, …
    Versions(u8),
    /// Moves this many targets from version 1.0.0 of Flux to 1.1.0, one after the other.
    Upgrade(u32),
    RemoveTargets(u32),
    /// Adds the removed targets again.
    AddTargets,
    Repeat(Repeat),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BreakAndMend {
    pub breaks_per_second: f64,
    /// Time from a break to its repair.
    #[serde(default = "ten_seconds")]
    pub hold: Span,
    pub r#for: Span,
    /// Breaks managed objects instead of components.
    #[serde(default)]
    pub managed: bool,
    /// Changes to healthy managed objects meanwhile.
    #[serde(default)]
    pub touches_per_second: f64,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inject {
    pub fault: Fault,
    /// Fraction of all targets: 0.2 is a fifth.
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
    /// Time within which all Secrets get a new token.
    pub within: Span,
    /// How long the old token remains valid.
    pub overlap: Span,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repeat {
    pub times: u32,
    pub steps: Vec<Step>,
}

/// A limit: the measure may be at most `most`, or with `times`, `most` times another measure.
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
    /// Loads an embedded scenario by name, else a file.
    ///
    /// # Errors
    /// Fails if the name is neither, the file can't be read, or it is not a valid script.
    pub fn load(name: &str) -> Result<Self, RunError> {
        let known = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| *name);
        let text = match EMBEDDED.iter().find(|(embedded, _)| *embedded == known) {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name).map_err(|error| {
                format!("--scenario: {name} is neither a scenario ({}) nor a file: {error}", Self::names().join(", "))
            })?,
        };
        serde_saphyr::from_str(&text).map_err(|error| format!("--scenario: {name}: {error}").into())
    }

    /// The first step that only simulated clusters support.
    pub fn needs_simulator(&self) -> Option<String> {
        first_simulated(&self.steps)
    }

    /// Names of the embedded scenarios.
    pub fn names() -> Vec<&'static str> {
        EMBEDDED.iter().map(|(name, _)| *name).collect()
    }
}

fn first_simulated(steps: &[Step]) -> Option<String> {
    steps.iter().find_map(|step| match step {
        Step::Inject(_) => Some("inject".to_owned()),
        Step::Delay(_) => Some("delay".to_owned()),
        Step::Rotate(_) => Some("rotate".to_owned()),
        Step::Proxy => Some("proxy".to_owned()),
        Step::Versions(_) => Some("versions".to_owned()),
        Step::Upgrade(_) => Some("upgrade".to_owned()),
        Step::Repeat(repeat) => first_simulated(&repeat.steps),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_scenarios_load_and_state_their_purpose() {
        for name in Script::names().into_iter().chain(["poison"]) {
            let script = Script::load(name).unwrap();
            assert!(script.about.ends_with('.') && !script.steps.is_empty(), "{name}");
        }
        assert!(Script::load("unknown").is_err_and(|error| error.to_string().contains("cold-start")));
    }

    #[test]
    fn faults_need_the_simulator_even_within_repeats() {
        let needs = |name: &str| Script::load(name).unwrap().needs_simulator();
        assert_eq!(needs("cold-start"), None);
        assert_eq!(needs("all-break"), None);
        assert_eq!(needs("hang").as_deref(), Some("inject"));
        let text = "about: x.\nsteps: [{ repeat: { times: 2, steps: [{ delay: 20ms }] } }]\n";
        let script: Script = serde_saphyr::from_str(text).unwrap();
        assert_eq!(script.needs_simulator().as_deref(), Some("delay"));
    }

    #[test]
    fn steps_are_parsed() {
        let text = "about: x.\nsteps: [{ phase: a }, { wait: 30s }, breakAll, { kill: worker },\n\
            { repeat: { times: 2, steps: [heal] } }, { inject: { fault: hang-in-tls, share: 0.2 } }, floor,\n\
            { inject: { fault: giant-body, share: 0.2 } }]\n";
        let script: Script = serde_saphyr::from_str(text).unwrap();
        assert!(matches!(&script.steps[3], Step::Kill(Role::Worker)));
        assert!(matches!(&script.steps[5], Step::Inject(Inject { fault: Fault::HangInTls, .. })));
        assert!(matches!(&script.steps[6], Step::Baseline), "a former name");
        assert!(matches!(&script.steps[7], Step::Inject(Inject { fault: Fault::OversizedBody, .. })), "a former name");
        assert!(serde_saphyr::from_str::<Script>("about: x.\nsteps: [{ brake: 1 }]\n").is_err());
    }
}
