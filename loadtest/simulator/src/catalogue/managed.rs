//! Objects that tools manage, of the sizes that they have on real clusters: 4 to 8 KB with managed fields.

use serde_json::{Value, json};

use super::Kind;
use super::parts::Part;

/// Objects in one namespace.
const IN_NAMESPACE: u16 = 20;

/// Resources that an Application lists, and entries of its history.
const RESOURCES: usize = 12;
const HISTORY: usize = 4;

/// `count` objects of a kind. Their names live as long as the program: a simulator is made once.
pub(super) fn parts(kind: Kind, count: u16) -> Vec<Part> {
    let part = |number: u16| Part {
        tool: if kind == Kind::Application { "argocd" } else { "flux" },
        kind,
        namespace: format!("team-{:02}", number / IN_NAMESPACE).leak(),
        name: format!("service-{number:04}").leak(),
        labels: &[("app.kubernetes.io/part-of", "shop"), ("team", "checkout")],
    };
    (0..count).map(part).collect()
}

pub(super) fn application(part: &Part, broken: bool) -> Value {
    let health = if broken { "Degraded" } else { "Healthy" };
    let source = json!({ "repoURL": "https://git.example.org/platform/deployments.git", "targetRevision": "main",
        "path": format!("apps/{}/{}", part.namespace, part.name),
        "helm": { "releaseName": part.name, "valueFiles": ["values.yaml", "values-production.yaml"] } });
    let destination = json!({ "server": "https://kubernetes.default.svc", "namespace": part.namespace });
    let resource = |number: usize| {
        json!({ "group": "apps", "version": "v1", "kind": "Deployment", "namespace": part.namespace,
            "name": format!("{}-{number}", part.name), "status": "Synced", "health": { "status": health } })
    };
    let revision = |number: usize| {
        json!({ "id": number, "revision": "6e2f6b1c3bd4d9b9c7a3f6ae7f0a4d2f0e1c9b8a", "source": source,
            "deployedAt": "2026-01-05T08:12:44Z", "deployStartedAt": "2026-01-05T08:12:40Z",
            "initiatedBy": { "automated": true } })
    };
    let sync = json!({ "status": "Synced", "revision": "6e2f6b1c3bd4d9b9c7a3f6ae7f0a4d2f0e1c9b8a",
        "comparedTo": { "source": source, "destination": destination } });
    json!({
        "spec": { "project": "default", "source": source, "destination": destination,
            "syncPolicy": { "automated": { "prune": true, "selfHeal": true }, "retry": { "limit": 5 } } },
        "status": {
            "health": { "status": health, "lastTransitionTime": "2026-01-05T08:13:20Z" }, "sync": sync,
            "operationState": { "phase": "Succeeded", "message": "successfully synced (all tasks run)",
                "startedAt": "2026-01-05T08:12:40Z", "finishedAt": "2026-01-05T08:12:44Z" },
            "resources": (0..RESOURCES).map(resource).collect::<Vec<_>>(),
            "history": (0..HISTORY).map(revision).collect::<Vec<_>>(),
            "sourceType": "Helm",
        },
    })
}

pub(super) fn kustomization(part: &Part, broken: bool) -> Value {
    let (status, reason) = if broken { ("False", "HealthCheckFailed") } else { ("True", "ReconciliationSucceeded") };
    let revision = "main@sha1:6e2f6b1c3bd4d9b9c7a3f6ae7f0a4d2f0e1c9b8a";
    let condition = |kind: &str| {
        json!({ "type": kind, "status": status, "reason": reason, "message": format!("Applied revision: {revision}"),
            "lastTransitionTime": "2026-01-05T08:13:20Z", "observedGeneration": 1 })
    };
    let entry = |number: usize| json!({ "id": format!("{}_{}-{number}_apps_Deployment", part.namespace, part.name), "v": "v1" });
    json!({
        "spec": { "interval": "10m0s", "retryInterval": "2m0s", "timeout": "5m0s", "prune": true, "wait": true,
            "path": format!("./apps/{}/{}", part.namespace, part.name),
            "sourceRef": { "kind": "GitRepository", "name": "platform", "namespace": "flux-system" },
            "postBuild": { "substituteFrom": [{ "kind": "ConfigMap", "name": "cluster-values" }] } },
        "status": { "observedGeneration": 1, "lastAppliedRevision": revision, "lastAttemptedRevision": revision,
            "conditions": [condition("Ready"), condition("Healthy")],
            "inventory": { "entries": (0..RESOURCES * 2).map(entry).collect::<Vec<_>>() } },
    })
}
