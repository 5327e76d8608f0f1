//! Rules: which requests a fault matches, and how it treats them.

use std::time::Duration;

use http::{Method, StatusCode};

/// Treatment of a matching request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Forwarded; the response begins this long after the request.
    Delay(Duration),
    /// Forwarded; each frame of the response arrives this late, as from a stale watch cache.
    Lag(Duration),
    /// Answered with this code and not forwarded.
    Fail(StatusCode),
    /// Not forwarded, and not answered while the rule is set.
    Hang,
}

/// Matches every request unless narrowed.
#[derive(Clone, Debug)]
pub struct Rule {
    action: Action,
    method: Option<Method>,
    namespace: Option<String>,
    resource: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

impl Rule {
    /// Treats every request in this way until it is narrowed.
    pub fn new(action: Action) -> Self {
        Self { action, method: None, namespace: None, resource: None, name: None, subresource: None }
    }

    /// Fails matching requests with `code`.
    pub fn fail(code: StatusCode) -> Self {
        Self::new(Action::Fail(code))
    }

    /// Narrows to an HTTP method; a watch is a GET.
    pub fn method(self, method: Method) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Narrows to the objects in a namespace; empty for cluster-scoped requests and lists across namespaces.
    pub fn namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// Narrows to a resource, by its plural.
    pub fn resource(self, plural: &str) -> Self {
        Self { resource: Some(plural.to_owned()), ..self }
    }

    /// Narrows to the object with this name; empty for lists, watches and creations.
    pub fn name(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Narrows to a subresource; empty for the object itself.
    pub fn subresource(self, subresource: &str) -> Self {
        Self { subresource: Some(subresource.to_owned()), ..self }
    }

    pub(super) fn action(&self) -> Action {
        self.action
    }

    pub(super) fn matches(&self, method: &Method, path: &str) -> bool {
        let concerned = Concerned::of(path);
        self.method.as_ref().is_none_or(|wanted| wanted == method)
            && is(&self.namespace, concerned.namespace)
            && is(&self.resource, concerned.resource)
            && is(&self.name, concerned.name)
            && is(&self.subresource, concerned.subresource)
    }
}

fn is(wanted: &Option<String>, found: &str) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == found)
}

/// The object named by a path; fields are empty where it names none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Concerned<'a> {
    namespace: &'a str,
    resource: &'a str,
    name: &'a str,
    subresource: &'a str,
}

impl<'a> Concerned<'a> {
    /// Parses `/api/v1/…` or `/apis/GROUP/VERSION/…`, optionally followed by `namespaces/NAMESPACE`.
    fn of(path: &'a str) -> Self {
        let mut parts = path.trim_start_matches('/').split('/');
        let group = match parts.next() {
            Some("api") => 1,
            Some("apis") => 2,
            _ => return Self::default(),
        };
        let rest: Vec<&str> = parts.skip(group).collect();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
            rest => ("", rest),
        };
        let part = |index: usize| rest.get(index).copied().unwrap_or_default();
        Self { namespace, resource: part(0), name: part(1), subresource: part(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_parsed_into_object_and_subresource() {
        let of = |path| {
            let Concerned { namespace, resource, name, subresource } = Concerned::of(path);
            [namespace, resource, name, subresource]
        };
        assert_eq!(
            of("/apis/ksit.io/v1alpha1/namespaces/load/integrationtargets/c1/status"),
            ["load", "integrationtargets", "c1", "status"]
        );
        assert_eq!(of("/api/v1/namespaces/load/secrets/c1"), ["load", "secrets", "c1", ""]);
        assert_eq!(of("/apis/authentication.k8s.io/v1/tokenreviews"), ["", "tokenreviews", "", ""]);
        assert_eq!(of("/api/v1/namespaces/load"), ["", "namespaces", "load", ""]);
        assert_eq!(of("/livez"), ["", "", "", ""]);
    }

    #[test]
    fn rule_matches_if_all_its_parts_match() {
        let path = "/apis/ksit.io/v1alpha1/namespaces/load/integrationtargets/c1/status";
        let rule = Rule::fail(StatusCode::FORBIDDEN).method(Method::PUT).resource("integrationtargets");
        assert!(rule.matches(&Method::PUT, path) && !rule.matches(&Method::GET, path));
        assert!(rule.clone().name("c1").subresource("status").namespace("load").matches(&Method::PUT, path));
        assert!(!rule.clone().name("c2").matches(&Method::PUT, path));
        assert!(!rule.clone().subresource("").matches(&Method::PUT, path));
        assert!(!rule.namespace("team").matches(&Method::PUT, path));
        assert!(Rule::new(Action::Hang).matches(&Method::GET, "/livez"));
    }
}
