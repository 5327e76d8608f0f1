//! The page: a read-only view of the fleet for browsers, and the same as JSON.
//!
//! ```text
//! watches of the hub ─Feed─> Index ─┬─> views, rendered here and shared by all who look at the same
//!                                   ├─> JSON API
//!                                   └─> Server-Sent Events: a number for each change; the browser fetches its view again
//! ```
//!
//! Nothing is written to the hub. A response carries no more than its reader may list on the hub, and the page loads nothing
//! from elsewhere.

mod access;
mod api;
mod assets;
mod cache;
mod clock;
mod commands;
mod events;
mod feed;
mod history;
mod index;
mod links;
mod pages;
mod params;
mod routes;

use std::convert::Infallible;
use std::sync::Arc;

use jiff::SignedDuration;
use kube::Client;
use tokio::net::TcpListener;

use access::{Cluster, Gate, Local};
use clock::HubClock;
use feed::Feed;
use history::History;
pub use history::HistoryFile;
use index::Index;
use routes::{App, router};

use crate::history::{HistoryError, Recorder};

/// The part of a hub that is shown.
pub struct Source {
    /// Has the rights to list and watch IntegrationTargets, Integrations and ShardMaps.
    pub client: Client,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    /// The hub's clock minus this machine's.
    pub clock_offset: SignedDuration,
    /// Keeps every change in it.
    pub history: Option<HistoryFile>,
}

/// A reason that the page can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The history can't be kept.
    #[error("--history: {0}")]
    History(#[from] HistoryError),
    /// The listener failed.
    #[error("can't serve the page any more: {0}")]
    Listener(#[from] std::io::Error),
}

/// A page that is ready to be served.
pub struct Page {
    listener: TcpListener,
    gate: Gate,
}

impl Page {
    /// A page for the user of this machine alone. Returns it with its URL, which works once.
    ///
    /// # Errors
    /// Fails if the listener has no address.
    pub fn local(listener: TcpListener) -> std::io::Result<(Self, String)> {
        let address = listener.local_addr()?;
        let (gate, token) = Local::new(address.port());
        Ok((Self { listener, gate: Gate::Local(gate) }, format!("http://{address}/?token={token}")))
    }

    /// A page for users of the hub, who prove themselves with a bearer token. `client` may create TokenReviews and
    /// SubjectAccessReviews.
    pub fn in_cluster(listener: TcpListener, client: Client) -> Self {
        Self { listener, gate: Gate::Cluster(Cluster::new(client)) }
    }

    /// Serves until the listener fails.
    ///
    /// # Errors
    /// Fails if the listener does, or if the history can't be kept from the start.
    pub async fn serve(self, source: Source) -> Result<Infallible, ServeError> {
        let Source { client, namespaces, clock_offset, history } = source;
        let (recorder, history) = match history {
            Some(HistoryFile { path, limits }) => {
                let recorder = Arc::new(Recorder::open(&path, limits)?);
                (Some(recorder.clone()), Some(History::open(&path, recorder)?))
            }
            None => (None, None),
        };
        let clock = HubClock::new(clock_offset);
        let feed = Feed { client, namespaces, clock, recorder };
        let index = Arc::new(Index::default());
        let app = App::new(index.clone(), self.gate, clock, history);
        let server = axum::serve(self.listener, router(Arc::new(app)));
        tokio::select! {
            never = feed.run(&index) => match never {},
            ended = async { server.await } => match ended {
                Ok(()) => Err(std::io::Error::other("the server has ended").into()),
                Err(error) => Err(error.into()),
            },
        }
    }
}
