//! Validates and writes names and labels as Kubernetes defines them.
//!
//! Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/> and
//! <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>. An API server rejects anything else,
//! so a response with anything else does not come from one.

/// Upper bound of an object name and of a label key's prefix, in bytes.
const MAX_SUBDOMAIN: usize = 253;

/// Upper bound of a label value and of a label key without its prefix, in bytes.
const MAX_LABEL: usize = 63;

/// A DNS subdomain (RFC 1123): dot-separated parts of lower-case letters, digits and `-`, at most 253 bytes.
pub fn is_object_name(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &[u8]| part.iter().all(|byte| is_inside(*byte) || *byte == b'-') && has_ends(part, is_inside);
    text.len() <= MAX_SUBDOMAIN && text.as_bytes().split(|byte| *byte == b'.').all(is_part)
}

/// `[prefix/]name`: the prefix is a DNS subdomain, the name a non-empty label value.
pub fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_object_name(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

/// At most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends; or empty.
pub fn is_label_value(text: &str) -> bool {
    let bytes = text.as_bytes();
    let is_inside = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    bytes.is_empty()
        || bytes.len() <= MAX_LABEL && bytes.iter().all(is_inside) && has_ends(bytes, |b| b.is_ascii_alphanumeric())
}

/// `namespace/name`, or the name of a cluster-scoped object, whose namespace is empty.
pub fn place(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

fn has_ends(text: &[u8], is_end: impl Fn(u8) -> bool) -> bool {
    matches!((text.first(), text.last()), (Some(first), Some(last)) if is_end(*first) && is_end(*last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_dns_subdomains() {
        for name in ["a", "argocd-server", "issuers.cert-manager.io", "0", &"a".repeat(253)] {
            assert!(is_object_name(name), "{name}");
        }
        for name in ["", "A", "-a", "a-", "a..b", ".a", "a.", "a_b", "a/b", "ä", "a b", "a\u{1b}[2J", &"a".repeat(254)]
        {
            assert!(!is_object_name(name), "{name}");
        }
    }

    #[test]
    fn labels_have_a_prefixed_key_and_a_short_value() {
        for key in ["app", "app.kubernetes.io/name", "a_B.c", &format!("{}/{}", "p".repeat(253), "n".repeat(63))] {
            assert!(is_label_key(key), "{key}");
        }
        for key in ["", "/a", "a/", "a/b/c", "A/b", "a b", &"k".repeat(64), &format!("{}/n", "p".repeat(254))] {
            assert!(!is_label_key(key), "{key}");
        }
        for value in ["", "v1.2.3", "A_b-c", &"v".repeat(63)] {
            assert!(is_label_value(value), "{value}");
        }
        for value in ["-a", "a-", "a b", "a/b", "ü", "\u{202e}", "\0", &"v".repeat(64)] {
            assert!(!is_label_value(value), "{value}");
        }
    }
}
