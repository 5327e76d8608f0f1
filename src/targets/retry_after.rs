//! `Retry-After`, as a stranger sends it.

use std::time::Duration;

use hyper::header::HeaderValue;

/// Nobody is left alone for longer.
const LONGEST: Duration = Duration::from_secs(300);

/// The wait that a target asks for: whole seconds, at most five minutes. A date, a negative number or rubbish is as
/// good as none.
pub(super) fn parse(value: Option<&HeaderValue>) -> Option<Duration> {
    let text = value?.to_str().ok()?.trim();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // Only digits: what doesn't fit is simply very long.
    let seconds = text.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_can_do_harm() {
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
