//! The routes of the page.

use std::sync::Arc;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Form, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::access::{Denied, Gate, check_site};
use super::cache::{Body, Cache};
use super::clock::HubClock;
use super::events::events;
use super::feed::why_stale;
use super::history::{History, Shown};
use super::index::Index;
use super::pages::history;
use super::pages::{Page, View, body, document, failure, login};
use super::params::{Access, BadParam, Params};
use super::{api, assets};

/// Open event streams.
const MAX_STREAMS: usize = 500;

/// Nothing from elsewhere, no inline script or style, no frames.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// A command that prints a token.
const TOKEN_COMMAND: &str = "kubectl create token NAME -n NAMESPACE --duration 8h";

/// Everything that requests share.
pub(super) struct App {
    pub(super) index: Arc<Index>,
    gate: Gate,
    cache: Cache,
    streams: Arc<Semaphore>,
    clock: HubClock,
    history: Option<History>,
}

impl App {
    pub(super) fn new(index: Arc<Index>, gate: Gate, clock: HubClock, history: Option<History>) -> Self {
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { index, gate, cache: Cache::default(), streams, clock, history }
    }

    /// The history that the parameters select; `None` if none is kept.
    async fn shown_history(self: &Arc<Self>, access: &Access, params: &Params) -> Result<Option<Arc<Shown>>, Failure> {
        let (app, access, params) = (self.clone(), access.clone(), params.clone());
        let read =
            move || app.history.as_ref().map(|history| history.show(&access, &params, app.clock.now())).transpose();
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|error| Failure::History(error.to_string()))?.map_err(|error| Failure::History(error.to_string()))
    }

    /// The page of the history.
    async fn history_page(self: &Arc<Self>, params: &Params, access: &Access, part: bool) -> Result<Response, Failure> {
        let shown = self.shown_history(access, params).await?;
        let (fleet, now) = (self.index.read(), self.clock.now());
        let view = View { fleet: &fleet, access, params, now };
        let page = history::page(&view, shown.as_deref());
        Ok(Html(Arc::new(Body::new(self.frame(&view, "/history", &page, part)))).into_response())
    }

    /// Namespaces that the sender of a request may see.
    ///
    /// # Errors
    /// Fails if the sender has not proved who it is, or may see nothing.
    pub(super) async fn admit(&self, headers: &HeaderMap) -> Result<Access, Denied> {
        self.gate.admit(headers, || self.index.read().namespaces()).await
    }

    /// The document with the page, or with `part` the content below the navigation.
    fn frame(&self, view: &View, path: &str, page: &Page, part: bool) -> String {
        let stale = why_stale(view.fleet, view.now);
        let shown = match part {
            true => body(page, stale.as_deref()),
            false => document(view, path, page, stale.as_deref(), self.gate.takes_tokens()),
        };
        shown.into_string()
    }

    /// The document of a view, or with `part` the content below the navigation.
    fn view(&self, uri: &Uri, params: &Params, access: &Access, part: bool) -> Result<Response, Failure> {
        let fleet = self.index.read();
        let version = fleet.version(access);
        let (path, now) = (uri.path(), self.clock.now());
        let key = (uri.path_and_query().map(ToString::to_string).unwrap_or_default(), part, access.clone());
        let render = || {
            let view = View { fleet: &fleet, access, params, now };
            let page = view.render(path)?.ok_or(Failure::NotFound)?;
            Ok::<_, Failure>(self.frame(&view, path, &page, part))
        };
        let body = self.cache.get_or(key, version, render)?;
        Ok(Html(body).into_response())
    }
}

/// A reason not to answer.
enum Failure {
    Denied(Denied),
    BadParam(BadParam),
    NotFound,
    TooMany,
    History(String),
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<BadParam> for Failure {
    fn from(bad: BadParam) -> Self {
        Self::BadParam(bad)
    }
}

impl Failure {
    fn status(&self) -> StatusCode {
        match self {
            Self::Denied(Denied::NotSignedIn | Denied::Refused) => StatusCode::UNAUTHORIZED,
            Self::Denied(Denied::Forbidden | Denied::OtherSite) => StatusCode::FORBIDDEN,
            Self::Denied(Denied::Unavailable(_)) | Self::TooMany | Self::History(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::BadParam(_) => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Denied(denied) => denied.to_string(),
            Self::BadParam(bad) => bad.to_string(),
            Self::NotFound => "nothing is here, or nothing that you may see".to_owned(),
            Self::TooMany => "too many pages are open".to_owned(),
            Self::History(why) => format!("the history can't be read: {why}"),
        }
    }

    /// As a page for people.
    fn page(&self, gate: &Gate) -> Response {
        let page = match self {
            Self::Denied(denied @ (Denied::NotSignedIn | Denied::Refused)) => {
                let why = (*denied == Denied::Refused).then(|| denied.to_string());
                login(why.as_deref(), gate.takes_tokens().then_some(TOKEN_COMMAND))
            }
            Self::BadParam(_) => failure("This address can't be read", &self.why()),
            Self::NotFound => failure("Not found", &self.why()),
            Self::Denied(_) | Self::TooMany | Self::History(_) => failure("Not now", &self.why()),
        };
        (self.status(), Html(Arc::new(Body::new(page.into_string())))).into_response()
    }

    /// As JSON for programs.
    fn json(&self) -> Response {
        let body = serde_json::json!({ "error": self.why() });
        (self.status(), [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

/// A rendered page; [`compressed`] picks its encoding.
struct Html(Arc<Body>);

impl IntoResponse for Html {
    fn into_response(self) -> Response {
        let mut response = self.0.plain.clone().into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        response.extensions_mut().insert(self.0);
        response
    }
}

/// The page's routes.
pub(super) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/events", get(stream))
        .route("/login", post(sign_in))
        .route("/logout", post(sign_out))
        .route("/assets/{name}", get(asset))
        .route("/healthz", get(async || "ok\n"))
        .route("/api/v1", get(json))
        .route("/api/v1/{*path}", get(json))
        .fallback(get(page))
        .layer(from_fn(secured))
        .with_state(app)
}

async fn page(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    Query(once): Query<Once>,
    query: Result<Query<Params>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let is_part = headers.contains_key("x-part");
    let answer = async {
        check_site(&headers, !is_part)?;
        if let Some(token) = once.token
            && !app.gate.takes_tokens()
        {
            return Ok(signed_in(app.gate.sign_in(&token, Default::default).await?));
        }
        let access = app.admit(&headers).await?;
        let Query(params) = query.map_err(|error| BadParam { field: "query", why: error.body_text() })?;
        match uri.path() {
            "/history" => app.history_page(&params, &access, is_part).await,
            _ => app.view(&uri, &params, &access, is_part),
        }
    };
    answer.await.unwrap_or_else(|failure: Failure| failure.page(&app.gate))
}

/// The query of the URL that `ksit ui` prints.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Once {
    token: Option<String>,
}

/// The form of the page on which users sign in.
#[derive(Deserialize)]
struct Typed {
    token: String,
}

fn signed_in(cookie: String) -> Response {
    (StatusCode::SEE_OTHER, [(header::SET_COOKIE, cookie), (header::LOCATION, "/".to_owned())]).into_response()
}

async fn sign_in(State(app): State<Arc<App>>, headers: HeaderMap, Form(typed): Form<Typed>) -> Response {
    let answer = async {
        check_site(&headers, false)?;
        let cookie = app.gate.sign_in(&typed.token, || app.index.read().namespaces()).await?;
        Ok(signed_in(cookie))
    };
    answer.await.unwrap_or_else(|failure: Failure| failure.page(&app.gate))
}

async fn sign_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match check_site(&headers, false) {
        Ok(()) => signed_in(app.gate.sign_out(&headers)),
        Err(denied) => Failure::from(denied).page(&app.gate),
    }
}

async fn stream(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let answer = async {
        check_site(&headers, false)?;
        app.admit(&headers).await?;
        let permit = app.streams.clone().try_acquire_owned().map_err(|_| Failure::TooMany)?;
        Ok(events(app.clone(), headers, permit).into_response())
    };
    answer.await.unwrap_or_else(|failure: Failure| failure.json())
}

async fn json(
    State(app): State<Arc<App>>,
    path: Option<Path<String>>,
    headers: HeaderMap,
    query: Query<Params>,
) -> Response {
    let answer = async {
        check_site(&headers, false)?;
        let access = app.admit(&headers).await?;
        let path = path.as_ref().map(|path| path.as_str()).unwrap_or_default();
        if path == "history" {
            let shown = app.shown_history(&access, &query).await?.ok_or(Failure::NotFound)?;
            return Ok(api::history(&shown).to_string());
        }
        let (fleet, now) = (app.index.read(), app.clock.now());
        let view = View { fleet: &fleet, access: &access, params: &query, now };
        let found = api::answer(&view, path, why_stale(&fleet, now).as_deref())?.ok_or(Failure::NotFound)?;
        Ok(found.to_string())
    };
    match answer.await {
        Ok(text) => {
            let mut response = Html(Arc::new(Body::new(text))).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err::<_, Failure>(failure) => failure.json(),
    }
}

async fn asset(Path(name): Path<String>) -> Response {
    match assets::find(&name) {
        Some((type_, text)) => ([(header::CONTENT_TYPE, type_)], text).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds the headers that keep a browser from doing anything else, and compresses what was rendered.
async fn secured(request: Request, next: Next) -> Response {
    let accepts_gzip = request.headers().get_all(header::ACCEPT_ENCODING).iter();
    let accepts_gzip = accepts_gzip.filter_map(|value| value.to_str().ok()).any(|value| value.contains("gzip"));
    let mut response = next.run(request).await;
    if accepts_gzip && let Some(body) = response.extensions_mut().remove::<Arc<Body>>() {
        *response.body_mut() = HttpBody::from(body.gzip.clone());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept-Encoding, Cookie, Authorization, X-Part"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    response
}
