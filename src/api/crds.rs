//! Generates the CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use kube::CustomResourceExt;
use kube::core::Rule;

use super::{Integration, IntegrationTarget, IntegrationType, MaintenanceWindow, Notifier, ShardMap};
use crate::domain::claim::MAX_AHEAD;

/// Returns all CRDs, in the order in which they are printed.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        Integration::crd(),
        IntegrationTarget::crd(),
        IntegrationType::crd(),
        MaintenanceWindow::crd(),
        Notifier::crd(),
        ShardMap::crd(),
    ];
    for version in crds.iter_mut().flat_map(|crd| &mut crd.spec.versions) {
        let mut root = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        root.iter_mut().for_each(|root| use_known_formats(root));
        if let Some(status) = root.and_then(|root| root.properties.as_mut()?.get_mut("status")) {
            strip_defaults(status);
            // A status is written whole, by one writer. Without "atomic", its managedFields would be a tenth of the
            // bytes and an eighth of the fields of a target, which the API server stores and returns with each read.
            status.x_kubernetes_map_type = Some("atomic".to_owned());
        }
    }
    crds
}

/// Removes the defaults. They exist for lenient reading only; with them, the API server would add fields that ksit did
/// not write.
fn strip_defaults(schema: &mut JSONSchemaProps) {
    schema.default = None;
    children(schema).for_each(strip_defaults);
}

/// Replaces `uint32`: Kubernetes knows only int32 and int64, and kubectl warns about other formats at each apply.
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

/// Renders a CRD as a YAML document, as in `crds/`.
///
/// # Errors
/// If it has no form in YAML, which no generated CRD lacks.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_saphyr::ser::Error> {
    serde_saphyr::to_string(crd)
}

/// Fences statuses: once a term is set, writes with a lower term or without one are rejected. There are two exceptions,
/// so that an edited term can be repaired: a term lower by thousands (a former coordinator's is lower by a few only),
/// and another installation, which has terms of its own.
///
/// The rule is at the root, so that removing the field or the whole status does not bypass it.
pub(super) fn term_rule() -> Rule {
    Rule::new(format!(
        "!has(oldSelf.status) || !has(oldSelf.status.coordinatorTerm) || (has(self.status) && \
         has(self.status.coordinatorTerm) && (self.status.coordinatorTerm >= oldSelf.status.coordinatorTerm || \
         oldSelf.status.coordinatorTerm - self.status.coordinatorTerm > {MAX_AHEAD} || \
         (has(self.status.managedBy) && has(oldSelf.status.managedBy) && \
         self.status.managedBy != oldSelf.status.managedBy)))"
    ))
    .message("status.coordinatorTerm must not decrease: this write is from a former coordinator")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// Fields with these names must be written as `__namespace__` in rules, or API servers of 1.30 refuse the rule.
    const CEL_KEYWORDS: [&str; 8] = ["namespace", "package", "import", "function", "if", "in", "let", "return"];

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
    fn formats_are_known_to_kubernetes() {
        let text = serde_json::to_string(&all()).unwrap();
        let formats: std::collections::BTreeSet<&str> =
            text.split("\"format\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(formats.into_iter().collect::<Vec<_>>(), ["date-time", "int64"]);
    }

    #[test]
    fn rules_escape_fields_named_like_cel_keywords() {
        let mut found = Vec::new();
        rules(&serde_json::to_value(all()).unwrap(), &mut found);
        assert!(found.len() > 5, "{found:?}");
        for rule in found {
            let paths = rule.split(|letter: char| !(letter.is_alphanumeric() || matches!(letter, '_' | '.')));
            let mut fields = paths.flat_map(|path| path.split('.').skip(1));
            assert_eq!(fields.find(|field| CEL_KEYWORDS.contains(field)), None, "in {rule}");
        }
    }
}
