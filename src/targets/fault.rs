//! Faults of a request, with messages for users: the host, the cause and the remedy.

use std::time::Duration;

use hyper::StatusCode;

use super::objects::MAX_BYTES;
use super::tls;
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::ListKind;

/// A GET that failed.
#[derive(Debug)]
pub(super) struct Fault {
    pub failure: Failure,
    /// The wait that the target asks for.
    pub retry_after: Option<Duration>,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, retry_after: None }
    }
}

/// Refusals that are not faults: the object does not exist, or may not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NotFound,
    /// 404 without a Status: from an API server without the API group, or from something else.
    NoSuchPath,
    Forbidden,
    /// 410: a continue token or a resourceVersion that is too old.
    Gone,
}

/// Classifies a response other than 200. `is_status`: its body is a Status, so it comes from an API server and not from
/// a proxy, which can't tell whether an object exists and who may read it. `retry_after`: the parsed header.
pub(super) fn refusal(
    host: &str,
    status: StatusCode,
    is_status: bool,
    retry_after: Option<Duration>,
) -> Result<Refused, Fault> {
    let failure = match status {
        StatusCode::NOT_FOUND => return Ok(if is_status { Refused::NotFound } else { Refused::NoSuchPath }),
        StatusCode::FORBIDDEN if is_status => return Ok(Refused::Forbidden),
        StatusCode::GONE if is_status => return Ok(Refused::Gone),
        // Gateways in front of API servers check credentials too.
        StatusCode::UNAUTHORIZED => Failure::new(
            Reason::Unauthorized,
            format!("{host} does not accept the credential (401); put a valid one into the kubeconfig"),
        ),
        StatusCode::TOO_MANY_REQUESTS => {
            return Err(Fault { failure: throttled(host), retry_after });
        }
        status if status.is_server_error() => Failure::new(
            Reason::ServerError,
            format!("{host} answered {}; look at the API server of the target", status.as_u16()),
        ),
        status if status.is_redirection() => Failure::new(
            Reason::InvalidAnswer,
            format!(
                "{host} redirects ({}), which ksit does not follow; give the API server's own address",
                status.as_u16()
            ),
        ),
        status if is_status => Failure::new(
            Reason::InvalidAnswer,
            format!("{host} answered {}; check that it is a Kubernetes API server", status.as_u16()),
        ),
        status => not_the_api(host, status),
    };
    Err(failure.into())
}

/// A response from something that is not an API server, such as a gateway's error page.
pub(super) fn not_the_api(host: &str, status: StatusCode) -> Failure {
    Failure::new(
        Reason::InvalidAnswer,
        format!(
            "{host} answered {} with something that is not the Kubernetes API's; check the address and the path of server",
            status.as_u16()
        ),
    )
}

/// Whether this process or the machine is out of file descriptors.
pub(super) fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    code == Some(Errno::MFILE.raw_os_error()) || code == Some(Errno::NFILE.raw_os_error())
}

/// A fault of the replica, not of the target.
pub(super) fn no_descriptor(host: &str) -> Failure {
    Failure::new(
        Reason::TooManyOpenFiles,
        format!("{host} was not dialled: this replica has no file descriptor left; raise its limit or add replicas"),
    )
}

/// Without the remaining time, so that the message is the same on every retry.
pub(super) fn throttled(host: &str) -> Failure {
    Failure::new(
        Reason::Throttled,
        format!("{host} is throttling (429); look at API Priority and Fairness of the target, and at proxies between"),
    )
}

pub(super) fn timed_out(host: &str) -> Failure {
    Failure::new(
        Reason::TimedOut,
        format!("{host} accepted the connection and did not answer in time; look at the API server of the target"),
    )
}

/// The coding is not quoted: it is the target's text.
pub(super) fn encoded(host: &str) -> Failure {
    Failure::new(
        Reason::InvalidAnswer,
        format!("{host} compresses its answers although ksit asks for none of it; look at proxies between"),
    )
}

pub(super) fn lost(host: &str) -> Failure {
    Failure::new(Reason::ConnectionLost, format!("{host} ended the connection before its answer was complete"))
}

pub(super) fn too_large(host: &str, cap: usize) -> Failure {
    Failure::new(
        Reason::AnswerTooLarge,
        format!("{host} sent an answer of more than {} KiB, which is the most that ksit reads", cap / 1024),
    )
}

/// All lists of a target together exceed a limit.
pub(super) fn too_much(host: &str) -> Failure {
    Failure::new(
        Reason::AnswerTooLarge,
        format!(
            "{host} lists more than ksit keeps of a cluster ({} MiB), or than this replica has room for; look for objects \
             there that grow in number or in labels",
            MAX_BYTES >> 20
        ),
    )
}

pub(super) fn http2_failure(host: &str, error: &h2::Error) -> Failure {
    // With TLS 1.3 the target's verdict on a client certificate comes after the handshake.
    let wrapped = error.get_io().and_then(std::io::Error::get_ref);
    match wrapped.and_then(|error| error.downcast_ref::<rustls::Error>()) {
        Some(error) => tls::tls_failure(host, error),
        None => lost(host),
    }
}

pub(super) fn http1_failure(host: &str, error: &hyper::Error) -> Failure {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        // With TLS 1.3 the target's verdict on a client certificate comes after the handshake.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(error) = wrapped.and_then(|error| error.downcast_ref::<rustls::Error>()) {
            return tls::tls_failure(host, error);
        }
        source = inner.source();
    }
    if error.is_parse() || error.is_parse_too_large() {
        return Failure::new(
            Reason::InvalidAnswer,
            format!("{host} does not speak valid HTTP; check that it is a Kubernetes API server"),
        );
    }
    lost(host)
}

/// Why a target is polled.
pub(super) fn why_polled(reason: Reason, host: &str) -> String {
    match reason {
        Reason::NoHttp2 => format!("{host} speaks HTTP/1.1 only: it is polled once per interval; let HTTP/2 through"),
        Reason::AnswerTooLarge => format!(
            "watches of {host} bring more than ksit keeps of a cluster ({} MiB): it is polled once per interval; look for \
             objects there that grow in number or in labels",
            MAX_BYTES >> 20
        ),
        Reason::InvalidAnswer => format!(
            "watches of {host} bring what the Kubernetes API does not: it is polled once per interval; look at proxies \
             between, and who can change its answers"
        ),
        Reason::PollChosen => "ksit runs with --check-mode=poll: it is polled once per interval".to_owned(),
        _ => format!(
            "watches of {host} are cut, held back or lose changes: it is polled once per interval; look at proxies between \
             (buffering, idle time-outs)"
        ),
    }
}

pub(super) fn watch_forbidden(kind: ListKind, namespace: &str) -> Failure {
    let (group, _, plural) = kind.resource();
    let message = format!(
        "{plural} in namespace {namespace} may not be watched and are polled once per interval; add the verb watch to the \
         Role there (apiGroups [\"{group}\"], resources [\"{plural}\"])"
    );
    Failure::new(Reason::WatchForbidden, message)
}
