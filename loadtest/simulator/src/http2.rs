//! Serves one HTTP/2 connection: a single task answers requests and sends on all watches.
//!
//! Uses `h2` directly, because hyper would need a task with buffers for every watch.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::Request;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::answer::{self, Answer};
use super::body::Body;
use super::connection::{Command, Connection, OpenWatch, headers};
use super::hostile::OversizedBody;
use super::watch::Lines;
use super::wire::Wire;

/// Time limit for the client's preface.
const PATIENCE: Duration = Duration::from_secs(10);

/// Concurrent streams that API servers allow on a connection.
const STREAMS: u32 = 100;

/// Timer duration without a watch.
const IDLE: Duration = Duration::from_secs(3600);

type Http2 = server::Connection<TlsStream<Wire>, Bytes>;

struct Session {
    connection: Connection,
    watches: Vec<(OpenWatch, SendStream<Bytes>)>,
    /// Requests that hang.
    hanging: Vec<Hanging>,
}

enum Hanging {
    BeforeHeaders(SendResponse<Bytes>),
    InBody(SendStream<Bytes>),
}

pub(super) async fn serve(io: TlsStream<Wire>, connection: Connection) {
    let mut builder = server::Builder::new();
    builder.max_concurrent_streams(STREAMS);
    let Ok(Ok(http2)) = timeout(PATIENCE, builder.handshake(io)).await else { return };
    let session = Session { connection, watches: Vec::new(), hanging: Vec::new() };
    session.run(http2).await;
}

impl Session {
    async fn run(mut self, mut http2: Http2) {
        let mut changes = self.connection.changes.clone();
        // Commands during the handshake apply to this connection too.
        changes.mark_changed();
        // Bodies that take a while to send.
        let mut bodies = JoinSet::new();
        let timer = sleep(IDLE);
        tokio::pin!(timer);
        loop {
            let due = self.watches.iter().map(|(open, _)| open.watch.due()).min();
            let due = due.unwrap_or_else(|| timer.deadline().max(Instant::now()));
            if timer.deadline() != due {
                timer.as_mut().reset(due);
            }
            tokio::select! {
                accepted = poll_fn(|cx| self.poll(&mut http2, cx)) => match accepted {
                    Some(Ok((request, respond))) => self.answer(&request, respond, &mut bodies),
                    _ => return,
                },
                Ok(()) = changes.changed() => match self.connection.take_commands() {
                    Command::Close => return,
                    Command::GoAway => http2.graceful_shutdown(),
                    Command::EndWatches => self.end_watches(),
                    Command::Continue => self.catch_up(),
                },
                () = &mut timer => {
                    self.on_time();
                    timer.as_mut().reset(Instant::now() + IDLE);
                }
                Some(_) = bodies.join_next() => {}
            }
        }
    }

    /// Drives the connection and drops the streams that the client has reset.
    #[expect(clippy::type_complexity, reason = "h2 has no name for it")]
    fn poll(
        &mut self,
        http2: &mut Http2,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>> {
        let accepted = http2.poll_accept(cx);
        if accepted.is_pending() {
            self.watches.retain_mut(|(_, stream)| stream.poll_reset(cx).is_pending());
            self.hanging.retain_mut(|hanging| match hanging {
                Hanging::BeforeHeaders(respond) => respond.poll_reset(cx).is_pending(),
                Hanging::InBody(stream) => stream.poll_reset(cx).is_pending(),
            });
        }
        accepted
    }

    fn answer(&mut self, request: &Request<RecvStream>, mut respond: SendResponse<Bytes>, bodies: &mut JoinSet<()>) {
        let answer = answer::answer(&self.connection.fleet, self.connection.number, request);
        let mut begin = |body: Option<&Body>| respond.send_response(headers(body), false);
        // An error means that the client has reset the stream, which is not a fault.
        match answer {
            Answer::Whole(body) => {
                let Ok(mut stream) = begin(Some(&body)) else { return };
                let last = body.pieces.len().saturating_sub(1);
                for (place, piece) in body.pieces.into_iter().enumerate() {
                    let _ = stream.send_data(piece, place == last);
                }
            }
            Answer::Watch(watch, first) => {
                let Ok(mut stream) = begin(None) else { return };
                if send(&mut stream, first) {
                    self.watches.push((OpenWatch::new(watch, &self.connection), stream));
                }
            }
            Answer::Beginning(bytes) => {
                let Ok(mut stream) = begin(None) else { return };
                let _ = stream.send_data(bytes, false);
                self.hanging.push(Hanging::InBody(stream));
            }
            Answer::Slow(body) => {
                let Ok(stream) = begin(Some(&body)) else { return };
                bodies.spawn(trickle(stream, body, self.connection.fleet.settings.slow_bytes));
            }
            Answer::Oversized(body) => {
                let Ok(stream) = begin(None) else { return };
                bodies.spawn(pour(stream, body));
            }
            Answer::Never => self.hanging.push(Hanging::BeforeHeaders(respond)),
            Answer::Reset => self.connection.link.reset(),
        }
    }

    fn catch_up(&mut self) {
        let Connection { fleet, number, .. } = &self.connection;
        let cluster = &fleet.clusters[*number as usize];
        self.watches
            .retain_mut(|(open, stream)| open.watch.catch_up(fleet, cluster).is_none_or(|lines| send(stream, lines)));
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        let Connection { fleet, number, .. } = &self.connection;
        let cluster = &fleet.clusters[*number as usize];
        self.watches.retain_mut(|(open, stream)| {
            open.watch.due() > now || open.watch.on_time(fleet, cluster, now).is_none_or(|lines| send(stream, lines))
        });
    }

    fn end_watches(&mut self) {
        for (_, mut stream) in self.watches.drain(..) {
            let _ = stream.send_data(Bytes::new(), true);
        }
    }
}

/// Sends lines of a watch; returns whether the watch continues.
fn send(stream: &mut SendStream<Bytes>, Lines { text, end }: Lines) -> bool {
    if text.is_empty() && !end {
        return true;
    }
    stream.send_data(text, end).is_ok() && !end
}

/// Sends a piece of the body every second.
async fn trickle(mut stream: SendStream<Bytes>, body: Body, piece: usize) {
    let mut bytes = Bytes::from(body.pieces.concat());
    while !bytes.is_empty() {
        let next = bytes.split_to(piece.clamp(1, bytes.len()));
        if stream.send_data(next, bytes.is_empty()).is_err() {
            return;
        }
        sleep(Duration::from_secs(1)).await;
    }
}

/// Sends as fast as the client reads, buffering no more than one piece.
async fn pour(mut stream: SendStream<Bytes>, body: OversizedBody) {
    for mut piece in body {
        while !piece.is_empty() {
            stream.reserve_capacity(piece.len());
            while stream.capacity() == 0 {
                if !matches!(poll_fn(|cx| stream.poll_capacity(cx)).await, Some(Ok(_))) {
                    return;
                }
            }
            let part = piece.split_to(stream.capacity().min(piece.len()));
            if stream.send_data(part, false).is_err() {
                return;
            }
        }
    }
    let _ = stream.send_data(Bytes::new(), true);
}
