//! Prometheus as kube-prometheus and the chart kube-prometheus-stack install it, with the operator.
//!
//! The operator makes the StatefulSets of Prometheus and Alertmanager; they carry the labels of their resources, and
//! since 0.64 `managed-by` and `operator.prometheus.io/*`
//! (<https://github.com/prometheus-operator/prometheus-operator>, `pkg/prometheus` and `pkg/alertmanager`).

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{DaemonSet, Deployment, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";

pub(super) const TOOL: Tool = Tool {
    name: "prometheus",
    title: "Prometheus",
    namespace: "monitoring",
    parts: &[
        Part::required(Deployment, "prometheus-operator").labelled(&[
            &[(NAME, "prometheus-operator"), ("app.kubernetes.io/component", "controller")],
            &[("app.kubernetes.io/component", "prometheus-operator")],
            &[("app", "kube-prometheus-stack-operator")],
        ]),
        Part::required(StatefulSet, "prometheus")
            .labelled(&[
                &[("operator.prometheus.io/mode", "server")],
                &[(NAME, "prometheus"), ("app.kubernetes.io/component", "prometheus")],
                &[("app", "kube-prometheus-stack-prometheus")],
            ])
            .also_named(&["prometheus-k8s"]),
        Part::required(StatefulSet, "alertmanager")
            .labelled(&[
                &[(NAME, "alertmanager"), ("app.kubernetes.io/component", "alert-router")],
                &[(NAME, "alertmanager"), ("managed-by", "prometheus-operator")],
                &[("app", "kube-prometheus-stack-alertmanager")],
            ])
            .also_named(&["alertmanager-main"]),
        Part::optional(Deployment, "grafana").labelled(&[&[(NAME, "grafana")]]),
        Part::optional(Deployment, "kube-state-metrics").labelled(&[&[(NAME, "kube-state-metrics")]]),
        Part::optional(DaemonSet, "node-exporter")
            .labelled(&[&[(NAME, "node-exporter")], &[(NAME, "prometheus-node-exporter")]]),
    ],
};
