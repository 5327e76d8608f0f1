//! Converts names of contexts and clusters, which may be any text, to object names.

use wildmatch::WildMatch;

use crate::cli::CliError;

/// Leaves room for `-kubeconfig` within the 253 characters of a Secret's name.
const LONGEST: usize = 253 - "-kubeconfig".len();

/// Lower-cases the text and replaces each character that is invalid in an object name with `-`:
/// `arn:aws:eks:…:cluster/Berlin` becomes `arn-aws-eks-…-cluster-berlin`.
pub(super) fn object_name(text: &str) -> Result<String, CliError> {
    let lower = text.to_lowercase();
    let is_kept = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let plain: String = lower.chars().map(|c| if is_kept(c) { c } else { '-' }).collect();
    let labels: Vec<&str> = plain.split('.').map(|label| label.trim_matches('-')).filter(|l| !l.is_empty()).collect();
    match labels.join(".") {
        name if name.is_empty() => Err(format!("{text:?} has no letter or digit to form a name from").into()),
        name if name.len() > LONGEST => Err(format!("{text:?} is longer than {LONGEST} characters").into()),
        name => Ok(name),
    }
}

/// Whether `text` matches `pattern`: `*` matches any characters, `?` matches one.
pub(super) fn matches(pattern: &str, text: &str) -> bool {
    WildMatch::new(pattern).matches(text)
}

/// Whether Kubernetes accepts this as a label of an object.
/// <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>
pub(super) fn is_label(key: &str, value: &str) -> bool {
    let (prefix, name) = key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_prefix = |prefix: &str| {
        let is_part = |part: &str| {
            let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            is_framed(part, is_inner) && part.bytes().all(|byte| is_inner(byte) || byte == b'-')
        };
        prefix.len() <= 253 && prefix.split('.').all(is_part)
    };
    let is_text = |text: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric();
        text.len() <= 63 && is_framed(text, is_inner) && text.bytes().all(|b| is_inner(b) || b"-_.".contains(&b))
    };
    prefix.is_none_or(is_prefix) && is_text(name) && (value.is_empty() || is_text(value))
}

fn is_framed(text: &str, by: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(&by) && text.bytes().last().is_some_and(&by)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_syntax_matches_kubernetes() {
        for (key, value) in [("env", "prod"), ("example.com/Tier_1", ""), ("a", "v1.2-3_b"), ("9", &"a".repeat(63))] {
            assert!(is_label(key, value), "{key}={value}");
        }
        let long = "a".repeat(64);
        for (key, value) in [
            ("", "prod"),
            ("env", "prod eu"),
            ("env", "-prod"),
            ("env", "prod."),
            ("env", "zürich"),
            ("env", long.as_str()),
            (long.as_str(), "x"),
            ("Example.com/a", "x"),
            ("a/b/c", "x"),
            ("/a", "x"),
            ("a..b/c", "x"),
        ] {
            assert!(!is_label(key, value), "{key}={value}");
        }
    }

    #[test]
    fn any_name_becomes_a_valid_object_name() {
        for (text, name) in [
            ("berlin", "berlin"),
            ("arn:aws:eks:eu-west-1:123456789012:cluster/Berlin", "arn-aws-eks-eu-west-1-123456789012-cluster-berlin"),
            ("gke_shop_europe-west3_prod", "gke-shop-europe-west3-prod"),
            ("admin@prod.example.com", "admin-prod.example.com"),
            ("-a-.-.b_", "a.b"),
        ] {
            assert_eq!(object_name(text).unwrap(), name);
        }
        assert!(object_name("://").unwrap_err().to_string().contains("no letter or digit"));
        assert!(object_name(&"a".repeat(243)).unwrap_err().to_string().contains("longer than 242"));
    }

    #[test]
    fn pattern_matches_the_whole_name() {
        for (pattern, text, expected) in [
            ("prod-*", "prod-berlin", true),
            ("prod-*", "my-prod-berlin", false),
            ("*berlin", "prod-berlin", true),
            ("*-b*n", "prod-berlin", true),
            ("prod-?", "prod-1", true),
            ("prod-?", "prod-12", false),
            ("*", "", true),
            ("berlin", "berlin", true),
            ("berlin", "berlin2", false),
            ("*ü?", "zürü!", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn pattern_of_many_stars_is_matched_fast() {
        let (name, pattern) = ("a".repeat(10_000), "*a".repeat(50) + "*b");
        let begun = std::time::Instant::now();
        assert!(!matches(&pattern, &name) && matches(&pattern, &(name.clone() + "b")));
        assert!(begun.elapsed() < std::time::Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
