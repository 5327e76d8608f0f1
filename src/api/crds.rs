//! The CustomResourceDefinitions as they are installed.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use kube::core::Rule;

use super::{Integration, IntegrationTarget, ShardMap};
use crate::domain::claim::MAX_AHEAD;

/// All of them, in the order in which they are printed.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![Integration::crd(), IntegrationTarget::crd(), ShardMap::crd()];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        let mut root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        root.iter_mut().for_each(|root| use_known_formats(root));
        if let Some(status) = root.and_then(|root| root.properties.as_mut()?.get_mut("status")) {
            strip_defaults(status);
            // Written whole, by one writer: an account of who wrote each field of it would be a tenth of the bytes, and
            // an eighth of the fields, that the API server keeps of a target and hands out with each read.
            status.x_kubernetes_map_type = Some("atomic".to_owned());
        }
    }
    crds
}

/// What reads leniently must not make the API server write: a status holds what was said, and nothing else.
fn strip_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    children(schema).for_each(strip_defaults);
}

/// Kubernetes knows int32 and int64 alone, and kubectl warns of others at each apply.
fn use_known_formats(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref() == Some("uint32") {
        schema.format = Some("int64".to_owned());
        schema.maximum = schema.maximum.or(Some(f64::from(u32::MAX)));
    }
    children(schema).for_each(use_known_formats);
}

fn children(schema: &mut JSONSchemaProps) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let items = match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => Some(items.as_mut()),
        _ => None,
    };
    let values = match &mut schema.additional_properties {
        Some(JSONSchemaPropsOrBool::Schema(values)) => Some(values.as_mut()),
        _ => None,
    };
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).chain(items).chain(values)
}

/// One YAML document, as `crds/` holds it.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}

/// Fences statuses: once a term is set, no write with a lower or without a term is taken. Two exceptions, so that an
/// edited term can be mended: a former coordinator's is lower by a few, not by thousands; and each installation has terms
/// of its own.
///
/// It stands at the root, where neither a removed field nor a removed status escapes it.
pub(super) fn term_rule() -> Rule {
    Rule::new(format!(
        "!has(oldSelf.status) || !has(oldSelf.status.coordinatorTerm) || (has(self.status) && \
         has(self.status.coordinatorTerm) && (self.status.coordinatorTerm >= oldSelf.status.coordinatorTerm || \
         oldSelf.status.coordinatorTerm - self.status.coordinatorTerm > {MAX_AHEAD} || \
         (has(self.status.managedBy) && has(oldSelf.status.managedBy) && \
         self.status.managedBy != oldSelf.status.managedBy)))"
    ))
    .message("status.coordinatorTerm never falls: this write is a former coordinator's")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Fields of such names are written `__namespace__` in rules: API servers of 1.30 refuse the rule otherwise.
    const KEYWORDS_OF_CEL: [&str; 8] = ["namespace", "package", "import", "function", "if", "in", "let", "return"];

    fn rules(schema: &Value, found: &mut Vec<String>) {
        let children: Vec<&Value> = match schema {
            Value::Object(fields) => fields.values().collect(),
            Value::Array(items) => items.iter().collect(),
            _ => Vec::new(),
        };
        let validations = schema.get("x-kubernetes-validations").and_then(Value::as_array);
        found.extend(validations.into_iter().flatten().filter_map(|rule| Some(rule["rule"].as_str()?.to_owned())));
        children.into_iter().for_each(|child| rules(child, found));
    }

    #[test]
    fn formats_are_those_that_kubernetes_knows() {
        let text = serde_json::to_string(&all()).unwrap();
        let formats: std::collections::BTreeSet<&str> =
            text.split("\"format\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(formats.into_iter().collect::<Vec<_>>(), ["date-time", "int64"]);
    }

    #[test]
    fn rules_escape_fields_that_are_keywords_of_cel() {
        let mut found = Vec::new();
        rules(&serde_json::to_value(all()).unwrap(), &mut found);
        assert!(found.len() > 5, "{found:?}");
        for rule in found {
            let paths = rule.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.')));
            let mut fields = paths.flat_map(|path| path.split('.').skip(1));
            assert_eq!(fields.find(|field| KEYWORDS_OF_CEL.contains(field)), None, "in {rule}");
        }
    }
}
