//! Faults of a simulated API server.

use serde::{Deserialize, Serialize};

/// A fault of one cluster. It takes effect at once: connections or watches it could not affect are ended, so the
/// client encounters it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Connections are accepted and never served. Open ones are closed.
    HangAtConnect,
    /// The handshake stops halfway through the server's flight. Open connections are closed.
    HangInTls,
    /// Requests are accepted and never answered. Open watches go silent; PINGs are still answered.
    HangBeforeHeaders,
    /// Responses stop halfway through the body. Open watches go silent.
    HangInBody,
    /// Watches open, but everything they send is lost for good; they end on their timeout. All else is answered.
    QuietWatches,
    /// Open connections are reset, and new ones on their first request.
    Reset,
    /// Bodies arrive in small pieces. Open watches end and have to begin with a list.
    SlowBody,
    /// 429 with Retry-After. Open watches end.
    TooManyRequests,
    /// 500. Open watches end.
    ServerError,
    /// 401, whatever the token. Open watches end.
    Unauthorized,
    /// 403 on everything but liveness. Open watches end.
    Forbidden,
    /// The certificate is from another CA. Open connections are closed.
    WrongCertificate,
    /// Lists have oversized bodies. Open watches end and have to begin with a list.
    #[serde(alias = "giant-body")]
    #[value(alias = "giant-body")]
    OversizedBody,
    /// Watches send one oversized line. Open watches end first.
    #[serde(alias = "giant-line")]
    #[value(alias = "giant-line")]
    OversizedLine,
    /// In lists one Deployment of argocd has a name of 1.2 MB. Open watches end and have to begin with a list.
    OversizedName,
    /// In lists one Deployment of argocd has control and bidi characters in its name. Open watches as above.
    ControlCharacters,
    /// Watches add Deployments endlessly, each with a label value of 1 MB. Open watches end first.
    OversizedLabels,
    /// Watches add Deployments endlessly, each with the largest labels that Kubernetes allows. Open watches end first.
    GrowingWatch,
    /// Lists and watches send invalid JSON. Open watches end.
    InvalidJson,
    /// Open connections go silent without being closed; new ones hang.
    Blackhole,
    /// Connections above the limit are closed when accepted.
    ConnectionLimit,
}

/// Effect on open connections when a fault begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Onset {
    Nothing,
    EndWatches,
    /// Watches end and cannot be resumed.
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
            Self::SlowBody | Self::OversizedBody | Self::OversizedName | Self::ControlCharacters => {
                Onset::ForgetWatches
            }
            Self::TooManyRequests
            | Self::ServerError
            | Self::Unauthorized
            | Self::Forbidden
            | Self::OversizedLine
            | Self::OversizedLabels
            | Self::GrowingWatch
            | Self::InvalidJson => Onset::EndWatches,
        }
    }

    /// Whether open watches are silent during the fault.
    pub(super) fn silences_watches(self) -> bool {
        matches!(self, Self::HangBeforeHeaders | Self::HangInBody | Self::Blackhole)
    }
}
