//! `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::{Health, Metrics};

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("--metrics-bind-address: can't listen on {address}: {source}")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("the health endpoints ended: {0}")]
    Ended(std::io::Error),
}

/// Listens before anything else starts, so that a port in use is said at once.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, health: Arc<Health>, metrics: Metrics) -> Result<(), ServeError> {
    let router = Router::new()
        .route("/livez", get(live))
        .route("/healthz", get(live))
        .route("/readyz", get(ready))
        .with_state(health)
        .merge(Router::new().route("/metrics", get(show)).with_state(metrics));
    axum::serve(listener, router).await.map_err(ServeError::Ended)
}

async fn live(State(health): State<Arc<Health>>) -> Response {
    match health.is_stuck(Instant::now()) {
        false => "ok\n".into_response(),
        true => {
            (StatusCode::SERVICE_UNAVAILABLE, "rounds are under way and none has ended for minutes\n").into_response()
        }
    }
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let missing = health.missing();
    if missing.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready, missing: {}\n", missing.join(", "))).into_response()
}

async fn show(State(metrics): State<Metrics>) -> Response {
    match metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
