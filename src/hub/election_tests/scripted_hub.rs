//! Simulates an API server with one Lease, which applies and answers requests when a script says.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::super::lease_board::LeaseBoard;
use super::LAG;

/// A request as the script sees it.
#[derive(Clone, Debug)]
pub(in crate::hub) struct Request {
    pub(in crate::hub) candidate: usize,
    pub(in crate::hub) method: Method,
    /// Ordinal among this candidate's requests of this method, from 1.
    pub(in crate::hub) number: usize,
}

/// Timing of a request.
#[derive(Clone, Copy, Debug)]
pub(in crate::hub) struct Fate {
    /// Time until it takes effect. `None`: never.
    pub(in crate::hub) done: Option<Duration>,
    /// Time from then until it is answered. `None`: never.
    pub(in crate::hub) answered: Option<Duration>,
}

impl Fate {
    pub(in crate::hub) fn prompt() -> Self {
        Self::done_after(Duration::from_millis(1))
    }

    pub(in crate::hub) fn done_after(time: Duration) -> Self {
        Self { done: Some(time), answered: Some(Duration::from_millis(1)) }
    }

    pub(in crate::hub) fn never_answered(is_done: bool) -> Self {
        Self { done: is_done.then_some(Duration::from_millis(1)), answered: None }
    }
}

type Script = Box<dyn FnMut(&Request) -> Fate + Send>;
type Answer = (StatusCode, Value);

struct State {
    lease: Option<Value>,
    version: u64,
    counts: Vec<(usize, Method)>,
    script: Script,
}

struct Job {
    candidate: usize,
    method: Method,
    body: Value,
    answer: oneshot::Sender<Answer>,
}

pub(in crate::hub) struct ScriptedHub {
    state: Arc<Mutex<State>>,
    boards: [Arc<LeaseBoard>; 2],
    jobs: mpsc::UnboundedSender<Job>,
    /// Whether each candidate is cut off.
    pub(in crate::hub) cut: [Arc<AtomicBool>; 2],
    _server: JoinSet<()>,
}

impl ScriptedHub {
    pub(in crate::hub) fn new(
        spec: Option<LeaseSpec>,
        boards: [Arc<LeaseBoard>; 2],
        script: impl FnMut(&Request) -> Fate + Send + 'static,
    ) -> Self {
        let state = State { lease: None, version: 0, counts: Vec::new(), script: Box::new(script) };
        let state = Arc::new(Mutex::new(state));
        let (jobs, waiting) = mpsc::unbounded_channel();
        let cut = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let mut server = JoinSet::new();
        server.spawn(serve(state.clone(), boards.clone(), cut.clone(), waiting));
        let hub = Self { state, boards, jobs, cut, _server: server };
        if let Some(spec) = spec {
            hub.write(spec);
        }
        hub
    }

    /// Creates the client of a candidate.
    pub(in crate::hub) fn client(&self, candidate: usize) -> Client {
        let jobs = self.jobs.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let jobs = jobs.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (answer, answered) = oneshot::channel();
                let _ = jobs.send(Job { candidate, method: head.method, body, answer });
                let Ok((code, body)) = answered.await else { return std::future::pending().await };
                let mut response = Response::new(Body::from(body.to_string().into_bytes()));
                *response.status_mut() = code;
                Ok::<_, Infallible>(response)
            }
        });
        Client::new(service, "ksit-system")
    }

    /// Writes the Lease's spec as another process.
    pub(in crate::hub) fn write(&self, spec: LeaseSpec) {
        let spec = serde_json::to_value(spec).unwrap();
        let lease = lock(&self.state).store(json!({ "metadata": { "name": "ksit-coordinator" }, "spec": spec }));
        self.boards.iter().for_each(|board| board.apply_event(parse(&lease)));
    }

    /// Writes the whole Lease as another process.
    pub(in crate::hub) fn replace(&self, lease: &Lease) {
        let lease = lock(&self.state).store(serde_json::to_value(lease).unwrap());
        self.boards.iter().for_each(|board| board.apply_event(parse(&lease)));
    }

    /// Restores a backup that holds this Lease; versions count on from its own. Watches stay silent.
    pub(in crate::hub) fn restore(&self, lease: &Lease) {
        let mut state = lock(&self.state);
        state.version = lease.metadata.resource_version.as_deref().unwrap().parse().unwrap();
        state.lease = Some(serde_json::to_value(lease).unwrap());
    }

    /// Raises the version, as writes of other objects do.
    pub(in crate::hub) fn skip_versions(&self, count: u64) {
        lock(&self.state).version += count;
    }

    /// Deletes the Lease as another process.
    pub(in crate::hub) fn delete(&self) {
        let mut state = lock(&self.state);
        state.version += 1;
        let version = state.version.to_string();
        let Some(mut lease) = state.lease.take() else { return };
        lease["metadata"]["resourceVersion"] = json!(version);
        self.boards.iter().for_each(|board| board.apply_deletion(parse(&lease)));
    }

    pub(in crate::hub) fn set_script(&self, script: impl FnMut(&Request) -> Fate + Send + 'static) {
        let mut state = lock(&self.state);
        (state.script, state.counts) = (Box::new(script), Vec::new());
    }

    /// Shows the Lease to `board`, as the first list does.
    pub(in crate::hub) fn show(&self, board: &LeaseBoard) {
        if let Some(lease) = &lock(&self.state).lease {
            board.apply_event(parse(lease));
        }
    }

    pub(in crate::hub) fn lease(&self) -> Option<Lease> {
        lock(&self.state).lease.as_ref().map(parse)
    }

    pub(in crate::hub) fn holder(&self) -> String {
        self.lease().and_then(|lease| lease.spec?.holder_identity).unwrap_or_default()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn parse(lease: &Value) -> Lease {
    serde_json::from_value(lease.clone()).unwrap()
}

impl State {
    fn fate(&mut self, job: &Job) -> Fate {
        let key = (job.candidate, job.method.clone());
        self.counts.push(key.clone());
        let number = self.counts.iter().filter(|counted| **counted == key).count();
        (self.script)(&Request { candidate: job.candidate, method: job.method.clone(), number })
    }

    fn store(&mut self, mut lease: Value) -> Value {
        self.version += 1;
        lease["apiVersion"] = json!("coordination.k8s.io/v1");
        lease["kind"] = json!("Lease");
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.lease = Some(lease.clone());
        lease
    }

    /// Returns the answer, and whether the Lease changed.
    fn apply(&mut self, method: &Method, body: Value) -> (Answer, bool) {
        let refused = |code: StatusCode, reason: &str| {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": reason, "reason": reason, "code": code.as_u16() });
            ((code, status), false)
        };
        let is_outdated = |lease: &Value| {
            let version = &body["metadata"]["resourceVersion"];
            !version.is_null() && *version != lease["metadata"]["resourceVersion"]
        };
        match (method.as_str(), self.lease.clone()) {
            ("POST", Some(_)) => refused(StatusCode::CONFLICT, "AlreadyExists"),
            ("POST", None) => ((StatusCode::CREATED, self.store(body)), true),
            (_, None) => refused(StatusCode::NOT_FOUND, "NotFound"),
            ("GET", Some(lease)) => ((StatusCode::OK, lease), false),
            (_, Some(lease)) if is_outdated(&lease) => refused(StatusCode::CONFLICT, "Conflict"),
            ("PUT", Some(_)) => ((StatusCode::OK, self.store(body)), true),
            (_, Some(mut lease)) => {
                for (field, value) in body["spec"].as_object().into_iter().flatten() {
                    lease["spec"][field] = value.clone();
                }
                ((StatusCode::OK, self.store(lease)), true)
            }
        }
    }
}

/// Applies requests even if their client has stopped waiting.
async fn serve(
    state: Arc<Mutex<State>>,
    boards: [Arc<LeaseBoard>; 2],
    cut: [Arc<AtomicBool>; 2],
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let mut in_flight = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(job) = jobs.recv() => in_flight.push(serve_one(&state, &boards, &cut, job)),
            Some(()) = in_flight.next() => {}
            else => return,
        }
    }
}

async fn serve_one(state: &Mutex<State>, boards: &[Arc<LeaseBoard>; 2], cut: &[Arc<AtomicBool>; 2], job: Job) {
    let Fate { done, answered } = match cut[job.candidate].load(Ordering::Relaxed) {
        true => Fate::never_answered(false),
        false => lock(state).fate(&job),
    };
    let Job { candidate, method, body, answer } = job;
    let Some(done) = done else { return std::future::pending().await };
    sleep(done).await;
    let (response, changed) = lock(state).apply(&method, body);
    let lease = changed.then(|| parse(&response.1));
    let reply = async {
        let Some(answered) = answered else { return std::future::pending().await };
        sleep(answered).await;
        let _ = answer.send(response);
    };
    let watch = async {
        sleep(LAG).await;
        for (number, board) in boards.iter().enumerate() {
            if let Some(lease) = lease.clone().filter(|_| number != candidate || !cut[number].load(Ordering::Relaxed)) {
                board.apply_event(lease);
            }
        }
    };
    tokio::join!(reply, watch);
}
