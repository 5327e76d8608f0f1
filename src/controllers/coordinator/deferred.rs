//! Defers messages by a map that is on its way here from our own write. It takes milliseconds, so little of each sender
//! is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::replica::Incarnation;
use crate::domain::report::FromWorker;
use crate::reports::Incoming;

/// Bytes that are kept of one sender.
const LARGEST: usize = 1 << 20;

/// The least that a message counts: one from this very process has no size on the wire.
const SMALLEST: usize = 512;

#[derive(Default)]
pub(super) struct Deferred(BTreeMap<Arc<Incarnation>, Waiting>);

#[derive(Default)]
struct Waiting {
    bytes: usize,
    messages: Vec<Incoming>,
}

impl Deferred {
    /// Keeps a message; gives it back if its sender has too much here already.
    pub(super) fn enqueue(&mut self, incoming: Incoming) -> Result<(), Incoming> {
        let waiting = self.0.entry(incoming.sender.clone()).or_default();
        waiting.drop_older(&incoming.message);
        let bytes = size(&incoming);
        if waiting.bytes + bytes > LARGEST {
            return Err(incoming);
        }
        waiting.bytes += bytes;
        waiting.messages.push(incoming);
        Ok(())
    }

    /// All of them, each sender's in the order that they came in.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Incoming> + use<> {
        std::mem::take(&mut self.0).into_values().flat_map(|waiting| waiting.messages)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(|waiting| waiting.bytes).sum()
    }
}

impl Waiting {
    /// Keeps the newest report of each target alone.
    fn drop_older(&mut self, newer: &FromWorker) {
        let FromWorker::Report { report: newer, .. } = newer else { return };
        let is_older = |incoming: &Incoming| matches!(&incoming.message, FromWorker::Report { report, .. } if report.target == newer.target);
        let bytes = &mut self.bytes;
        self.messages.retain(|incoming| {
            let stays = !is_older(incoming);
            *bytes -= if stays { 0 } else { size(incoming) };
            stays
        });
    }
}

fn size(incoming: &Incoming) -> usize {
    incoming.bytes.max(SMALLEST)
}
