//! Defers messages by a map that this coordinator has written and not seen acknowledged yet. That takes milliseconds, so
//! little of each sender is kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Message;
use crate::domain::replica::Incarnation;
use crate::domain::report::FromWorker;

/// Bytes that are kept of one sender.
const LARGEST: usize = 1 << 20;

/// The least that a message counts: one from this very process has no size on the wire.
const SMALLEST: usize = 512;

#[derive(Default)]
pub(super) struct Deferred(BTreeMap<Arc<Incarnation>, Waiting>);

#[derive(Default)]
struct Waiting {
    bytes: usize,
    messages: Vec<Message>,
}

impl Deferred {
    /// Keeps a message; returns it if its sender has too much here already.
    pub(super) fn enqueue(&mut self, message: Message) -> Result<(), Message> {
        let waiting = self.0.entry(message.sender.clone()).or_default();
        waiting.drop_older(&message.message);
        let bytes = size(&message);
        if waiting.bytes + bytes > LARGEST {
            return Err(message);
        }
        waiting.bytes += bytes;
        waiting.messages.push(message);
        Ok(())
    }

    /// All messages, each sender's in the order of their arrival.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Message> + use<> {
        std::mem::take(&mut self.0).into_values().flat_map(|waiting| waiting.messages)
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.values().map(|waiting| waiting.bytes).sum()
    }
}

impl Waiting {
    /// Keeps only the newest report of each target.
    fn drop_older(&mut self, newer: &FromWorker) {
        let FromWorker::Report { report: newer, .. } = newer else { return };
        let is_older = |message: &Message| matches!(&message.message, FromWorker::Report { report, .. } if report.target == newer.target);
        let bytes = &mut self.bytes;
        self.messages.retain(|message| {
            let stays = !is_older(message);
            *bytes -= if stays { 0 } else { size(message) };
            stays
        });
    }
}

fn size(message: &Message) -> usize {
    message.bytes.max(SMALLEST)
}
