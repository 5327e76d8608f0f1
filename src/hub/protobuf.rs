//! Decodes Kubernetes objects from protobuf, with only the fields that ksit reads.
//!
//! A start reads a Secret per target, and JSON encoding is a tenth of the API server's cost of that. Field numbers are
//! from `generated.proto` in `k8s.io/api/core/v1` and `k8s.io/apimachinery`.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message;

pub(super) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

const MAGIC: &[u8] = b"k8s\0";

/// Envelope of every object.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(bytes = "bytes", tag = "2")]
    raw: Bytes,
}

/// A Secret. `Debug` is skipped, so its data is never printed.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct Secret {
    #[prost(message, optional, tag = "1")]
    pub metadata: Option<ObjectMeta>,
    #[prost(map = "string, bytes", tag = "2")]
    pub data: HashMap<String, Vec<u8>>,
}

/// `Debug` is skipped: annotations may hold a copy of the data, which `kubectl apply` leaves.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct ObjectMeta {
    #[prost(string, tag = "6")]
    pub resource_version: String,
    #[prost(map = "string, string", tag = "12")]
    pub annotations: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(string, tag = "3")]
    pub message: String,
}

/// Decodes the object in a response body; `None` if the body is anything else.
pub(super) fn decode<M: Message + Default>(mut body: Bytes) -> Option<M> {
    if !body.starts_with(MAGIC) {
        return None;
    }
    let envelope = Unknown::decode(body.split_off(MAGIC.len())).ok()?;
    M::decode(envelope.raw).ok()
}

/// Encodes an object as a response body.
#[cfg(test)]
pub(super) fn encode(object: &impl Message) -> Vec<u8> {
    let envelope = Unknown { raw: object.encode_to_vec().into() };
    [MAGIC, &envelope.encode_to_vec()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_bodies_and_other_formats_are_rejected() {
        let object = encode(&Status { message: "secrets \"a\" not found".to_owned() });
        assert_eq!(decode(object.clone().into()), Some(Status { message: "secrets \"a\" not found".to_owned() }));
        for length in 0..MAGIC.len() {
            assert_eq!(decode::<Status>(Bytes::copy_from_slice(&object[..length])), None);
        }
        assert_eq!(decode::<Status>(object[..object.len() - 1].to_vec().into()), None);
        assert_eq!(decode::<Status>(Bytes::from_static(b"{\"kind\":\"Status\"}")), None);
    }
}
