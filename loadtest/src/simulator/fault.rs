//! What can be wrong with a simulated API server.

use serde::{Deserialize, Serialize};

/// A fault of one cluster. It takes effect at once: connections or watches that it couldn't touch are ended, so that
/// the client meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Connections are accepted and never served. Open ones are closed.
    HangAtConnect,
    /// The handshake stops in the middle of the server's part. Open connections are closed.
    HangInTls,
    /// Requests are taken and never answered. Open watches go silent; PINGs are still answered.
    HangBeforeHeaders,
    /// Answers stop in the middle of the body. Open watches go silent.
    HangInBody,
    /// Watches open and everything that they send is lost, events for good; they end when it is time. All else is answered.
    QuietWatches,
    /// Open connections are reset, and new ones at their first request.
    Reset,
    /// Bodies come in small pieces. Open watches end, and have to begin with a list.
    SlowBody,
    /// 429 with Retry-After. Open watches end.
    TooManyRequests,
    /// 500. Open watches end.
    ServerError,
    /// 401, whatever the token. Open watches end.
    Unauthorized,
    /// 403 on everything but liveness. Open watches end.
    Forbidden,
    /// The certificate is of another CA. Open connections are closed.
    WrongCertificate,
    /// Lists have giant bodies. Open watches end, and have to begin with one.
    GiantBody,
    /// Watches send one giant line. Open watches end first.
    GiantLine,
    /// Lists name one Deployment of argocd with 1.2 MB. Open watches end, and have to begin with a list.
    OversizedName,
    /// Lists name one Deployment of argocd with control and bidi characters. Open watches as above.
    ControlCharacters,
    /// Watches add Deployments without end, each with a label value of 1 MB. Open watches end first.
    OversizedLabels,
    /// Watches add Deployments without end, each as large as Kubernetes allows its labels to be. Open watches end first.
    GrowingWatch,
    /// Lists and watches send what is not JSON. Open watches end.
    InvalidJson,
    /// Nothing comes any more on open connections, and none is ended; new ones hang.
    Blackhole,
    /// Further connections than the limit are closed when accepted.
    ConnectionLimit,
}

/// What happens to open connections when a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onset {
    Nothing,
    EndWatches,
    /// They end, and none can be resumed.
    ForgetWatches,
    Close,
    Reset,
    Silence,
}

impl Fault {
    pub(super) fn onset(self) -> Onset {
        match self {
            Self::HangAtConnect | Self::HangInTls | Self::WrongCertificate => Onset::Close,
            Self::Reset => Onset::Reset,
            Self::Blackhole => Onset::Silence,
            Self::HangBeforeHeaders | Self::HangInBody | Self::QuietWatches | Self::ConnectionLimit => Onset::Nothing,
            Self::SlowBody | Self::GiantBody | Self::OversizedName | Self::ControlCharacters => Onset::ForgetWatches,
            Self::TooManyRequests
            | Self::ServerError
            | Self::Unauthorized
            | Self::Forbidden
            | Self::GiantLine
            | Self::OversizedLabels
            | Self::GrowingWatch
            | Self::InvalidJson => Onset::EndWatches,
        }
    }

    /// Whether open watches say nothing while it lasts.
    pub(super) fn silences_watches(self) -> bool {
        matches!(self, Self::HangBeforeHeaders | Self::HangInBody | Self::Blackhole)
    }
}
