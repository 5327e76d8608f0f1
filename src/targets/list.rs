//! Fetches the answer to one [`Query`] from a target, page by page within bounds, or opens a watch.

use std::collections::BTreeSet;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::time::Instant;

use super::ask::Ask;
use super::decode::PageEnd;
use super::fault::{Fault, Refused, not_the_api};
use super::http::{Channel, Reply};
use super::http2::Http2Body;
use super::limits::Limits;
use super::listed::Listed;
use super::objects::{BadPage, MAX_BYTES, Objects};
use super::paths::{has_valid_name, list_path, object_path, path, watch_path, with_parameter};
use super::{content, decode};
use crate::domain::managed::ManagedList;
use crate::domain::reason::{Failure, Reason};
use crate::domain::snapshot::{Answer, ListKind, ObjectRef, ObjectState, Query, Resource};

/// Objects per page. An EndpointSlice of a hundred Pods has 45 KB: a page of them still fits into one response.
const PAGE: usize = 80;
const MAX_PAGES: usize = 200;

/// Objects per page where those of an ordinary page are too large.
const SMALL_PAGE: usize = 8;

/// Upper bounds of one list of managed objects: pages, and multiples of the bound of one response.
const MANAGED_BOUNDS: (usize, usize) = (2_500, 64);

/// Pods of a workload that are looked at: enough for the commonest reason, and half a megabyte.
const PODS: usize = 40;

/// Upper bound of one list, in multiples of the bound of one response.
const MAX_BODIES: usize = 16;

/// A continue token goes into a URL. Kubernetes tokens have some 200 bytes.
const MAX_TOKEN: usize = 4096;

/// So does a resourceVersion. Kubernetes versions are numbers.
const MAX_VERSION: usize = 64;

const JSON: &str = "application/json";
/// Metadata only; a server without support for it sends the object.
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json";

/// Everything that is served, in one response; a server before 1.27 sends its groups alone.
const DISCOVERY: &str = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io, \
     application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io, application/json";

/// The result of a query.
pub(super) enum Found {
    /// Resources that the API server serves, each as `plural.group`.
    Served(BTreeSet<String>),
    /// A list, and the resourceVersion that a watch resumes from.
    Objects(Objects, Option<String>),
    Answer(Answer),
}

/// Converts a refusal to an answer.
fn refused_answer(refused: Refused, host: &str) -> Result<Found, Fault> {
    match refused {
        Refused::Forbidden => Ok(Found::Answer(Answer::Forbidden)),
        Refused::NotFound => Ok(Found::Answer(Answer::NotFound)),
        Refused::NoSuchPath => Err(not_the_api(host, StatusCode::NOT_FOUND).into()),
        Refused::Gone => Err(invalid(host).into()),
    }
}

/// Sends the query and decodes the response.
pub(super) async fn fetch(
    channel: &Channel,
    query: &Query,
    limits: &Limits,
    deadline: Instant,
) -> Result<Found, Fault> {
    // No object on a cluster has such a name, and it must not alter the path.
    if !has_valid_name(query) {
        return Ok(Found::Answer(Answer::NotFound));
    }
    match query {
        Query::List { kind, namespace } => list(channel, &(*kind).into(), namespace, limits, deadline).await,
        Query::Managed(managed) => managed_list(channel, managed, limits, deadline).await,
        Query::Object(object) => get_named(channel, object, limits, deadline).await,
        Query::Served => served(channel, limits, deadline).await,
        Query::Pods { namespace, selector } => pods(channel, namespace, selector, limits, deadline).await,
    }
}

/// The cheapest request: checks that an API server answers and accepts the credential.
pub(super) async fn probe(channel: &Channel, limits: &Limits, deadline: Instant) -> Result<(), Fault> {
    match channel.get("/version", JSON, limits, deadline).await? {
        Reply::Body(mut body) => match decode::is_version_info(&mut body) {
            true => Ok(()),
            false => Err(invalid(channel.host()).into()),
        },
        Reply::Refused(refused) => refused_answer(refused, channel.host()).map(|_| ()),
    }
}

/// Opens a watch of changes after `version`; without a version, a streaming list: current objects first, then changes
/// (Kubernetes 1.34 and some before).
pub(super) async fn watch(
    channel: &Channel,
    listed: &Listed,
    namespace: &str,
    version: Option<&str>,
    limits: &Limits,
    deadline: Instant,
) -> Result<Reply<Http2Body>, Fault> {
    let path = watch_path(listed, namespace, version, channel.watch_time());
    channel.open_stream(&path, JSON, limits, deadline).await
}

async fn get_named(channel: &Channel, object: &ObjectRef, limits: &Limits, deadline: Instant) -> Result<Found, Fault> {
    let accept = match object.resource {
        // A CustomResourceDefinition may have a megabyte of schema.
        Resource::Crd | Resource::Namespace | Resource::OtherNamespace => METADATA,
        _ => JSON,
    };
    let (reply, date) = match channel.ask_dated(Ask::get(&object_path(object), accept), limits, deadline).await {
        Err(fault) if object.resource == Resource::CrdInFull && is_too_large(&fault) => {
            return Ok(Found::Answer(Answer::NotFound));
        }
        reply => reply?,
    };
    match reply {
        Reply::Body(mut body) => match read_named(object, &mut body, date.as_ref()) {
            Some(state) => Ok(Found::Answer(Answer::Object(Arc::new(state)))),
            None => Err(invalid(channel.host()).into()),
        },
        // The API of a custom resource that is not installed.
        Reply::Refused(Refused::NoSuchPath) if matches!(object.resource, Resource::Other { .. }) => {
            probe(channel, limits, deadline).await?;
            Ok(Found::Answer(Answer::NotFound))
        }
        Reply::Refused(refused) => refused_answer(refused, channel.host()),
    }
}

/// Discovery decides nothing by itself, so a server that does not offer it is not at fault.
async fn served(channel: &Channel, limits: &Limits, deadline: Instant) -> Result<Found, Fault> {
    let unknown = Ok(Found::Answer(Answer::NotFound));
    match channel.get("/apis", DISCOVERY, limits, deadline).await {
        Ok(Reply::Body(mut body)) => decode::served(&mut body).map_or(unknown, |served| Ok(Found::Served(served))),
        Ok(Reply::Refused(_)) => unknown,
        Err(fault) if is_too_large(&fault) => unknown,
        Err(fault) => Err(fault),
    }
}

fn is_too_large(fault: &Fault) -> bool {
    fault.failure.reason == Reason::AnswerTooLarge
}

fn read_named(object: &ObjectRef, body: &mut Vec<u8>, date: Option<&HeaderValue>) -> Option<ObjectState> {
    match object.resource.is_lease() {
        true => decode::lease(body, &object.name, date.and_then(content::date)),
        false => decode::named(body, &object.name),
    }
}

async fn pods(
    channel: &Channel,
    namespace: &str,
    selector: &str,
    limits: &Limits,
    deadline: Instant,
) -> Result<Found, Fault> {
    let path = format!("{}?limit={PODS}", path(("", "v1", "pods"), namespace));
    match channel.get(&with_parameter(path, "labelSelector", selector), JSON, limits, deadline).await? {
        Reply::Body(mut body) => match decode::pod_trouble(&mut body) {
            Ok(trouble) => Ok(Found::Answer(Answer::Pods(trouble))),
            Err(_) => Err(invalid(channel.host()).into()),
        },
        // The reason is an extra: nothing else depends on it.
        Reply::Refused(Refused::NoSuchPath) => Ok(Found::Answer(Answer::NotFound)),
        Reply::Refused(refused) => refused_answer(refused, channel.host()),
    }
}

/// Managed objects. A fault of their API alone, such as that of a conversion webhook, is an answer.
async fn managed_list(
    channel: &Channel,
    managed: &Arc<ManagedList>,
    limits: &Limits,
    deadline: Instant,
) -> Result<Found, Fault> {
    let listed = Listed::Managed(managed.clone());
    // The rest is for the question whether the cluster answers at all.
    let patience = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
    match list(channel, &listed, &managed.namespace, limits, patience).await {
        Err(fault) if fault.failure.reason != Reason::ConnectionLost => {
            probe(channel, limits, deadline).await?;
            Ok(Found::Answer(Answer::unreadable(fault.failure.reason, None)))
        }
        found => found,
    }
}

async fn list(
    channel: &Channel,
    listed: &Listed,
    namespace: &str,
    limits: &Limits,
    deadline: Instant,
) -> Result<Found, Fault> {
    let list_path = list_path(listed, namespace);
    let mut reading = Reading::new(listed);
    let (max_pages, max_bodies) = if listed.is_managed() { MANAGED_BOUNDS } else { (MAX_PAGES, MAX_BODIES) };
    for _ in 0..max_pages {
        let end = match channel.get(&reading.path(&list_path), JSON, limits, deadline).await {
            Ok(Reply::Body(body)) => match reading.add(body, limits) {
                Ok(end) => end,
                Err(BadPage::TooLarge) if reading.count_only() => continue,
                Err(bad) => return Err(bad_page(bad, channel.host(), listed).into()),
            },
            Ok(Reply::Refused(Refused::Gone)) if reading.restart() => continue,
            // API servers before 1.21 don't have this group, and others not every custom resource.
            Ok(Reply::Refused(Refused::NoSuchPath))
                if listed.is_managed() || *listed == ListKind::EndpointSlice.into() =>
            {
                probe(channel, limits, deadline).await?;
                return Ok(Found::Answer(Answer::NotFound));
            }
            Ok(Reply::Refused(refused)) => return refused_answer(refused, channel.host()),
            Err(fault) if is_too_large(&fault) && reading.read_smaller_pages() => continue,
            Err(fault) => return Err(fault),
        };
        if end.continue_token.as_ref().is_some_and(|token| token.len() > MAX_TOKEN) {
            return Err(invalid(channel.host()).into());
        }
        if reading.bytes > limits.settings().body_bytes.saturating_mul(max_bodies) {
            return Err(too_many(channel.host(), listed).into());
        }
        reading.token = end.continue_token;
        if reading.token.is_none() {
            return Ok(reading.found(end.version));
        }
    }
    Err(too_many(channel.host(), listed).into())
}

/// A list as far as it has been read.
struct Reading {
    objects: Objects,
    /// Objects per page.
    limit: usize,
    /// Continue token of the next page.
    token: Option<String>,
    /// Bytes read so far.
    bytes: usize,
    restarted: bool,
    /// Managed objects are too many to follow.
    is_counted: bool,
}

impl Reading {
    fn new(listed: &Listed) -> Self {
        let objects = Objects::new(listed.clone());
        Self { objects, limit: PAGE, token: None, bytes: 0, restarted: false, is_counted: false }
    }

    fn path(&self, list: &str) -> String {
        let path = format!("{list}?limit={}", self.limit);
        match &self.token {
            Some(token) => with_parameter(path, "continue", token),
            None => path,
        }
    }

    fn add(&mut self, mut body: Vec<u8>, limits: &Limits) -> Result<PageEnd, BadPage> {
        self.bytes += body.len();
        decode::add_page(&mut body, &mut self.objects, limits.pools())
    }

    /// Starts over once if the continue token has expired: the pages read so far are outdated.
    fn restart(&mut self) -> bool {
        let may_restart = self.token.is_some() && !self.restarted;
        if may_restart {
            *self = Self { restarted: true, ..self.anew() };
        }
        may_restart
    }

    /// Starts over once, and only counts managed objects.
    fn count_only(&mut self) -> bool {
        if self.is_counted || !self.objects.count_only() {
            return false;
        }
        *self = Self { is_counted: true, ..self.anew() };
        self.objects.count_only()
    }

    /// Asks for fewer managed objects at a time: an Application with its history may have a hundred kilobytes.
    fn read_smaller_pages(&mut self) -> bool {
        let may_read = self.objects.listed().is_managed() && self.limit > SMALL_PAGE;
        if may_read {
            self.limit = SMALL_PAGE;
        }
        may_read
    }

    fn anew(&self) -> Self {
        let mut objects = Objects::new(self.objects.listed().clone());
        if self.is_counted {
            objects.count_only();
        }
        let Self { limit, restarted, is_counted, .. } = *self;
        Self { objects, limit, token: None, bytes: 0, restarted, is_counted }
    }

    /// The whole list, as of this version.
    fn found(mut self, version: Option<String>) -> Found {
        self.objects.shrink();
        match self.is_counted {
            true => Found::Answer(self.objects.answer()),
            false => Found::Objects(self.objects, version.filter(|version| is_version(version))),
        }
    }
}

fn bad_page(bad: BadPage, host: &str, listed: &Listed) -> Failure {
    match bad {
        BadPage::Invalid | BadPage::Ended => invalid(host),
        BadPage::Name => invalid_name(host, listed),
        BadPage::TooLarge => too_many(host, listed),
    }
}

/// Whether `text` is usable as a resourceVersion. The content is opaque to clients.
pub(super) fn is_version(text: &str) -> bool {
    (1..=MAX_VERSION).contains(&text.len())
}

/// A response that no API server sends.
pub(super) fn invalid(host: &str) -> Failure {
    Failure::new(
        Reason::InvalidAnswer,
        format!("{host} sent an answer that is not the Kubernetes API's; check that server is an API server"),
    )
}

/// An object with a name or label that no API server accepts.
fn invalid_name(host: &str, listed: &Listed) -> Failure {
    let (_, _, plural) = listed.resource();
    Failure::new(
        Reason::InvalidAnswer,
        format!(
            "{host} lists {plural} with a name or a label that Kubernetes does not allow; check that server is an API \
             server, and who can change its answers"
        ),
    )
}

/// More objects in one list than ksit keeps.
fn too_many(host: &str, listed: &Listed) -> Failure {
    let (_, _, plural) = listed.resource();
    Failure::new(
        Reason::AnswerTooLarge,
        format!(
            "{host} lists more {plural} in one namespace than ksit keeps (at most {} objects and {} MiB)",
            PAGE * MAX_PAGES,
            MAX_BYTES >> 20
        ),
    )
}
