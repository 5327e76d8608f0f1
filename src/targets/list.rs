//! Asks one [`Query`] of a target, page by page, within bounds.

use std::fmt::Write;

use tokio::time::Instant;

use super::decode::{self, BadPage, Gathered};
use super::http::{Channel, Fault, Reply};
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Answer, ListKind, Query};

/// Objects a page: what kubectl and client-go ask for.
const PAGE: usize = 500;
const MAX_PAGES: usize = 200;
const MAX_OBJECTS: usize = super::wire::MAX_ITEMS;
/// Labels and ready endpoints of one list, some 100 bytes each.
const MAX_DETAILS: usize = 500_000;
/// A list may have this many times what one answer may.
const MAX_BODIES: usize = 4;

/// A continue token goes into a URL. Those of Kubernetes have some 200 bytes.
const MAX_TOKEN: usize = 4096;

const JSON: &str = "application/json";
/// Metadata only; a server that doesn't know this sends the object.
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json";

/// Asks and decodes. `cap` bounds one body.
pub(super) async fn ask(channel: &Channel, query: &Query, cap: usize, deadline: Instant) -> Result<Answer, Fault> {
    // Nothing of such a name can exist on a cluster, and it must not become a path of its own.
    if !has_possible_name(query) {
        return Ok(Answer::NotFound);
    }
    match query {
        Query::List { kind, namespace } => list(channel, *kind, namespace, cap, deadline).await,
        Query::Crd { name } => {
            let path = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}");
            named(channel, &path, name, cap, deadline).await
        }
        Query::Namespace { name } => named(channel, &format!("/api/v1/namespaces/{name}"), name, cap, deadline).await,
    }
}

/// The cheapest request there is: whether the target answers, and doesn't refuse the credential as such.
pub(super) async fn probe(channel: &Channel, deadline: Instant) -> Result<(), Fault> {
    const SMALL: usize = 64 * 1024;
    channel.get("/version", JSON, SMALL, deadline).await.map(|_| ())
}

async fn named(channel: &Channel, path: &str, name: &str, cap: usize, deadline: Instant) -> Result<Answer, Fault> {
    match channel.get(path, METADATA, cap, deadline).await? {
        Reply::Body(body) if decode::is_object_named(&body, name) => Ok(Answer::Present),
        Reply::Body(_) | Reply::Gone => Err(invalid(channel).into()),
        Reply::NotFound => Ok(Answer::NotFound),
        Reply::Forbidden => Ok(Answer::Forbidden),
    }
}

async fn list(
    channel: &Channel,
    kind: ListKind,
    namespace: &str,
    cap: usize,
    deadline: Instant,
) -> Result<Answer, Fault> {
    let path = list_path(kind, namespace);
    let mut gathered = Gathered::default();
    let mut token: Option<String> = None;
    let mut bytes = 0;
    let mut restarted = false;
    for _ in 0..MAX_PAGES {
        match channel.get(&page_path(&path, token.as_deref()), JSON, cap, deadline).await? {
            Reply::Body(body) => {
                bytes += body.len();
                token = decode::add_page(kind, &body, &mut gathered).map_err(|bad| match bad {
                    BadPage::Invalid => invalid(channel),
                    BadPage::TooLarge => too_many(channel, kind),
                })?;
                if token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN) {
                    return Err(invalid(channel).into());
                }
            }
            // The cluster has forgotten where the list was; from the start once, as what was read is of the past.
            Reply::Gone if token.is_some() && !restarted => {
                (gathered, token, bytes, restarted) = (Gathered::default(), None, 0, true);
                continue;
            }
            Reply::Gone => return Err(invalid(channel).into()),
            Reply::NotFound => return Ok(Answer::NotFound),
            Reply::Forbidden => return Ok(Answer::Forbidden),
        }
        let too_much =
            gathered.objects > MAX_OBJECTS || gathered.details > MAX_DETAILS || bytes > cap.saturating_mul(MAX_BODIES);
        if too_much {
            return Err(too_many(channel, kind).into());
        }
        if token.is_none() {
            return Ok(answer(kind, gathered));
        }
    }
    Err(too_many(channel, kind).into())
}

fn answer(kind: ListKind, gathered: Gathered) -> Answer {
    match kind {
        ListKind::Deployment | ListKind::StatefulSet | ListKind::DaemonSet => Answer::Workloads(gathered.workloads),
        ListKind::Service => Answer::Services(gathered.services),
        ListKind::EndpointSlice | ListKind::Endpoints => Answer::Endpoints(
            gathered
                .ready
                .into_iter()
                .map(|(service, ready)| (service, u32::try_from(ready.len()).unwrap_or(u32::MAX)))
                .collect(),
        ),
    }
}

fn list_path(kind: ListKind, namespace: &str) -> String {
    match kind.resource() {
        ("", version, plural) => format!("/api/{version}/namespaces/{namespace}/{plural}"),
        (group, version, plural) => format!("/apis/{group}/{version}/namespaces/{namespace}/{plural}"),
    }
}

fn page_path(path: &str, token: Option<&str>) -> String {
    let mut url = format!("{path}?limit={PAGE}");
    if let Some(token) = token {
        url.push_str("&continue=");
        for byte in token.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                url.push(char::from(byte));
            } else {
                // Writing into a String can't fail.
                let _ = write!(url, "%{byte:02X}");
            }
        }
    }
    url
}

fn has_possible_name(query: &Query) -> bool {
    match query {
        Query::List { namespace: name, .. } | Query::Namespace { name } => is_label(name),
        Query::Crd { name } => name.len() <= 253 && name.split('.').all(is_label),
    }
}

/// A DNS label (RFC 1123), which is what Kubernetes lets names be made of.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn invalid(channel: &Channel) -> Failure {
    Failure::new(
        Reason::InvalidAnswer,
        format!(
            "{} sent an answer that is not the Kubernetes API's; check that server is an API server",
            channel.host()
        ),
    )
}

fn too_many(channel: &Channel, kind: ListKind) -> Failure {
    let (_, _, plural) = kind.resource();
    Failure::new(
        Reason::AnswerTooLarge,
        format!("{} lists more {plural} in one namespace than ksit reads (at most {MAX_OBJECTS})", channel.host()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_not_become_another_path() {
        for name in ["..", ".", "", "a/b", "a?b", "a#b", "a%2fb", "A", "-a", "a-", "ä", &"a".repeat(64)] {
            assert!(!has_possible_name(&Query::Namespace { name: name.to_owned() }), "{name}");
        }
        assert!(has_possible_name(&Query::Namespace { name: "argo-cd-2".to_owned() }));
        assert!(has_possible_name(&Query::Crd { name: "gateways.networking.istio.io".to_owned() }));
        assert!(!has_possible_name(&Query::Crd { name: "gateways..io".to_owned() }));
        assert!(!has_possible_name(&Query::Crd { name: "../../secrets".to_owned() }));
    }

    #[test]
    fn urls_are_those_of_the_kubernetes_api() {
        let apps = list_path(ListKind::Deployment, "argocd");
        assert_eq!(page_path(&apps, None), "/apis/apps/v1/namespaces/argocd/deployments?limit=500");
        assert_eq!(
            page_path(&list_path(ListKind::Service, "a"), Some("x/y+z=&&\r\n")),
            "/api/v1/namespaces/a/services?limit=500&continue=x%2Fy%2Bz%3D%26%26%0D%0A"
        );
    }
}
