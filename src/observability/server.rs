//! Serves `/livez`, `/readyz` and `/metrics`.

use std::convert::Infallible;
use std::fmt::Display;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::{FleetMetrics, Health, Metrics};
use crate::domain::places::Places;

/// Limit for receiving a request's headers, which is also the idle timeout of a connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum age of a connection, even of a busy or slowly read one.
const MAX_CONNECTION_AGE: Duration = Duration::from_secs(60);

/// Time for an open connection to end by itself when the process is out of file descriptors.
const EVICTION_DELAY: Duration = Duration::from_secs(1);

const RETRY_DELAY: Duration = Duration::from_millis(50);

/// One address may have a quarter of the connections.
const ADDRESS_SHARE: usize = 4;

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("--metrics-bind-address: can't listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
}

/// Binds the port. Called before anything else starts, so that a port in use is reported at once.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// Serves forever, with at most `connections` at a time. Strangers may reach this port: their half-open connections are
/// evicted for new ones, and the kubelet gets an answer even if this process is out of file descriptors.
pub async fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: (Metrics, Arc<FleetMetrics>),
    connections: usize,
) -> ServeError {
    let router = Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(show)).with_state(metrics));
    let mut places = Places::new(connections, connections.div_ceil(ADDRESS_SHARE));
    let mut tasks = JoinSet::new();
    let mut spare = spare_descriptor();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let (place, evicted) = oneshot::channel();
                    let number = places.take(peer.ip(), place);
                    let answers = answer(stream, router.clone(), evicted);
                    tasks.spawn(async move {
                        answers.await;
                        number
                    });
                }
                // Out of descriptors: free the spare one for the next connection, or that of the oldest connection.
                Err(_) => match spare.take() {
                    Some(spare) => drop(spare),
                    // accept() fails even if no connection is waiting, so give those that are open time to end.
                    None => match timeout(EVICTION_DELAY, tasks.join_next()).await {
                        Ok(Some(ended)) => spare = leave(&mut places, ended),
                        _ => {
                            places.evict_one();
                            sleep(RETRY_DELAY).await;
                        }
                    },
                },
            },
            Some(ended) = tasks.join_next() => {
                let freed = leave(&mut places, ended);
                spare = spare.or(freed);
            }
        }
    }
}

/// Removes a connection that has ended, and tries to take its descriptor as the spare one. A crashed one keeps its
/// place until it is the oldest.
fn leave(places: &mut Places<IpAddr, oneshot::Sender<Infallible>>, ended: Result<u64, JoinError>) -> Option<File> {
    if let Ok(number) = ended {
        places.leave(number);
    }
    spare_descriptor()
}

fn spare_descriptor() -> Option<File> {
    File::open("/dev/null").ok()
}

/// Serves one connection until it is idle, too old, or evicted.
async fn answer(stream: TcpStream, router: Router, evicted: oneshot::Receiver<Infallible>) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = evicted => return,
        () = sleep(MAX_CONNECTION_AGE) => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(HEADER_TIMEOUT, connection).await;
}

async fn live(State(health): State<Arc<Health>>) -> Response {
    match health.is_stuck(Instant::now()) {
        false => "ok\n".into_response(),
        true => (StatusCode::SERVICE_UNAVAILABLE, "rounds are in progress, but none has ended for minutes\n")
            .into_response(),
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready, missing: {}\n", missing.join(", "))).into_response()
}

async fn show(State((metrics, fleet)): State<(Metrics, Arc<FleetMetrics>)>) -> Response {
    let failed = |status: StatusCode, error: &dyn Display| (status, format!("{error}\n")).into_response();
    let fleet = match fleet.render().await {
        Ok(text) => text,
        Err(error) => return failed(StatusCode::SERVICE_UNAVAILABLE, &error),
    };
    match metrics.render() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text + &fleet).into_response()
        }
        Err(error) => failed(StatusCode::INTERNAL_SERVER_ERROR, &error),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const TEST_TIMEOUT: Duration = Duration::from_secs(30);

    async fn served(connections: usize) -> (SocketAddr, JoinSet<()>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        let (health, metrics) = (Arc::default(), (Metrics::new().unwrap(), Arc::default()));
        task.spawn(async move { drop(serve(listener, health, metrics, connections).await) });
        (address, task)
    }

    #[tokio::test]
    async fn a7_idle_and_half_open_connections_are_closed() {
        let (address, _task) = served(64).await;
        for request in ["", "GET /livez HTT", "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            timeout(TEST_TIMEOUT, stream.read_to_end(&mut answer)).await.expect(request).unwrap();
        }
    }

    #[tokio::test]
    async fn a7_livez_answers_despite_too_many_connections() {
        let (address, _task) = served(8).await;
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(TcpStream::connect(address).await.unwrap());
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            timeout(TEST_TIMEOUT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
}
