//! Prometheus with its operator, as kube-prometheus and the chart `kube-prometheus-stack` install it.
//!
//! The operator creates the StatefulSets with the labels of the `Prometheus` or `Alertmanager` resource and, depending
//! on its version, its own.

use super::{Part, Tool};
use crate::domain::component::ComponentKind::{DaemonSet, Deployment, StatefulSet};

const NAME: &str = "app.kubernetes.io/name";
const COMPONENT: &str = "app.kubernetes.io/component";

pub const TOOL: Tool = Tool {
    name: "prometheus",
    title: "Prometheus",
    namespace: "monitoring",
    parts: &[
        Part::required(Deployment, "prometheus-operator").labelled(&[
            &[(NAME, "prometheus-operator"), (COMPONENT, "controller")],
            &[(COMPONENT, "prometheus-operator")],
            &[("app", "kube-prometheus-stack-operator")],
        ]),
        // Every Prometheus server of the namespace; agents have another mode.
        Part::required(StatefulSet, "prometheus")
            .labelled(&[
                &[("operator.prometheus.io/mode", "server")],
                &[(NAME, "prometheus"), (COMPONENT, "prometheus")],
                &[("app", "kube-prometheus-stack-prometheus")],
            ])
            .also_named(&["prometheus-k8s"]),
        Part::required(StatefulSet, "alertmanager")
            .labelled(&[&[(NAME, "alertmanager")], &[("app", "kube-prometheus-stack-alertmanager")]])
            .also_named(&["alertmanager-main"]),
        Part::optional(Deployment, "grafana").labelled(&[&[(NAME, "grafana")]]),
        Part::optional(Deployment, "kube-state-metrics").labelled(&[&[(NAME, "kube-state-metrics")]]),
        Part::optional(DaemonSet, "node-exporter")
            .labelled(&[&[(NAME, "node-exporter")], &[(NAME, "prometheus-node-exporter")]]),
    ],
};
