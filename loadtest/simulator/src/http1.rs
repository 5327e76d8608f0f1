//! Serves one HTTP/1.1 connection with hyper: one request at a time; a watch occupies the connection.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, stream::Stream};
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_rustls::server::TlsStream;

use super::answer::{self, Answer};
use super::body::Body;
use super::connection::{Command, Connection, OpenWatch, headers};
use super::watch::{Lines, Watch};
use super::wire::Wire;

type Frames = StreamBody<BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

pub(super) async fn serve(io: TlsStream<Wire>, mut connection: Connection) {
    let mut changes = connection.changes.clone();
    changes.mark_changed();
    let each = connection.clone();
    let service = service_fn(move |request| respond(each.clone(), request));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(io), service);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            _ = &mut serving => return,
            // Watches notice `EndWatches` themselves.
            Ok(()) = changes.changed() => match connection.take_commands() {
                Command::Close => return,
                Command::GoAway => serving.as_mut().graceful_shutdown(),
                Command::EndWatches | Command::Continue => {}
            },
        }
    }
}

async fn respond(connection: Connection, request: Request<Incoming>) -> Result<Response<Frames>, Infallible> {
    let answer = answer::answer(&connection.fleet, connection.number, &request);
    Ok(match answer {
        Answer::Whole(body) => {
            let headers = headers(Some(&body));
            with(headers, stream::iter(body.pieces))
        }
        Answer::Watch(watch, first) => with(headers(None), lines(connection, watch, first)),
        Answer::Beginning(bytes) => with(headers(None), stream::iter([bytes]).chain(stream::pending())),
        Answer::Slow(body) => {
            let headers = headers(Some(&body));
            with(headers, trickle(body, connection.fleet.settings.slow_bytes))
        }
        Answer::Oversized(body) => with(headers(None), stream::iter(body)),
        Answer::Never => pending().await,
        Answer::Reset => {
            connection.link.reset();
            pending().await
        }
    })
}

fn with(headers: Response<()>, bytes: impl Stream<Item = Bytes> + Send + 'static) -> Response<Frames> {
    headers.map(|()| StreamBody::new(bytes.map(|bytes| Ok(Frame::data(bytes))).boxed()))
}

/// The lines of a watch as they become due.
fn lines(mut connection: Connection, watch: Watch, first: Lines) -> impl Stream<Item = Bytes> {
    let commands = connection.cluster().state().commands;
    connection.commands = commands;
    let open = OpenWatch::new(watch, &connection);
    stream::unfold((connection, open, Some(first), false), |(mut connection, mut open, mut first, over)| async move {
        if over {
            return None;
        }
        loop {
            let lines = match first.take() {
                Some(first) => Some(first),
                None => {
                    let due = sleep_until(open.watch.due());
                    tokio::select! {
                        _ = connection.changes.changed() => {
                            if connection.take_commands() == Command::EndWatches {
                                return None;
                            }
                            open.watch.catch_up(&connection.fleet, connection.cluster())
                        }
                        () = due => open.watch.on_time(&connection.fleet, connection.cluster(), Instant::now()),
                    }
                }
            };
            match lines {
                Some(Lines { text, end }) if end || !text.is_empty() => {
                    return Some((text, (connection, open, None, end)));
                }
                _ => {}
            }
        }
    })
}

fn trickle(body: Body, piece: usize) -> impl Stream<Item = Bytes> {
    stream::unfold(Bytes::from(body.pieces.concat()), move |mut bytes| async move {
        if bytes.is_empty() {
            return None;
        }
        sleep(Duration::from_secs(1)).await;
        Some((bytes.split_to(piece.clamp(1, bytes.len())), bytes))
    })
}
