//! Tells browsers that the fleet has changed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, stream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};

use super::routes::App;

/// Pause after an event: a browser fetches its view at most this often.
const PAUSE: Duration = Duration::from_millis(300);

/// Interval at which the reader's rights are asked for again.
const RECHECK: Duration = Duration::from_secs(15);

/// Interval of comments, which tell a browser that the connection lives.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// State of one reader's stream.
struct Reader {
    app: Arc<App>,
    headers: HeaderMap,
    /// Version of the last event.
    sent: Option<u64>,
    _permit: OwnedSemaphorePermit,
}

/// A stream of `change` events with the version of what the reader may see; `denied` is the last one if the reader may see
/// nothing any more.
pub(super) fn events(
    app: Arc<App>,
    headers: HeaderMap,
    permit: OwnedSemaphorePermit,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let reader = Reader { app, headers, sent: None, _permit: permit };
    let stream = stream::unfold(Some(reader), async |reader| next(reader?).await);
    Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

async fn next(mut reader: Reader) -> Option<(Result<Event, Infallible>, Option<Reader>)> {
    let mut changes = reader.app.index.changes();
    if reader.sent.is_some() {
        sleep(PAUSE).await;
    }
    loop {
        changes.mark_unchanged();
        let Ok(access) = reader.app.admit(&reader.headers).await else {
            return Some((Ok(Event::default().event("denied").data("")), None));
        };
        let version = reader.app.index.read().version(&access);
        if reader.sent != Some(version) {
            reader.sent = Some(version);
            return Some((Ok(Event::default().event("change").data(version.to_string())), Some(reader)));
        }
        // Wakes for a change, or to ask for the rights again.
        let _ = timeout(RECHECK, changes.changed()).await;
    }
}
