//! Checks Kubernetes names, with the expectation in words as the error.

/// A namespace, and a Service's name: letters, digits and hyphens, at most 63.
///
/// # Errors
/// The expectation, which continues "must be".
pub fn check_label(name: &str) -> Result<(), &'static str> {
    if name.len() <= 63 && is_label(name) {
        return Ok(());
    }
    Err("at most 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit")
}

/// The name of any other object: labels joined by dots, at most 253 characters.
///
/// # Errors
/// The expectation, which continues "must be".
pub fn check_subdomain(name: &str) -> Result<(), &'static str> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(
        "at most 253 lower-case letters, digits, hyphens and dots, each part beginning and ending with a letter or digit",
    )
}

fn is_label(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.iter().all(|byte| plain(*byte) || *byte == b'-')
        && bytes.first().is_some_and(|byte| plain(*byte))
        && bytes.last().is_some_and(|byte| plain(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains_are_checked() {
        for good in ["a", "argocd", "kube-system", "0a", &"x".repeat(63)] {
            assert_eq!(check_label(good), Ok(()), "{good}");
            assert_eq!(check_subdomain(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "ä", "a b", "a/b", "a\n"] {
            assert!(check_label(bad).is_err(), "{bad:?}");
            assert!(check_subdomain(bad).is_err(), "{bad:?}");
        }
        assert!(check_label("a.b").is_err());
        assert!(check_label(&"x".repeat(64)).is_err());
        assert_eq!(check_subdomain("gateways.networking.istio.io"), Ok(()));
        for bad in ["a..b", ".a", "a.", &"x.".repeat(200)] {
            assert!(check_subdomain(bad).is_err(), "{bad:?}");
        }
    }
}
