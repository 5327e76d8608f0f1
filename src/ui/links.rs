//! Links to the pages of the tools themselves.

use kube::ResourceExt;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::Integration;
use crate::lists::ClusterRow;

/// Annotation of an Integration with the URL of the tool's page. `{cluster}`, `{name}`, `{namespace}` and
/// `{label:KEY}` stand for those of the cluster.
pub(super) const LINK: &str = "ksit.io/link";

/// The tool's page on this cluster. `None` without an annotation, if its URL is not http or https, or if it names a label
/// that the cluster lacks.
pub(super) fn tool_link(integration: &Integration, row: &ClusterRow, cluster_name: &str) -> Option<String> {
    let template = integration.annotations().get(LINK)?;
    if !template.starts_with("https://") && !template.starts_with("http://") {
        return None;
    }
    let (mut url, mut rest) = (String::new(), template.as_str());
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let value = match name.split_once(':') {
            Some(("label", key)) => row.labels.get(key)?,
            _ => match name {
                "cluster" => cluster_name,
                "name" => &row.name,
                "namespace" => &row.namespace,
                _ => return None,
            },
        };
        url.push_str(before);
        url.push_str(&encoded(value));
        rest = after;
    }
    Some(url + rest)
}

/// Characters that stay as they are are those of host names.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// A value as one part of a host or path. Names of clusters may hold any character.
fn encoded(value: &str) -> String {
    utf8_percent_encode(value, KEPT).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::IntegrationTarget;

    fn link(template: &str) -> Option<String> {
        let integration: Integration = serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1",
            "kind": "Integration", "metadata": {"name": "argocd", "annotations": {LINK: template}}, "spec": {"type": "argocd"}}))
        .unwrap();
        let target: IntegrationTarget = serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1",
            "kind": "IntegrationTarget", "metadata": {"name": "berlin", "namespace": "fleet", "labels": {"region": "eu"}},
            "spec": {"clusterName": "b"}}))
        .unwrap();
        tool_link(&integration, &ClusterRow::from(&target), "b/../x")
    }

    #[test]
    fn link_is_filled_with_the_cluster() {
        let url = link("https://argocd.{label:region}.example.com/{namespace}/{name}?c={cluster}");
        assert_eq!(url.as_deref(), Some("https://argocd.eu.example.com/fleet/berlin?c=b%2F..%2Fx"));
    }

    #[test]
    fn link_that_can_t_be_filled_or_followed_is_left_out() {
        for template in ["javascript:alert(1)", "https://{label:zone}.example.com", "https://{what}", "https://{name"] {
            assert_eq!(link(template), None, "{template}");
        }
    }
}
