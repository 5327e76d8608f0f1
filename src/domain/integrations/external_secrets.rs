//! The External Secrets Operator, as its chart installs it.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{Crd, Deployment, Service};

const NAME: &str = "app.kubernetes.io/name";

pub const TOOL: Tool = Tool {
    name: "external-secrets",
    title: "External Secrets Operator",
    namespace: "external-secrets",
    parts: &[
        Part::required(Deployment, "external-secrets").labelled(&[&[(NAME, "external-secrets")]]),
        Part::required(Deployment, "external-secrets-webhook").labelled(&[&[(NAME, "external-secrets-webhook")]]),
        Part::required(Service, "external-secrets-webhook").labelled(&[&[(NAME, "external-secrets-webhook")]]),
        Part::optional(Deployment, "external-secrets-cert-controller")
            .labelled(&[&[(NAME, "external-secrets-cert-controller")]]),
        Part::optional(Crd, "externalsecrets.external-secrets.io"),
        Part::optional(Crd, "secretstores.external-secrets.io"),
        Part::optional(Crd, "clustersecretstores.external-secrets.io"),
    ],
};
