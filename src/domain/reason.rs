//! The list of reasons that conditions, events, metrics and logs share.

use std::fmt;

use super::word::Word;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// The reason of a condition (`CamelCase`, by the Kubernetes API conventions).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)+
            /// A reason of another ksit version.
            Other(Word),
        }

        impl Reason {
            /// Every reason of this version, for tables and metric labels.
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];

            /// Parses a name; `None` unless it is a reason of this version.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }

            /// Parses a report's or status's spelling, including reasons of other versions. `None` if it is not a name.
            pub fn read(text: &str) -> Option<Self> {
                Self::parse(text).or_else(|| Word::of(text).map(Self::Other))
            }

            /// The name in statuses, metrics and logs.
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
    // ---- healthy
    /// Every required component is present and ready.
    Healthy,
    /// The target answers.
    Connected,
    /// There is no verdict yet.
    Initializing,
    /// `enabled: false`, `paused`, or `pausedUntil` in the future.
    Paused,
    /// The cluster has no component of the tool, which `whenAbsent: NotInstalled` permits.
    NotInstalled,
    /// The same, although parts are there that other tools bring too.
    AccessoriesOnly,

    // ---- transient: not reported until `failureThreshold` rounds in a row have failed
    /// The target's name does not resolve.
    NameNotResolved,
    /// Nothing listens at the target's address, or the network refuses the connection.
    ConnectFailed,
    /// The TLS handshake failed for a reason other than the certificate.
    TlsFailed,
    /// The connection ended before the response was complete.
    ConnectionLost,
    /// No response within the deadline.
    TimedOut,
    /// The target answered 5xx.
    ServerError,
    /// The target answered 429.
    Throttled,
    /// The response does not conform to the Kubernetes API.
    InvalidAnswer,
    /// The response was larger than ksit reads.
    AnswerTooLarge,
    /// The proxy in front of the target opens no tunnel to it.
    ProxyFailed,
    /// No token can be made for `spec.access`.
    TokenUnavailable,

    // ---- of the replica: never counted against a target
    /// This replica has no file descriptor left.
    TooManyOpenFiles,
    /// Other targets hold all DNS lookups of this replica.
    TooManyLookups,

    // ---- permanent: reported at once
    /// The target answered 401: the credential is wrong or has expired.
    Unauthorized,
    /// The target answered 403: it lacks an RBAC rule.
    Forbidden,
    /// The target's certificate is not signed by the CA of the kubeconfig.
    CertificateUnknown,
    /// The target's certificate is for another name.
    CertificateNameMismatch,
    /// The target's certificate is not valid at this time.
    CertificateExpired,
    /// The kubeconfig Secret does not exist.
    SecretNotFound,
    /// ksit may not read the kubeconfig Secret on the hub.
    SecretForbidden,
    /// The Secret has no usable key.
    SecretInvalid,
    /// The kubeconfig can't be read.
    KubeconfigInvalid,
    /// The kubeconfig requires something that ksit refuses to do with an untrusted file.
    KubeconfigRefused,
    /// The kubeconfig points at an address that ksit does not dial.
    AddressRefused,
    /// `spec.access` requires something that the operator of the hub does not allow.
    AccessRefused,

    // ---- concluded
    /// `failureThreshold` rounds in a row failed.
    Unreachable,
    /// Checking the target crashed replicas repeatedly; it is not checked for a while.
    Quarantined,
    /// No replica has reported the target for three intervals.
    Stale,
    /// More Integrations concern the target than its status can list.
    TooManyIntegrations,

    // ---- how a target is checked
    /// The target is watched for changes.
    Watching,
    /// `--check-mode=poll`.
    PollChosen,
    /// The target speaks HTTP/1.1 only.
    NoHttp2,
    /// The target's RBAC grants no watch of something.
    WatchForbidden,
    /// Watches of the target are cut, held back, or lose changes.
    WatchBroken,

    // ---- the credential
    /// It expires in less than a week, and in less than a tenth of its lifetime.
    ExpiresSoon,
    /// Its token can't be renewed.
    RenewalFailed,

    // ---- integrations
    /// The spec of the Integration is accepted.
    Accepted,
    /// A required component does not exist.
    ComponentAbsent,
    /// A component exists, but is not ready.
    ComponentNotReady,
    /// All components work, and one of them is stuck, below strength or about to end.
    ComponentDegraded,
    /// The version of the tool is not in `spec.versions`.
    VersionOutOfRange,
    /// Objects that the tool manages fail, such as Applications.
    ResourcesFailing,
    /// Objects that the tool manages can't all be counted, and `failWhen` judges the tool by them.
    ResourcesUnknown,
    /// The namespace of the tool does not exist.
    NamespaceMissing,
    /// The namespace of the tool is being deleted.
    NamespaceTerminating,
    /// `config` or `components` of the Integration can't be used.
    InvalidConfig,
    /// There is no type of this name.
    UnknownType,
    /// The type of the Integration can't be used.
    InvalidType,
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
    /// No tool is known to be broken, but some targets can't be read.
    TargetsUnreachable,
    /// The tool works everywhere, and needs attention on some targets.
    TargetsDegraded,
    /// Some targets are unhealthy, and no more than `maxUnhealthy` allows.
    WithinMaxUnhealthy,
    /// The stored object can't be read by this version.
    InvalidObject,
}

impl Reason {
    /// Whether the fault may pass by itself: it is reported only after `failureThreshold` rounds.
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
                | ProxyFailed
                | TokenUnavailable
        ) || self.is_of_replica()
    }

    /// Whether the fault is a shortage of this replica, which counts towards no verdict on a target.
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
/// Has the fixed reason, the dialled host and the remedy, and nothing from the target's response or the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For conditions, metrics and retries.
    pub reason: Reason,
    /// One sentence for users: the host or field, the cause and the remedy.
    pub message: String,
}

impl Failure {
    /// A failure for users; nothing from the target's response may be in `message`.
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
