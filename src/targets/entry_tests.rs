//! Tests of a watch that delivers more than one poll reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use http::{Request, Response};
use hyper::body::Bytes;
use tokio::task::{JoinSet, yield_now};

use super::super::http2::Http2;
use super::*;
use crate::domain::snapshot::ListKind;

const EVENTS: usize = 120;

/// A valid event of 1 KiB.
fn event(version: usize) -> String {
    let event = format!(r#"{{"type":"BOOKMARK","object":{{"metadata":{{"resourceVersion":"{version}"}}}}}}"#);
    format!("{event:<1023}\n")
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn flood_of_events_is_read_in_portions() {
    let (near, far) = tokio::io::duplex(1 << 20);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut server = h2::server::handshake(far).await.unwrap();
        let (_, mut respond) = server.accept().await.unwrap().unwrap();
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let events: String = (1..=EVENTS).map(event).collect();
        stream.send_data(Bytes::from(events), false).unwrap();
        let _ = server.accept().await;
    });
    let (sender, driver) = Http2::handshake(near).await.unwrap();
    tasks.spawn(driver);
    let request = Request::get("https://c1/watch").body(Bytes::new()).unwrap();
    let mut watched =
        WatchedList::streamed(Listed::Kind(ListKind::Deployment), sender.send(request).await.unwrap().into_body());
    watched.version = Some("0".to_owned());
    for _ in 0..1_000 {
        yield_now().await;
    }
    // Everything has arrived.
    let (wakes, limits) = (Arc::new(Wakes::default()), Limits::default());
    let waker = Waker::from(wakes.clone());
    let mut versions = Vec::new();
    loop {
        let before = wakes.0.load(Ordering::Relaxed);
        watched.read(&mut Context::from_waker(&waker), &limits);
        versions.push(watched.version.clone().unwrap().parse::<usize>().unwrap());
        if versions.last() == Some(&EVENTS) {
            break;
        }
        assert!(wakes.0.load(Ordering::Relaxed) > before, "it wakes itself: {versions:?}");
        assert!(versions.len() < EVENTS, "{versions:?}");
    }
    assert!(versions.len() >= 3, "other tasks run in between: {versions:?}");
}
