//! Parses `Retry-After` from an untrusted server.

use std::time::Duration;

use hyper::header::HeaderValue;

/// Cap on `Retry-After`.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// The requested wait: whole seconds, at most five minutes. A date, a negative number or garbage counts as absent.
pub(super) fn parse(value: Option<&HeaderValue>) -> Option<Duration> {
    let text = value?.to_str().ok()?.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Digits only: a number that overflows is a very long wait.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_bounded_whatever_the_value() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("7", Some(7)),
            (" 30 ", Some(30)),
            ("300", Some(300)),
            ("301", Some(300)),
            ("99999999999999999999", Some(300)),
            ("-1", None),
            ("1e9", None),
            ("", None),
            ("soon", None),
            ("+5", None),
            ("Fri, 31 Dec 1999 23:59:59 GMT", None),
        ] {
            let value = HeaderValue::from_str(text).unwrap();
            assert_eq!(parse(Some(&value)), seconds.map(Duration::from_secs), "{text:?}");
        }
        assert_eq!(parse(Some(&HeaderValue::from_bytes(b"\xff").unwrap())), None);
        assert_eq!(parse(None), None);
    }
}
