//! The contents of every simulated cluster: five tools, as installed by their usual manifests.

use super::Kind::{self, Crd, DaemonSet, Deployment, Service, StatefulSet};

/// One object of a tool. A Service implies an EndpointSlice.
pub(super) struct Part {
    pub(super) tool: &'static str,
    pub(super) kind: Kind,
    /// Empty for a CRD.
    pub(super) namespace: &'static str,
    pub(super) name: &'static str,
    pub(super) labels: &'static [(&'static str, &'static str)],
}

/// Namespaces without any tool.
pub(super) const OTHER_NAMESPACES: [&str; 2] = [EMPTY_NAMESPACE, "kube-system"];

pub(super) const EMPTY_NAMESPACE: &str = "default";

type Labels = &'static [(&'static str, &'static str)];

const fn part(tool: &'static str, kind: Kind, namespace: &'static str, name: &'static str, labels: Labels) -> Part {
    Part { tool, kind, namespace, name, labels }
}

const fn argocd(kind: Kind, name: &'static str, labels: Labels) -> Part {
    part("argocd", kind, "argocd", name, labels)
}

const fn flux(name: &'static str, labels: Labels) -> Part {
    part("flux", Deployment, "flux-system", name, labels)
}

const fn monitoring(kind: Kind, name: &'static str, labels: Labels) -> Part {
    part("prometheus", kind, "monitoring", name, labels)
}

const fn istio(kind: Kind, name: &'static str, labels: Labels) -> Part {
    part("istio", kind, "istio-system", name, labels)
}

const fn cert_manager(kind: Kind, name: &'static str, labels: Labels) -> Part {
    part("cert-manager", kind, "cert-manager", name, labels)
}

const fn crd(tool: &'static str, name: &'static str) -> Part {
    part(tool, Crd, "", name, &[])
}

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";
const PART_OF: &str = "app.kubernetes.io/part-of";
const INSTANCE: &str = "app.kubernetes.io/instance";

#[rustfmt::skip]
pub(super) const PARTS: &[Part] = &[
    argocd(Deployment, "argocd-server", &[(COMPONENT, "server"), (NAME, "argocd-server"), (PART_OF, "argocd")]),
    argocd(Deployment, "argocd-repo-server", &[(COMPONENT, "repo-server"), (NAME, "argocd-repo-server"), (PART_OF, "argocd")]),
    argocd(Deployment, "argocd-dex-server", &[(COMPONENT, "dex-server"), (NAME, "argocd-dex-server"), (PART_OF, "argocd")]),
    argocd(Deployment, "argocd-redis", &[(COMPONENT, "redis"), (NAME, "argocd-redis"), (PART_OF, "argocd")]),
    argocd(Deployment, "argocd-applicationset-controller", &[(COMPONENT, "applicationset-controller"), (NAME, "argocd-applicationset-controller"), (PART_OF, "argocd")]),
    argocd(Deployment, "argocd-notifications-controller", &[(COMPONENT, "notifications-controller"), (NAME, "argocd-notifications-controller"), (PART_OF, "argocd")]),
    argocd(StatefulSet, "argocd-application-controller", &[(COMPONENT, "application-controller"), (NAME, "argocd-application-controller"), (PART_OF, "argocd")]),
    argocd(Service, "argocd-server", &[(COMPONENT, "server"), (NAME, "argocd-server"), (PART_OF, "argocd")]),
    argocd(Service, "argocd-repo-server", &[(COMPONENT, "repo-server"), (NAME, "argocd-repo-server"), (PART_OF, "argocd")]),
    argocd(Service, "argocd-metrics", &[(COMPONENT, "metrics"), (NAME, "argocd-metrics"), (PART_OF, "argocd")]),
    argocd(Service, "argocd-redis", &[(COMPONENT, "redis"), (NAME, "argocd-redis"), (PART_OF, "argocd")]),

    flux("source-controller", &[(COMPONENT, "source-controller"), (INSTANCE, "flux-system"), (PART_OF, "flux"), ("control-plane", "controller")]),
    flux("kustomize-controller", &[(COMPONENT, "kustomize-controller"), (INSTANCE, "flux-system"), (PART_OF, "flux"), ("control-plane", "controller")]),
    flux("helm-controller", &[(COMPONENT, "helm-controller"), (INSTANCE, "flux-system"), (PART_OF, "flux"), ("control-plane", "controller")]),
    flux("notification-controller", &[(COMPONENT, "notification-controller"), (INSTANCE, "flux-system"), (PART_OF, "flux"), ("control-plane", "controller")]),

    monitoring(Deployment, "prometheus-operator", &[(NAME, "prometheus-operator"), (COMPONENT, "controller"), (PART_OF, "kube-prometheus")]),
    monitoring(Deployment, "grafana", &[(NAME, "grafana"), (COMPONENT, "grafana"), (PART_OF, "kube-prometheus")]),
    monitoring(Deployment, "kube-state-metrics", &[(NAME, "kube-state-metrics"), (COMPONENT, "exporter"), (PART_OF, "kube-prometheus")]),
    monitoring(StatefulSet, "prometheus-k8s", &[(NAME, "prometheus"), (COMPONENT, "prometheus"), (INSTANCE, "k8s"), ("operator.prometheus.io/mode", "server"), (PART_OF, "kube-prometheus")]),
    monitoring(StatefulSet, "alertmanager-main", &[(NAME, "alertmanager"), (COMPONENT, "alert-router"), (INSTANCE, "main"), (PART_OF, "kube-prometheus")]),
    monitoring(DaemonSet, "node-exporter", &[(NAME, "node-exporter"), (COMPONENT, "exporter"), (PART_OF, "kube-prometheus")]),

    istio(Deployment, "istiod", &[("app", "istiod"), ("istio", "pilot"), ("istio.io/rev", "default"), (NAME, "istiod")]),
    istio(Deployment, "istio-ingressgateway", &[("app", "istio-ingressgateway"), ("istio", "ingressgateway"), (NAME, "istio-ingressgateway")]),
    istio(DaemonSet, "istio-cni-node", &[("k8s-app", "istio-cni-node"), (NAME, "istio-cni"), (PART_OF, "istio")]),
    istio(Service, "istiod", &[("app", "istiod"), ("istio", "pilot"), ("istio.io/rev", "default"), (NAME, "istiod")]),
    istio(Service, "istio-ingressgateway", &[("app", "istio-ingressgateway"), ("istio", "ingressgateway"), (NAME, "istio-ingressgateway")]),
    crd("istio", "virtualservices.networking.istio.io"),
    crd("istio", "gateways.networking.istio.io"),
    crd("istio", "destinationrules.networking.istio.io"),
    crd("istio", "authorizationpolicies.security.istio.io"),

    cert_manager(Deployment, "cert-manager", &[("app", "cert-manager"), (NAME, "cert-manager"), (INSTANCE, "cert-manager"), (COMPONENT, "controller")]),
    cert_manager(Deployment, "cert-manager-webhook", &[("app", "webhook"), (NAME, "webhook"), (INSTANCE, "cert-manager"), (COMPONENT, "webhook")]),
    cert_manager(Deployment, "cert-manager-cainjector", &[("app", "cainjector"), (NAME, "cainjector"), (INSTANCE, "cert-manager"), (COMPONENT, "cainjector")]),
    cert_manager(Service, "cert-manager", &[("app", "cert-manager"), (NAME, "cert-manager"), (INSTANCE, "cert-manager"), (COMPONENT, "controller")]),
    cert_manager(Service, "cert-manager-webhook", &[("app", "webhook"), (NAME, "webhook"), (INSTANCE, "cert-manager"), (COMPONENT, "webhook")]),
    crd("cert-manager", "certificates.cert-manager.io"),
    crd("cert-manager", "certificaterequests.cert-manager.io"),
    crd("cert-manager", "issuers.cert-manager.io"),
    crd("cert-manager", "clusterissuers.cert-manager.io"),
];
