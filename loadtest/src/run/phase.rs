//! One phase of a script: the state at its start, and the measures at its end.

use std::collections::BTreeMap;
use std::time::Duration;

use testkit::usage::{Usage, steal};

use super::clusters::{Connections, RequestCounts};
use super::sampler::{Sample, Sampler};
use super::statuses::{Detections, Group, Statuses};
use super::{Fleet, Measure, RunError};

pub(super) struct Phase {
    name: String,
    at: f64,
    /// Position in the audit log.
    mark: u64,
    /// `None` if the targets have no counts.
    requests: Option<RequestCounts>,
    hub: Usage,
    steal: f64,
}

impl Phase {
    pub(super) fn begin(name: &str, fleet: &Fleet, sampler: &Sampler) -> Result<Self, RunError> {
        Ok(Self {
            name: name.to_owned(),
            at: sampler.now(),
            mark: fleet.hub.audit().mark(),
            requests: fleet.clusters.requests()?,
            hub: fleet.hub.api_server_usage()?,
            steal: steal(),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn end(
        self,
        fleet: &mut Fleet,
        sampler: &Sampler,
        statuses: &Statuses,
    ) -> Result<Vec<Measure>, RunError> {
        let seconds = (sampler.now() - self.at).max(f64::MIN_POSITIVE);
        let stolen = (steal() - self.steal) / seconds;
        let hub = fleet.hub.api_server_usage()?.cores_since(&self.hub, Duration::from_secs_f64(seconds));
        let mut measures = self.changes(statuses);
        measures.extend(self.machine(fleet, &sampler.since(self.at)));
        measures.extend(self.targets(fleet, seconds)?);
        measures.push(self.measure("hub: CPU of the API server", "cores", vec![hub]));
        measures.extend(self.hub(fleet)?);
        measures.push(self.measure("machine: steal", "cores", vec![stolen]));
        let ended = u32::from(fleet.replicas.check().is_err());
        measures.push(self.measure("replicas that ended", "", vec![f64::from(ended)]));
        Ok(measures)
    }

    fn measure(&self, what: &str, unit: &'static str, samples: Vec<f64>) -> Measure {
        Measure::new(&format!("{}: {what}", self.name), unit, samples, None)
    }

    fn changes(&self, statuses: &Statuses) -> Vec<Measure> {
        let (Detections { mut took, unprovoked, superseded }, waiting) = statuses.take();
        let mut measures = Vec::new();
        let groups = [
            (Group::Change, "change until the status shows it", "changes never seen"),
            (Group::Fault, "fault until the status shows it", "faults never seen"),
        ];
        for (group, what, never) in groups {
            let (took, of) = (took.remove(&group).unwrap_or_default(), |counts: &BTreeMap<Group, u32>| {
                counts.get(&group).copied().unwrap_or_default()
            });
            let unseen = of(&waiting) + of(&superseded);
            if !took.is_empty() || unseen > 0 {
                measures.push(self.measure(what, "s", took));
                measures.push(self.measure(never, "", vec![f64::from(unseen)]));
            }
        }
        measures.push(self.measure("unprovoked changes", "", vec![f64::from(unprovoked)]));
        measures
    }

    fn machine(&self, fleet: &Fleet, samples: &[Sample]) -> Vec<Measure> {
        let all = |of: fn(&Sample) -> f64| samples.iter().map(of).collect::<Vec<_>>();
        let memory = all(|sample| sample.memory);
        let cores = all(|sample| sample.cores);
        let mean = cores.iter().sum::<f64>() / cores.len().max(1) as f64;
        let per_target = memory.iter().map(|mib| mib * 1024.0 / f64::from(fleet.targets)).collect();
        vec![
            self.measure("memory of all replicas", "MiB", memory),
            self.measure("memory of all replicas per target", "KiB", per_target),
            self.measure("CPU of all replicas", "cores", vec![mean]),
            self.measure("open files of all replicas", "", all(|sample| sample.fds as f64)),
            self.measure("threads of all replicas", "", all(|sample| sample.threads as f64)),
        ]
    }

    fn targets(&self, fleet: &Fleet, seconds: f64) -> Result<Vec<Measure>, RunError> {
        let (Some(now), Some(then)) = (fleet.clusters.requests()?, self.requests) else { return Ok(Vec::new()) };
        let targets = f64::from(fleet.targets);
        let rate = |now: u64, before: u64| vec![(now - before) as f64 / seconds];
        let mut measures = Vec::new();
        if let (Some(Connections { accepted, open }), Some(before)) = (now.connections, then.connections) {
            let per_target = (accepted - before.accepted) as f64 / targets;
            measures.push(self.measure("connections accepted per target", "", vec![per_target]));
            measures.push(self.measure("connections open per target", "", vec![open as f64 / targets]));
        }
        measures.extend([
            self.measure("lists", "/s", rate(now.lists, then.lists)),
            self.measure("watches begun", "/s", rate(now.watches, then.watches)),
            self.measure("liveness requests", "/s", rate(now.liveness, then.liveness)),
        ]);
        Ok(measures)
    }

    fn hub(&self, fleet: &Fleet) -> Result<Vec<Measure>, RunError> {
        let mut writes: BTreeMap<String, u32> = BTreeMap::new();
        for (name, _) in fleet.writes_since(self.mark)? {
            *writes.entry(name).or_default() += 1;
        }
        let is_status = |name: &&String| name.ends_with("integrationtargets status");
        let statuses: u32 = writes.iter().filter(|(name, _)| is_status(name)).map(|(_, count)| count).sum();
        let per_target = f64::from(statuses) / f64::from(fleet.targets);
        let mut measures = vec![
            self.measure("status writes", "", vec![f64::from(statuses)]),
            self.measure("status writes per target", "", vec![per_target]),
        ];
        let others = writes.iter().filter(|(name, _)| !is_status(name));
        measures.extend(others.map(|(name, count)| self.measure(&format!("hub: {name}"), "", vec![f64::from(*count)])));
        Ok(measures)
    }
}
