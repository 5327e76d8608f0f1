//! The JSON of simulated objects, with realistic sizes.

use serde_json::{Map, Value, json};

use super::parts::Part;
use super::{Kind, managed};

/// Placeholder of the resourceVersion, which differs between clusters.
pub(super) const VERSION_MARK: &str = "@version@";

/// The object, healthy or broken, without `kind` and `apiVersion`, which list items lack.
pub(super) fn object(part: &Part, broken: bool) -> Value {
    let body = match part.kind {
        Kind::Deployment | Kind::StatefulSet => replicated(part, broken),
        Kind::DaemonSet => daemon_set(part, broken),
        Kind::Service => service(part),
        Kind::EndpointSlice => endpoint_slice(part, broken),
        Kind::Crd => crd(part.name),
        Kind::Application => managed::application(part, broken),
        Kind::Kustomization => managed::kustomization(part, broken),
        Kind::Namespace => json!({ "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } }),
    };
    let mut object = body;
    let labels: Map<String, Value> = part.labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    object["metadata"] = metadata(part, labels, &object);
    object
}

fn metadata(part: &Part, labels: Map<String, Value>, body: &Value) -> Value {
    // In managedFields the versions of a CRD are a single field.
    let spec = if part.kind == Kind::Crd {
        json!({ "f:group": {}, "f:names": {}, "f:scope": {}, "f:versions": {} })
    } else {
        fields(&body["spec"])
    };
    let mut metadata = json!({
        "name": part.name,
        "uid": uid(part),
        "resourceVersion": VERSION_MARK,
        "creationTimestamp": "2026-01-05T08:12:44Z",
        "managedFields": [
            { "manager": "helm", "operation": "Update", "apiVersion": part.kind.api_version(), "fieldsType": "FieldsV1",
                "time": "2026-01-05T08:12:44Z",
                "fieldsV1": { "f:metadata": { "f:labels": fields(&Value::Object(labels.clone())) },
                    "f:spec": spec } },
            { "manager": "kube-controller-manager", "operation": "Update", "subresource": "status",
                "apiVersion": part.kind.api_version(), "fieldsType": "FieldsV1", "time": "2026-01-05T08:13:20Z",
                "fieldsV1": { "f:status": fields(&body["status"]) } },
        ],
    });
    if !part.namespace.is_empty() {
        metadata["namespace"] = json!(part.namespace);
    }
    if matches!(part.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::EndpointSlice)
        || part.kind.is_managed()
    {
        metadata["generation"] = json!(1);
    }
    if part.kind == Kind::Deployment {
        metadata["annotations"] = json!({ "deployment.kubernetes.io/revision": "1",
            "meta.helm.sh/release-name": part.tool, "meta.helm.sh/release-namespace": part.namespace });
    }
    metadata["labels"] = match part.kind {
        Kind::Namespace => json!({ "kubernetes.io/metadata.name": part.name }),
        _ => Value::Object(labels),
    };
    metadata
}

/// The fields of a value in `managedFields` form.
fn fields(value: &Value) -> Value {
    match value {
        Value::Object(map) => map.iter().map(|(key, value)| (format!("f:{key}"), fields(value))).collect(),
        Value::Array(list) => list
            .iter()
            .map(|item| (format!("k:{}", json!({ "name": item["name"] })), fields(item)))
            .collect::<Map<_, _>>()
            .into(),
        _ => json!({}),
    }
}

/// A UID that is the same in every run, so bodies are reproducible.
fn uid(part: &Part) -> String {
    let text = format!("{}/{}/{}", part.kind.as_str(), part.namespace, part.name);
    let hash = |seed: u64| {
        text.bytes().fold(seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(5))
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x9e37_79b9_7f4a_7c15));
    let node = low & 0xffff_ffff_ffff;
    format!(
        "{:08x}-{:04x}-4{:03x}-a{:03x}-{node:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low >> 48 & 0xfff
    )
}

fn replicated(part: &Part, broken: bool) -> Value {
    let ready = u32::from(!broken);
    let mut spec = json!({ "replicas": 1, "revisionHistoryLimit": 10,
        "selector": { "matchLabels": { "app.kubernetes.io/name": part.name } }, "template": template(part) });
    let mut status = json!({ "observedGeneration": 1, "replicas": 1, "updatedReplicas": 1 });
    if part.kind == Kind::StatefulSet {
        spec["serviceName"] = json!(part.name);
        spec["podManagementPolicy"] = json!("Parallel");
        spec["updateStrategy"] = json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } });
        status["currentRevision"] = json!(format!("{}-6c7bb5cdb", part.name));
        status["updateRevision"] = json!(format!("{}-6c7bb5cdb", part.name));
        status["collisionCount"] = json!(0);
        // Serialized without `omitempty` for StatefulSets.
        status["availableReplicas"] = json!(ready);
    } else {
        spec["progressDeadlineSeconds"] = json!(600);
        spec["strategy"] =
            json!({ "type": "RollingUpdate", "rollingUpdate": { "maxSurge": "25%", "maxUnavailable": "25%" } });
        status["conditions"] = json!([available(broken), {
            "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable",
            "message": format!("ReplicaSet \"{}-6c7bb5cdb\" has successfully progressed.", part.name),
            "lastTransitionTime": "2026-01-05T08:12:44Z", "lastUpdateTime": "2026-01-05T08:13:20Z" }]);
    }
    if broken {
        status["unavailableReplicas"] = json!(1);
    } else {
        status["readyReplicas"] = json!(1);
        status["availableReplicas"] = json!(1);
    }
    json!({ "spec": spec, "status": status })
}

fn available(broken: bool) -> Value {
    let (status, reason, message) = match broken {
        true => ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability."),
        false => ("True", "MinimumReplicasAvailable", "Deployment has minimum availability."),
    };
    json!({ "type": "Available", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-05T08:13:20Z", "lastUpdateTime": "2026-01-05T08:13:20Z" })
}

/// A DaemonSet on three nodes.
fn daemon_set(part: &Part, broken: bool) -> Value {
    let (ready, unavailable) = if broken { (0, 3) } else { (3, 0) };
    json!({
        "spec": { "revisionHistoryLimit": 10, "selector": { "matchLabels": { "app.kubernetes.io/name": part.name } },
            "template": template(part),
            "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } } },
        "status": { "observedGeneration": 1, "currentNumberScheduled": 3, "desiredNumberScheduled": 3,
            "updatedNumberScheduled": 3, "numberMisscheduled": 0, "numberReady": ready, "numberAvailable": ready,
            "numberUnavailable": unavailable },
    })
}

fn template(part: &Part) -> Value {
    let probe = |path: &str| {
        json!({ "httpGet": { "path": path, "port": "http", "scheme": "HTTP" }, "initialDelaySeconds": 5,
            "periodSeconds": 10, "timeoutSeconds": 5, "successThreshold": 1, "failureThreshold": 3 })
    };
    let from_field = |path: &str| json!({ "fieldRef": { "apiVersion": "v1", "fieldPath": path } });
    json!({
        "metadata": { "labels": { "app.kubernetes.io/name": part.name, "app.kubernetes.io/instance": part.tool },
            "annotations": { "prometheus.io/scrape": "true", "prometheus.io/port": "8080" } },
        "spec": {
            "serviceAccountName": part.name, "serviceAccount": part.name, "restartPolicy": "Always",
            "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30,
            "nodeSelector": { "kubernetes.io/os": "linux" },
            "securityContext": { "runAsNonRoot": true, "fsGroup": 1337, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": part.name, "image": format!("registry.example.org/{}/{}:v1.0.0", part.tool, part.name),
                "imagePullPolicy": "IfNotPresent",
                "args": ["--log-level=info", "--log-encoding=json", "--metrics-addr=:8080", "--enable-leader-election"],
                "env": [
                    { "name": "POD_NAME", "valueFrom": from_field("metadata.name") },
                    { "name": "POD_NAMESPACE", "valueFrom": from_field("metadata.namespace") },
                    { "name": "GOMEMLIMIT", "valueFrom": { "resourceFieldRef": {
                        "containerName": part.name, "resource": "limits.memory", "divisor": "0" } } },
                ],
                "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" },
                    { "name": "healthz", "containerPort": 9440, "protocol": "TCP" }],
                "livenessProbe": probe("/healthz"), "readinessProbe": probe("/readyz"),
                "resources": { "requests": { "cpu": "100m", "memory": "64Mi" }, "limits": { "memory": "1Gi" } },
                "securityContext": { "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                    "capabilities": { "drop": ["ALL"] } },
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "FallbackToLogsOnError",
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }, { "name": "temp", "mountPath": "/tmp" }],
            }],
            "volumes": [{ "name": "data", "emptyDir": {} }, { "name": "temp", "emptyDir": {} }],
        },
    })
}

fn service(part: &Part) -> Value {
    json!({
        "spec": { "type": "ClusterIP", "clusterIP": "10.96.41.7", "clusterIPs": ["10.96.41.7"],
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
            "sessionAffinity": "None", "selector": { "app.kubernetes.io/name": part.name },
            "ports": [{ "name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080 },
                { "name": "https", "port": 443, "protocol": "TCP", "targetPort": 8443 }] },
        "status": { "loadBalancer": {} },
    })
}

/// The EndpointSlice of a Service; its part has the Service's name.
fn endpoint_slice(part: &Part, broken: bool) -> Value {
    json!({
        "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.244.1.17"], "nodeName": "node-1", "zone": "a",
            "conditions": { "ready": !broken, "serving": !broken, "terminating": false },
            "targetRef": { "kind": "Pod", "name": format!("{}-6c7bb5cdb-x2v4q", part.name), "namespace": part.namespace,
                "uid": "3f0f8c1e-5a53-4a4e-9d0a-6f0b1d1f7c11" } }],
        "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" },
            { "name": "https", "port": 8443, "protocol": "TCP" }],
    })
}

/// A CRD with a schema, as real ones have 10 to 500 KiB.
fn crd(name: &str) -> Value {
    let (plural, group) = name.split_once('.').unwrap_or((name, ""));
    let field = |number: u32| {
        let schema = json!({ "type": "object", "description": "What the object shall be, as its controller sees it.",
            "properties": { "name": { "type": "string", "maxLength": 253 }, "weight": { "type": "integer" },
                "match": { "type": "array", "items": { "type": "object", "additionalProperties": { "type": "string" } } } } });
        (format!("field{number}"), schema)
    };
    let properties: Map<String, Value> = (0..60).map(field).collect();
    json!({
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": plural, "kind": plural },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "properties": { "spec": { "type": "object", "properties": properties } } } } }] },
        "status": { "storedVersions": ["v1"], "acceptedNames": { "plural": plural, "kind": plural },
            "conditions": [{ "type": "Established", "status": "True", "reason": "InitialNamesAccepted",
                "lastTransitionTime": "2026-01-05T08:12:44Z", "message": "the initial names have been accepted" }] },
    })
}
