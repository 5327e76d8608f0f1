//! Describes why a request to an API server failed, in ksit's own words.
//!
//! Errors of kube, of YAML and JSON parsers and of credential plugins quote their input, which may be a credential, so
//! their text is never shown. An API server's own message is.

use std::error::Error;
use std::io;
use std::time::Duration;

use kube::client::AuthError;
use kube::config::{KubeconfigError, LoadDataError};
use kube::core::Status;
use rustls::CertificateError as Bad;

/// The deadline passed without an answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("did not answer within {} s", .0.as_secs_f32())]
pub struct NoAnswer(pub Duration);

/// kube's reason for an error whose body is not a `Status`.
const NO_STATUS: &str = "Failed to parse error data";

/// Describes the cause as a predicate whose subject is the API server.
pub fn cause(error: &(dyn Error + 'static)) -> String {
    if let Some(words) = chain(error).find_map(describe) {
        return words;
    }
    let is_late = |error: &io::Error| error.kind() == io::ErrorKind::TimedOut;
    match chain(error).any(|error| error.downcast_ref().is_some_and(is_late)) {
        true => "did not answer in time".to_owned(),
        false => "can't be reached; check its address and the network".to_owned(),
    }
}

/// Whether the request exceeded its deadline.
pub fn is_late(error: &(dyn Error + 'static)) -> bool {
    chain(error).any(|error| error.is::<NoAnswer>())
}

/// Iterates over the error and its sources.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| source_of(*error))
}

fn source_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    // io::Error::source() skips the wrapped error and returns the source of that.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.map(|wrapped| wrapped as &(dyn Error + 'static)).or_else(|| error.source())
}

fn describe(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<NoAnswer>() {
        return Some(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<AuthError>() {
        return Some(credential_cause(error));
    }
    if let Some(error) = error.downcast_ref::<KubeconfigError>() {
        return Some(of_kubeconfig(error));
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_cause(error).to_owned());
    }
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return network_cause(error.kind()).map(str::to_owned);
    }
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => Some(status_cause(status)),
        Some(kube::Error::SerdeError(_) | kube::Error::FromUtf8(_)) => {
            Some("gave an answer that is not the Kubernetes API's".to_owned())
        }
        Some(kube::Error::ProxyProtocolDisabled { .. } | kube::Error::ProxyProtocolUnsupported { .. }) => {
            Some("is behind a proxy, by proxy-url or HTTPS_PROXY; ksit dials directly".to_owned())
        }
        Some(kube::Error::RustlsTls(_)) => {
            Some("can't be dialled: its CA, or the client certificate or key in the kubeconfig, is unusable".to_owned())
        }
        // hyper-util's type for failed DNS lookups is private, so match on its text.
        _ if error.to_string() == "dns error" => Some("has a name that does not resolve; check its URL".to_owned()),
        _ => None,
    }
}

fn network_cause(kind: io::ErrorKind) -> Option<&'static str> {
    Some(match kind {
        io::ErrorKind::ConnectionRefused => "refuses connections; check that it runs and the port is right",
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => {
            "ended the connection; check that a Kubernetes API server listens there"
        }
        _ => return None,
    })
}

fn tls_cause(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "shows a certificate that has expired"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "shows a certificate that is not valid yet; check the clocks"
        }
        rustls::Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            "shows a certificate for another name"
        }
        rustls::Error::InvalidCertificate(_) => {
            "shows a certificate that is not signed by the CA in the kubeconfig, or that can't be verified with it"
        }
        rustls::Error::AlertReceived(_) => "broke off the TLS handshake",
        _ => "does not complete a TLS handshake; check that a Kubernetes API server listens there",
    }
}

fn status_cause(status: &Status) -> String {
    match status.code {
        _ if status.reason == NO_STATUS => {
            format!("answered {} with a body that is not the Kubernetes API's; check its URL", status.code)
        }
        401 => "does not accept the credential".to_owned(),
        _ => format!("answered: {}", status.message.trim()),
    }
}

/// Whether the object does not exist. False if the API server does not serve the kind.
pub fn is_absent(error: &kube::Error) -> bool {
    let is_not_found = matches!(error, kube::Error::Api(status) if status.code == 404 && status.reason != NO_STATUS);
    is_not_found && !is_unknown_path(error)
}

/// Whether the API server does not serve the requested path, such as that of an unknown resource.
pub fn is_unknown_path(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let is_plain = status.reason == NO_STATUS && status.message.trim() == "404 page not found";
    status.code == 404 && (is_plain || status.reason != NO_STATUS && status.details.is_none())
}

fn credential_cause(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { status, .. } => format!("can't be asked: the credential plugin ended with {status}"),
        AuthError::AuthExecStart(error) => format!("can't be asked: the credential plugin does not start: {error}"),
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "can't be asked: the credential plugin printed no ExecCredential".to_owned()
        }
        AuthError::ReadTokenFile(error, path) => {
            format!("can't be asked: tokenFile {}: {error}", path.display())
        }
        AuthError::InvalidBearerToken(_) => "can't be asked: the token holds characters that can't be sent".to_owned(),
        _ => "can't be asked: the kubeconfig's credential can't be used".to_owned(),
    }
}

/// Describes what is wrong with a kubeconfig: the field, or the position in the file.
pub fn of_kubeconfig(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(error) => match error.location().filter(|place| place.line() > 0) {
            Some(place) => {
                format!(
                    "line {}, column {} is not YAML or not what a kubeconfig has there",
                    place.line(),
                    place.column()
                )
            }
            None => "it is not the YAML of a kubeconfig".to_owned(),
        },
        KubeconfigError::ReadConfig(error, path) => format!("{}: {error}", path.display()),
        KubeconfigError::CurrentContextNotSet => "it has no current-context; give --context".to_owned(),
        KubeconfigError::LoadContext(name) => format!("it has no context {name}"),
        KubeconfigError::LoadClusterOfContext(name) => format!("it has no cluster {name}, which the context names"),
        KubeconfigError::FindPath => "there is no home directory to find it in; give --kubeconfig".to_owned(),
        KubeconfigError::MissingClusterUrl => "the context's cluster has no server".to_owned(),
        KubeconfigError::ParseClusterUrl(_) => "server is not a URL like https://host:6443".to_owned(),
        KubeconfigError::ParseProxyUrl(_) => "proxy-url, or HTTPS_PROXY, is not a URL".to_owned(),
        KubeconfigError::LoadCertificateAuthority(error) => data_cause("certificate-authority", error),
        KubeconfigError::LoadClientCertificate(error) => data_cause("client-certificate", error),
        KubeconfigError::LoadClientKey(error) => data_cause("client-key", error),
        KubeconfigError::ParseCertificates(_) => "its certificate authority holds PEM that can't be read".to_owned(),
        KubeconfigError::KindMismatch | KubeconfigError::ApiVersionMismatch => {
            "the files of KUBECONFIG differ in kind or apiVersion".to_owned()
        }
    }
}

fn data_cause(field: &str, error: &LoadDataError) -> String {
    match error {
        LoadDataError::DecodeBase64(_) => format!("{field}-data is not base64"),
        LoadDataError::ReadFile(error, path) => format!("{field}: {}: {error}", path.display()),
        LoadDataError::NoBase64DataOrFile => format!("{field}-data is missing"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{ExitStatus, Output};

    use kube::config::Kubeconfig;

    use super::*;

    fn service(error: impl Error + Send + Sync + 'static) -> kube::Error {
        kube::Error::Service(Box::new(error))
    }

    #[test]
    fn errors_that_quote_their_input_are_not_shown() {
        let out =
            Output { status: ExitStatus::from_raw(256), stdout: b"planted".to_vec(), stderr: b"planted".to_vec() };
        let plugin = AuthError::AuthExecRun { cmd: "x --planted".to_owned(), status: out.status, out };
        let answer = serde_json::from_str::<u32>(r#""planted""#).unwrap_err();
        let file = Kubeconfig::from_yaml("users: planted\n").unwrap_err();
        let page = Status::failure("<html>planted</html>", NO_STATUS).with_code(403);
        for (error, words) in [
            (service(plugin), "the credential plugin ended with exit status: 1"),
            (kube::Error::SerdeError(answer), "an answer that is not the Kubernetes API's"),
            (kube::Error::InferKubeconfig(file), "line 1"),
            (kube::Error::Api(Box::new(page)), "answered 403 with a body that is not the Kubernetes API's"),
        ] {
            let shown = cause(&error);
            assert!(shown.contains(words) && !shown.contains("planted"), "{shown}");
        }
    }

    #[test]
    fn wrapped_causes_are_found() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert!(cause(&service(io::Error::other(refused))).starts_with("refuses connections"));
        let certificate = rustls::Error::InvalidCertificate(Bad::UnknownIssuer);
        assert!(cause(&service(io::Error::other(certificate))).contains("not signed by the CA"));
        let late = service(NoAnswer(Duration::from_secs(2)));
        assert_eq!((cause(&late).as_str(), is_late(&late)), ("did not answer within 2 s", true));
        assert_eq!(cause(&service(io::Error::from(io::ErrorKind::TimedOut))), "did not answer in time");
    }

    #[test]
    fn missing_kind_is_distinguished_from_missing_object() {
        let error = |text: &str| match serde_json::from_str(text) {
            Ok(status) => kube::Error::Api(Box::new(status)),
            Err(_) => kube::Error::Api(Box::new(Status::failure(text, NO_STATUS).with_code(404))),
        };
        let object = error(r#"{"code": 404, "reason": "NotFound", "details": {"name": "x"}}"#);
        let (kind, page) = (error("404 page not found\n"), error("<html>"));
        let both = |error: &kube::Error| (is_absent(error), is_unknown_path(error));
        assert_eq!([both(&object), both(&kind), both(&page)], [(true, false), (false, true), (false, false)]);
    }
}
