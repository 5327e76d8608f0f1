//! Hostile responses that no healthy API server sends: endless, oversized, or with names that Kubernetes refuses.

use bytes::Bytes;

use super::body::Body;
use super::catalogue::Kind;
use super::cluster::Cluster;
use super::fault::Fault;
use super::fleet::Fleet;
use super::list;
use super::request::ApiRequest;

/// An oversized body, generated while it is sent: a head, then filler up to a number of bytes.
pub(super) struct OversizedBody {
    head: Option<Bytes>,
    filler: Filler,
    left: u64,
}

enum Filler {
    Same(Bytes),
    /// Events that each add a Deployment with a new name.
    Added {
        labels: String,
        number: u64,
    },
}

const FILLER: usize = 16 * 1024;

const OVERSIZED_NAME: usize = 1_200_000;
const OVERSIZED_LABEL: usize = 1_000_000;

/// Number of labels of the largest allowed size: a prefix of 253 bytes, a name and a value of 63.
const LABELS: usize = 60;

/// Clears the terminal, moves the cursor, sets the colour and window title, breaks the line, reverses the text.
const CONTROL_NAME: &str =
    r"\u001b[2J\u001b[1;1H\u001b[32mALL GOOD\u001b[0m\u001b]0;pwned\u0007\r\nfake log line\u202egnp.exe\u0000\t";

/// The Deployment that is renamed.
const RENAMED: &str = "\"name\":\"argocd-server\",\"namespace\":\"argocd\"";

impl Iterator for OversizedBody {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let piece = self.head.take().unwrap_or_else(|| self.filler.next());
        self.left = self.left.saturating_sub(piece.len() as u64);
        Some(piece)
    }
}

impl Filler {
    fn next(&mut self) -> Bytes {
        match self {
            Self::Same(bytes) => bytes.clone(),
            Self::Added { labels, number } => {
                *number += 1;
                let version = 1_000_000 + *number;
                format!(
                    "{{\"type\":\"ADDED\",\"object\":{{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{{\
                     \"name\":\"grown-{number}\",\"resourceVersion\":\"{version}\",\"labels\":{{{labels},\"number\":\"{number}\"}}}},\
                     \"spec\":{{\"replicas\":1}},\"status\":{{}}}}}}\n"
                )
                .into()
            }
        }
    }
}

/// For faults of endless watches: the lines in `first`, then events without end.
pub(super) fn endless_watch(
    fleet: &Fleet,
    collection: usize,
    request: &ApiRequest,
    fault: Fault,
    first: &Bytes,
) -> Option<OversizedBody> {
    let is_of_deployments = fleet.catalogue.collections[collection].kind == Kind::Deployment;
    let (head, filler) = match fault {
        Fault::OversizedLine => {
            let head = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"annotations\":{\"a\":\"";
            (Bytes::from(head), Filler::Same(vec![b'x'; FILLER].into()))
        }
        Fault::OversizedBody if request.initial_events => {
            (Bytes::new(), Filler::Same(format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", large_object()).into()))
        }
        Fault::OversizedLabels if is_of_deployments => {
            let labels = format!("\"a\":\"{}\"", "v".repeat(OVERSIZED_LABEL));
            (first.clone(), Filler::Added { labels, number: 0 })
        }
        Fault::GrowingWatch if is_of_deployments => {
            (first.clone(), Filler::Added { labels: largest_labels(), number: 0 })
        }
        _ => return None,
    };
    Some(OversizedBody { head: Some(head), filler, left: fleet.settings.oversized_bytes })
}

pub(super) fn oversized_list(
    fleet: &Fleet,
    cluster: &Cluster,
    collection: usize,
    request: &ApiRequest,
) -> OversizedBody {
    let mut pieces = list::list(fleet, cluster, collection, request).pieces;
    pieces.pop();
    let head = Bytes::from(pieces.concat());
    let filler = format!(",{}", large_object());
    OversizedBody { head: Some(head), filler: Filler::Same(filler.into()), left: fleet.settings.oversized_bytes }
}

/// For faults of names: the body with one object renamed.
pub(super) fn renamed(body: Body, fault: Option<Fault>) -> Body {
    let name = match fault {
        Some(Fault::OversizedName) => "x".repeat(OVERSIZED_NAME),
        Some(Fault::ControlCharacters) => CONTROL_NAME.to_owned(),
        _ => return body,
    };
    let text = String::from_utf8_lossy(&body.pieces.concat()).into_owned();
    let text = text.replace(RENAMED, &format!("\"name\":\"{name}\",\"namespace\":\"argocd\""));
    Body { pieces: vec![text.into()], ..body }
}

fn largest_labels() -> String {
    let prefix = ["p".repeat(63), "q".repeat(63), "r".repeat(63), "s".repeat(61)].join(".");
    let label = |number: usize| format!("\"{prefix}/{number:0>63}\":\"{}\"", "v".repeat(63));
    (0..LABELS).map(label).collect::<Vec<_>>().join(",")
}

fn large_object() -> String {
    format!("{{\"metadata\":{{\"name\":\"x\",\"annotations\":{{\"a\":\"{}\"}}}}}}", "x".repeat(FILLER - 50))
}
