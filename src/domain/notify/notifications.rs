//! The messages of one Notifier: opens and ends causes, and picks the next request to its receiver.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Now;
use super::cause::{Cause, Fact, Tally};
use super::delivery::{Delivery, DeliveryFault, Kind, Message};
use super::open::Open;
use super::pace::Pace;
use super::record::{Record, Standing};
use super::spec::Spec;

/// Open causes of a Notifier at most: its status has to hold them. Further ones wait until others have ended.
pub(super) const MOST: usize = 100;

/// An alert is sent again after this time, as Prometheus does.
const RESEND: Duration = Duration::from_secs(60);

/// An alert that is not sent again ends after this time, as with Prometheus: four times the interval, and one minute.
const HOLDS_FOR: Duration = Duration::from_secs(300);

/// State of one Notifier. At most one request is under way.
#[derive(Debug, Default)]
pub struct Notifications {
    open: BTreeMap<Cause, Open>,
    under_way: Option<Vec<Sent>>,
    pace: Pace,
    /// Time at which an Alertmanager last had all alerts.
    synced: Option<Duration>,
    delivered: Option<Standing>,
    last_delivery: Option<Timestamp>,
}

/// A message that is under way.
#[derive(Debug)]
struct Sent {
    cause: Cause,
    kind: Kind,
    clusters: u32,
}

impl Notifications {
    /// As a former coordinator left it.
    pub fn restored(record: Record) -> Self {
        let Record { generation: _, accepted: _, delivered, last_delivery, open } = record;
        Self { open: open.into_iter().map(Open::restored).collect(), delivered, last_delivery, ..Self::default() }
    }

    /// Takes in all faults of the namespace as they are now.
    pub fn observe(&mut self, spec: &Spec, facts: &[Fact<'_>], now: Now) {
        // By borrowed names: there may be a hundred thousand facts, and few causes.
        let mut by_cause: BTreeMap<_, Tally> = BTreeMap::new();
        for fact in facts.iter().filter(|fact| spec.wants(fact)) {
            let cause = (fact.tool.map(|tool| tool.name), fact.phase, fact.reason);
            by_cause.entry(cause).or_default().add(fact);
        }
        let owned = |((tool, phase, reason), tally): ((Option<&str>, _, _), Tally)| {
            (Cause { integration: tool.map(str::to_owned), phase, reason }, tally)
        };
        let mut tallies: BTreeMap<Cause, Tally> = by_cause.into_iter().map(owned).collect();
        for (cause, open) in &mut self.open {
            open.update(tallies.remove(cause), spec.recovered_after, now);
        }
        self.open.retain(|_, open| open.ended.is_none() || open.attempted);
        for (cause, tally) in tallies {
            if tally.is_older_than(spec.after, now.wall) && self.open.len() < MOST {
                let open = Open::new(&spec.key, &cause, tally, now);
                self.open.insert(cause, open);
            }
        }
    }

    /// The next request to the receiver, if one is due. It counts as under way until [`Self::on_answer`].
    pub fn next(&mut self, spec: &Spec, now: Now) -> Option<Delivery> {
        if self.under_way.is_some() || self.pace.is_pausing(now.clock) {
            return None;
        }
        let (delivery, sent) = match spec.is_alertmanager() {
            true => self.alerts(spec, now)?,
            false => self.messages(spec, now)?,
        };
        for Sent { cause, .. } in &sent {
            if let Some(open) = self.open.get_mut(cause) {
                open.attempted = true;
            }
        }
        self.pace.on_sent(now.clock);
        self.under_way = Some(sent);
        Some(delivery)
    }

    /// Every alert, if one has begun or ended, or if they are about to run out.
    fn alerts(&self, spec: &Spec, now: Now) -> Option<(Delivery, Vec<Sent>)> {
        let is_news = |kind: &Kind| matches!(kind, Kind::Opened | Kind::Resolved);
        let (mut messages, mut sent) = (Vec::new(), Vec::new());
        for (cause, open) in &self.open {
            let news = open.due(spec, now).filter(is_news);
            if news.is_some() || open.told.is_some() {
                messages.push(self.message(spec, cause, open, news.unwrap_or(Kind::Reminder), now));
            }
            sent.extend(news.map(|kind| Sent { cause: cause.clone(), kind, clusters: open.now.clusters }));
        }
        let is_resend_due = self.synced.is_none_or(|synced| now.clock.saturating_sub(synced) >= RESEND);
        let is_due = !sent.is_empty() || is_resend_due && !messages.is_empty();
        is_due.then(|| (Delivery::Alerts { messages, until: now.wall + HOLDS_FOR }, sent))
    }

    /// One message, or a digest of all that are due if no more requests are left in this minute.
    fn messages(&mut self, spec: &Spec, now: Now) -> Option<(Delivery, Vec<Sent>)> {
        let budget = self.pace.budget(spec.max_per_minute, now.clock);
        let due = |(cause, open): (&Cause, &Open)| Some((open.due(spec, now)?, cause.clone()));
        let mut due: Vec<(Kind, Cause)> = self.open.iter().filter_map(due).collect();
        due.sort();
        match budget {
            0 => due.clear(),
            1 => {}
            _ => due.truncate(1),
        }
        let (mut messages, mut sent): (Vec<Message>, Vec<Sent>) = (Vec::new(), Vec::new());
        for (kind, cause) in due {
            let Some(open) = self.open.get(&cause) else { continue };
            messages.push(self.message(spec, &cause, open, kind, now));
            sent.push(Sent { kind, clusters: open.now.clusters, cause });
        }
        let delivery = match messages.len() {
            0 | 1 => Delivery::One(Box::new(messages.pop()?)),
            _ => Delivery::Digest(messages),
        };
        Some((delivery, sent))
    }

    /// The message about a cause, with what else its tool has if it has ended.
    fn message(&self, spec: &Spec, cause: &Cause, open: &Open, kind: Kind, now: Now) -> Message {
        let mut message = open.message(&spec.key, cause, kind, now);
        if kind == Kind::Resolved {
            let is_other = |(other, open): &(&Cause, &Open)| {
                other.integration == cause.integration && *other != cause && open.is_present()
            };
            let others = self.open.iter().filter(is_other);
            message.others = others.map(|(other, open)| (other.clone(), open.now.clusters)).collect();
        }
        message
    }

    /// The receiver answered the request that was under way, or did not.
    pub fn on_answer(&mut self, spec: &Spec, answer: Result<(), DeliveryFault>, now: Now) {
        let Some(sent) = self.under_way.take() else { return };
        self.pace.on_answer(answer.is_ok(), now.clock);
        let former = self.delivered.take();
        let standing = |holds, reason, message| Standing::after(former.as_ref(), holds, reason, message, now.wall);
        self.delivered = Some(match answer {
            Err(DeliveryFault { reason, message }) => standing(false, reason, message),
            Ok(()) => standing(true, "Delivered", "the last message arrived".to_owned()),
        });
        if self.delivered.as_ref().is_some_and(|delivered| delivered.holds) {
            self.synced = Some(now.clock);
            if !sent.is_empty() {
                self.last_delivery = Some(Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall));
            }
            sent.into_iter().for_each(|sent| self.on_arrival(spec, sent, now));
        }
    }

    fn on_arrival(&mut self, spec: &Spec, sent: Sent, now: Now) {
        let Sent { cause, kind, clusters } = sent;
        let Some(open) = self.open.get_mut(&cause) else { return };
        match kind {
            Kind::Resolved if open.ended.is_some() => drop(self.open.remove(&cause)),
            Kind::Resolved => open.begin_again(&spec.key, &cause, now),
            Kind::Opened | Kind::Grown | Kind::Reminder => open.on_told(clusters, now),
        }
    }

    /// The request was not sent after all: the status could not be written before it.
    pub fn on_unsent(&mut self, now: Now) {
        self.under_way = None;
        self.pace.on_answer(false, now.clock);
    }

    /// The user changed the spec. A new receiver knows of no cause.
    pub fn on_change(&mut self, is_other_receiver: bool) {
        self.pace.forget_failures();
        if is_other_receiver {
            (self.synced, self.delivered) = (None, None);
            self.under_way.iter_mut().for_each(Vec::clear);
            self.open.values_mut().for_each(|open| open.told = None);
            self.open.retain(|_, open| open.ended.is_none());
        }
    }

    /// For the status.
    pub fn record(&self, generation: i64, accepted: Standing) -> Record {
        Record {
            generation,
            accepted: Some(accepted),
            delivered: self.delivered.clone(),
            last_delivery: self.last_delivery,
            open: self.open.iter().map(|(cause, open)| open.recorded(cause)).collect(),
        }
    }
}
