//! The coordinator's event loop: one event at a time, then its effects in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::map_requests::MapRequest;
use super::measure::measure;
use super::metadata_repair::{RepairQueue, RepairTask};
use super::notices;
use super::notifications::{on_notifier, on_window};
use super::objects::{Objects, WatchedTarget};
use super::publish::{integration_write, target_write};
use super::series::SeriesWriter;
use crate::api::{MaintenanceWindow, Notifier};
use crate::controllers::typed::TypedIntegration;
use crate::domain::coordinator::{Coordinator, Effect, Event, Message, NotifyTask, Now, TermEnd};
use crate::domain::replica::{Incarnation, ReplicaName};
use crate::domain::report::ToWorker;
use crate::hub::{Change, LeaseBoard, StatusKey, StatusQueue, StatusWrite};
use crate::observability::{Metrics, Scrape};
use crate::reports::{Incoming, IsMember};

/// Time between checks of staleness and measurements of the fleet.
const TICK: Duration = Duration::from_secs(2);

/// Where events come from.
pub(super) struct Sources {
    pub(super) targets: BoxStream<'static, Change<WatchedTarget>>,
    pub(super) integrations: BoxStream<'static, Change<TypedIntegration>>,
    pub(super) notifiers: BoxStream<'static, Change<Notifier>>,
    pub(super) windows: BoxStream<'static, Change<MaintenanceWindow>>,
    pub(super) messages: mpsc::Receiver<Incoming>,
    /// Answers to requests, and events of other tasks.
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) scrapes: mpsc::Receiver<Scrape>,
}

/// The coordinator, and the handles by which its effects are performed.
pub(super) struct EventLoop {
    pub(super) coordinator: Coordinator,
    pub(super) objects: Objects,
    pub(super) board: Arc<LeaseBoard>,
    /// Installation, as in the labels of its Leases.
    pub(super) installation: String,
    pub(super) is_member: IsMember,
    pub(super) statuses: Arc<StatusQueue>,
    pub(super) repairs: Arc<RepairQueue>,
    pub(super) requests: mpsc::UnboundedSender<MapRequest>,
    /// At most one a Notifier.
    pub(super) notify_tasks: mpsc::UnboundedSender<NotifyTask>,
    /// Installations whose Leases are read.
    pub(super) other_installations: watch::Sender<Vec<String>>,
    pub(super) series: SeriesWriter,
    pub(super) metrics: Metrics,
    /// The newest link of each replica.
    pub(super) links: BTreeMap<ReplicaName, (Arc<Incarnation>, mpsc::Sender<ToWorker>)>,
}

impl EventLoop {
    /// Runs until the term ends. `None`: a watch of the hub ended.
    pub(super) async fn run(mut self, mut sources: Sources) -> Option<TermEnd> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leases = self.board.changes();
        leases.mark_changed();
        loop {
            let timer = self.board.clock().at(self.coordinator.next_timer());
            let event = tokio::select! {
                change = sources.targets.next() => self.objects.on_target(change?),
                change = sources.integrations.next() => self.objects.on_integration(change?),
                change = sources.notifiers.next() => on_notifier(change?),
                change = sources.windows.next() => on_window(change?, &self.repairs),
                Some(event) = sources.events.recv() => event,
                Some(incoming) = sources.messages.recv() => match self.admit(incoming) {
                    Some(message) => Event::Message(message),
                    None => continue,
                },
                Some(scrape) = sources.scrapes.recv() => {
                    drop(scrape.send(self.series.text(self.coordinator.targets(), &self.metrics)));
                    continue;
                }
                _ = leases.changed() => self.leases(),
                () = sleep_until(timer) => Event::Timer,
                _ = ticks.tick() => {
                    self.measure_queue();
                    Event::Tick
                }
            };
            if let Some(end) = self.handle(event) {
                return Some(end);
            }
        }
    }

    /// Hands one event to the coordinator and performs its effects.
    pub(super) fn handle(&mut self, event: Event) -> Option<TermEnd> {
        let (now, began) = (now(&self.board), Instant::now());
        let effects = self.coordinator.handle(event, now);
        self.perform_all(effects, began)
    }

    /// Takes in the claimed map once the first lists are in.
    pub(super) fn begin(&mut self) {
        let effects = self.coordinator.begin(now(&self.board));
        self.perform_all(effects, Instant::now());
    }

    fn perform_all(&mut self, effects: Vec<Effect>, began: Instant) -> Option<TermEnd> {
        let took = began.elapsed();
        let mut end = None;
        for effect in effects {
            end = end.or(self.perform(effect, took));
        }
        end
    }

    fn perform(&mut self, effect: Effect, took: Duration) -> Option<TermEnd> {
        match effect {
            Effect::StepDown(end) => return Some(end),
            Effect::TakeLease { name, resource_version } => {
                self.request(MapRequest::TakeLease { name, resource_version });
            }
            Effect::WriteMap { map, create } => self.request(MapRequest::WriteMap { map, create }),
            Effect::WriteMapStatus(status) => self.request(MapRequest::WriteMapStatus(status)),
            Effect::ReadStatefulSet => self.request(MapRequest::ReadStatefulSet),
            Effect::WriteTarget(write) => {
                if let Some(object) = self.objects.target(&write.key) {
                    self.enqueue(target_write(&object, *write));
                }
            }
            Effect::WriteIntegration(write) => {
                if let Some(object) = self.objects.integration(&write.key) {
                    self.enqueue(integration_write(&object, *write));
                }
            }
            Effect::Send { to, message } => {
                if let Some((_, link)) = self.links.get(&to.name).filter(|(process, _)| *process == to) {
                    let _ = link.try_send(message);
                }
            }
            Effect::LabelSlot(key) => {
                let target = self.objects.target(&key);
                target.into_iter().for_each(|target| self.repairs.offer(RepairTask::LabelSlot(Box::new(target))));
            }
            Effect::RemoveFinalizer(key) => {
                let integration = self.objects.integration(&key);
                let tasks = integration.into_iter().map(|object| RepairTask::RemoveFinalizer(Box::new(object)));
                tasks.for_each(|task| self.repairs.offer(task));
            }
            // Its receiver ends with the term.
            Effect::Notify(task) => drop(self.notify_tasks.send(*task)),
            Effect::Metric(metric) => measure(&self.metrics, metric, took),
            Effect::WatchInstallation(installation) => {
                tracing::warn!(
                    installation,
                    "there are objects of another installation of ksit; they are left alone as long as it lives. Let the \
                     two watch different namespaces, or remove one of them; to see that it is gone, ksit must be allowed \
                     to get Leases in its namespace"
                );
                self.other_installations.send_modify(|names| names.push(installation));
            }
            Effect::Log(notice) => notices::log(&notice),
        }
        None
    }

    fn request(&self, request: MapRequest) {
        // Its receiver ends with the term.
        let _ = self.requests.send(request);
    }

    fn enqueue(&self, write: Result<(StatusKey, StatusWrite), serde_json::Error>) {
        match write {
            Ok((id, write)) => self.statuses.enqueue(id, write),
            Err(error) => tracing::error!(%error, "a status can't be serialised"),
        }
    }

    /// `None` for a message of a process that is no member.
    fn admit(&mut self, incoming: Incoming) -> Option<Message> {
        let Incoming { sender, message, bytes, replies } = incoming;
        if !(self.is_member)(&sender) {
            tracing::debug!(replica = %sender.name, "not a replica; its message is dropped");
            self.metrics.observations.with_label_values(&["not_a_member"]).inc();
            return None;
        }
        self.metrics.report_bytes.inc_by(bytes as u64);
        self.links.insert(sender.name.clone(), (sender.clone(), replies));
        Some(Message { sender, message, bytes })
    }

    fn leases(&self) -> Event {
        Event::Leases(self.board.members(&self.installation))
    }

    fn measure_queue(&self) {
        let superseded = &self.metrics.status_queue_superseded;
        superseded.inc_by(self.statuses.superseded() - superseded.get());
        self.metrics.status_queue.set_count(self.statuses.pending());
    }
}

pub(super) fn now(board: &LeaseBoard) -> Now {
    Now { clock: board.clock().now(), wall: Timestamp::now(), writes_since: board.writes_since() }
}

#[cfg(test)]
#[path = "event_loop_tests.rs"]
mod tests;
