//! Why something is as it is: the one list of reasons that conditions, events, metrics and logs use.

use std::fmt;

use super::word::Word;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// A reason as it stands in a condition (`CamelCase`, as the Kubernetes API conventions ask).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
            /// One of another version.
            Other(Word),
        }

        impl Reason {
            /// Every reason that this version has, for tables and for the labels of metrics.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }

            /// As a report or a status has it: that of another version too. `None` for what is no name.
            pub fn read(text: &str) -> Option<Self> {
                Self::parse(text).or_else(|| Word::of(text).map(Self::Other))
            }

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$name => stringify!($name),)+
                    Reason::Other(word) => word.as_str(),
                }
            }
        }
    };
}

reasons! {
    // ---- all is well
    /// Everything that is required is there and ready.
    Healthy,
    /// The target answers.
    Connected,
    /// Nothing has been concluded yet.
    Initializing,
    /// `enabled: false`, `paused`, or `pausedUntil` in the future.
    Paused,
    /// The cluster has nothing of the tool, and `whenAbsent: NotInstalled` says that this is fine.
    NotInstalled,

    // ---- transient: kept back until `failureThreshold` rounds in a row failed
    /// The target's name does not resolve.
    NameNotResolved,
    /// Nobody listens at the target's address, or a network on the way refuses.
    ConnectFailed,
    /// The TLS handshake broke for another cause than the certificate.
    TlsFailed,
    /// The connection ended while an answer was awaited.
    ConnectionLost,
    /// No answer within the deadline.
    TimedOut,
    /// The target answered 5xx.
    ServerError,
    /// The target answered 429.
    Throttled,
    /// The answer was not what the Kubernetes API promises.
    InvalidAnswer,
    /// The answer was larger than ksit reads.
    AnswerTooLarge,

    // ---- the replica's own: no cluster is blamed for it, for as long as it lasts
    /// This replica has no file descriptor left.
    TooManyOpenFiles,
    /// This replica's look-ups of names are all taken by those of other targets.
    TooManyLookups,

    // ---- permanent: said at once
    /// The target answered 401: the credential is wrong or has expired.
    Unauthorized,
    /// The target answered 403: a rule is missing there.
    Forbidden,
    /// The target's certificate is not signed by the CA of the kubeconfig.
    CertificateUnknown,
    /// The target's certificate is for another name.
    CertificateNameMismatch,
    /// The target's certificate is not valid at this time.
    CertificateExpired,
    /// The kubeconfig Secret is not there.
    SecretNotFound,
    /// ksit may not read the kubeconfig Secret on the hub.
    SecretForbidden,
    /// The Secret has no usable key.
    SecretInvalid,
    /// The kubeconfig can't be read.
    KubeconfigInvalid,
    /// The kubeconfig asks for something that ksit does not do with a stranger's file.
    KubeconfigRefused,
    /// The kubeconfig points at an address that ksit does not dial.
    AddressRefused,

    // ---- concluded
    /// `failureThreshold` rounds in a row failed.
    Unreachable,
    /// Reading the target crashed repeatedly; it is left alone for a while.
    Quarantined,
    /// Nobody has reported on the target for three intervals.
    Stale,
    /// More Integrations concern the target than its status can list.
    TooManyIntegrations,

    // ---- how a target is looked at
    /// The target says itself what changes.
    Watching,
    /// `--check-mode=poll`.
    PollChosen,
    /// The target speaks HTTP/1.1 only.
    NoHttp2,
    /// The target's RBAC grants no watch of something.
    WatchForbidden,
    /// Watches of the target are cut, held back, or lose what they should bring.
    WatchBroken,

    // ---- the credential
    /// It ends in less than a week, and in less than a tenth of its life.
    ExpiresSoon,

    // ---- integrations
    /// The spec of the Integration is accepted.
    Accepted,
    /// A required component is not there.
    ComponentAbsent,
    /// A component is there and not ready.
    ComponentNotReady,
    /// The namespace of the tool is not there.
    NamespaceMissing,
    /// `config` or `components` of the Integration can't be used.
    InvalidConfig,
    /// `autoInstall.enabled: true`: ksit only reads.
    AutoInstallRefused,
    /// A name in `targetClusters` that no target has.
    TargetNotFound,
    /// A name in `targetClusters` that several targets have.
    TargetAmbiguous,
    /// No target matches at all.
    NoTargets,
    /// The tool is broken on some targets.
    TargetsFailing,
    /// Nothing is known to be broken, but some targets can't be read.
    TargetsUnreachable,
    /// The tool works everywhere, and needs attention on some targets.
    TargetsDegraded,
    /// Some targets are unhealthy, and no more than `maxUnhealthy` allows.
    WithinMaxUnhealthy,
    /// The stored object can't be read by this version.
    InvalidObject,
}

impl Reason {
    /// A fault that may pass by itself: it counts against `failureThreshold` before anybody hears of it.
    pub fn is_transient(self) -> bool {
        use Reason::*;
        matches!(
            self,
            NameNotResolved
                | ConnectFailed
                | TlsFailed
                | ConnectionLost
                | TimedOut
                | ServerError
                | Throttled
                | InvalidAnswer
                | AnswerTooLarge
        ) || self.is_of_replica()
    }

    /// A shortage of this replica, which says nothing of the target: it counts towards no verdict.
    pub fn is_of_replica(self) -> bool {
        matches!(self, Self::TooManyOpenFiles | Self::TooManyLookups)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why one read of one target failed.
///
/// Carries nothing of the target's answer and nothing of a credential: the fixed reason, the host that was
/// dialled, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// One sentence for a person: what happened to which host or field, and what to do.
    pub message: String,
}

impl Failure {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Failure {}
