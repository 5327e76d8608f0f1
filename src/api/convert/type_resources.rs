//! Validates the kinds that a tool manages, and compiles their rules.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::integration_type::{check_version, group_and_version};
use crate::api::TypeResource;
use crate::domain::integrations::names::check_label;
use crate::domain::managed::{FailWhen, ManagedKind, ManagedList, RuleTexts, Rules, is_kind};
use crate::domain::queries::plural;

/// # Errors
/// A sentence that begins with the field, from `spec` on.
pub(super) fn kinds(resources: &[TypeResource]) -> Result<Vec<ManagedKind>, String> {
    let mut kinds: Vec<ManagedKind> = Vec::new();
    for (index, resource) in resources.iter().enumerate() {
        let field = format!("spec.resources[{index}]");
        let kind = kind(resource).map_err(|error| format!("{field}.{error}"))?;
        if kinds.iter().any(|other| other.kind == kind.kind) {
            return Err(format!("{field}: {} is there twice", kind.kind));
        }
        kinds.push(kind);
    }
    Ok(kinds)
}

fn kind(resource: &TypeResource) -> Result<ManagedKind, String> {
    let TypeResource {
        api_version,
        or_versions,
        kind,
        plural: own_plural,
        namespaces,
        suspended,
        progressing,
        failed,
        reason,
        fail_when,
    } = resource;
    let (group, version) = group_and_version(api_version)?;
    let versions: Vec<String> = [version.to_owned()].into_iter().chain(or_versions.iter().cloned()).collect();
    for version in &versions {
        check_version(version)?;
    }
    if !is_kind(kind) {
        return Err(format!("kind: {kind:?} is not a name such as Application"));
    }
    let plural = own_plural.clone().unwrap_or_else(|| plural(kind));
    check_label(&plural).map_err(|expected| format!("plural: {plural:?} must be {expected}"))?;
    for namespace in namespaces {
        check_label(namespace).map_err(|expected| format!("namespaces: {namespace:?} must be {expected}"))?;
    }
    let texts = [suspended, progressing, failed, reason].map(Clone::clone);
    let [suspended, progressing, failed, reason] = texts;
    let rules = Rules::compile(RuleTexts { suspended, progressing, failed, reason })?.into();
    let list =
        ManagedList { kind: kind.clone(), group: group.to_owned(), versions, plural, namespace: String::new(), rules };
    let lists = match namespaces.is_empty() {
        true => vec![list.into()],
        false => namespaces.iter().map(|namespace| list.in_namespace(namespace).into()).collect(),
    };
    let fail_when = fail_when.as_ref().map(self::fail_when).transpose()?.unwrap_or_default();
    Ok(ManagedKind { kind: kind.clone(), lists, fail_when })
}

fn fail_when(value: &IntOrString) -> Result<FailWhen, String> {
    let text = match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    let expected = "never, a whole number from 1, or a percentage such as 10%";
    FailWhen::parse(&text).ok_or_else(|| format!("failWhen: {text:?} must be {expected}"))
}
