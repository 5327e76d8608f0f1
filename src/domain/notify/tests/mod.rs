//! Notifiers over hours, with a receiver that keeps what arrives.

mod causes;
mod requests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::cause::{Fact, Tool};
use super::delivery::{Delivery, DeliveryFault, Kind, Message};
use super::notifications::{MOST, Notifications};
use super::record::{Record, Standing};
use super::spec::{Receiver, SecretKey, Spec};
use super::{Cause, Now};
use crate::domain::keys::NotifierKey;
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

const NO_LABELS: &BTreeMap<String, String> = &BTreeMap::new();

/// A Notifier, the faults of its namespace, and a receiver that keeps what arrives.
struct Story {
    spec: Spec,
    state: Notifications,
    now: Now,
    faults: Vec<Fact<'static>>,
    arrived: Vec<Message>,
    requests: usize,
    works: bool,
}

fn spec(receiver: Receiver) -> Spec {
    Spec {
        key: NotifierKey::new("fleet", "chat"),
        generation: 1,
        integrations: BTreeSet::new(),
        types: BTreeSet::new(),
        selector: None,
        phases: [Phase::Failed].into(),
        after: seconds(120),
        recovered_after: seconds(60),
        remind_every: None,
        max_per_minute: 10,
        receiver,
    }
}

fn slack() -> Receiver {
    Receiver::Slack { url: SecretKey { name: "slack".to_owned(), key: "url".to_owned() } }
}

fn alertmanager() -> Receiver {
    Receiver::Alertmanager { url: "http://am:9093".to_owned(), labels: BTreeMap::new(), token: None, ca: None }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Story {
    fn with(receiver: Receiver) -> Self {
        let wall = Timestamp::from_second(1_800_000_000).unwrap();
        let now = Now { clock: seconds(1_000), wall };
        let state = Notifications::default();
        Self { spec: spec(receiver), state, now, faults: Vec::new(), arrived: Vec::new(), requests: 0, works: true }
    }

    /// The cluster has the fault from now on.
    fn breaks(&mut self, cluster: &'static str, tool: &'static str, reason: Reason) {
        let tool = Some(Tool { name: tool, type_name: "argocd" });
        let since = self.now.wall;
        let phase = Phase::Failed;
        let fact = Fact { tool, tools: &[], cluster, labels: NO_LABELS, phase, reason, since, silenced: false };
        self.faults.push(fact);
    }

    fn mends(&mut self, cluster: &str) {
        self.faults.retain(|fact| fact.cluster != cluster);
    }

    fn silence(&mut self, silenced: bool) {
        self.faults.iter_mut().for_each(|fact| fact.silenced = silenced);
    }

    /// Looks every two seconds, as the coordinator does.
    fn passes(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / 2 {
            self.now = Now { clock: self.now.clock + seconds(2), wall: self.now.wall + seconds(2) };
            self.look();
        }
    }

    fn look(&mut self) {
        self.state.observe(&self.spec, &self.faults, self.now);
        while let Some(delivery) = self.state.next(&self.spec, self.now) {
            self.requests += 1;
            if !self.works {
                let fault = DeliveryFault::new("ServerError", "the receiver answered 500");
                self.state.on_answer(&self.spec, Err(fault), self.now);
                continue;
            }
            match delivery {
                Delivery::One(message) => self.arrived.push(*message),
                Delivery::Digest(messages) | Delivery::Alerts { messages, .. } => self.arrived.extend(messages),
                Delivery::Test { .. } => unreachable!("only the command sends it"),
            }
            self.state.on_answer(&self.spec, Ok(()), self.now);
        }
    }

    fn record(&self) -> Record {
        self.state.record(1, Standing::after(None, true, "Accepted", String::new(), self.now.wall))
    }

    /// Another coordinator goes on from the status.
    fn changes_coordinator(&mut self) {
        self.state = Notifications::restored(self.record());
    }

    /// Kinds and counts of what has arrived since the last call.
    fn arrived(&mut self) -> Vec<(Kind, u32)> {
        std::mem::take(&mut self.arrived).into_iter().map(|message| (message.kind, message.clusters)).collect()
    }
}

fn names(count: usize) -> Vec<&'static str> {
    (0..count).map(|number| -> &'static str { Box::leak(format!("c{number:03}").into()) }).collect()
}
