//! Runs an installation of ksit with several replicas, each in its own process.
//!
//! The hub has the objects of a real installation: ServiceAccount, Role, the fence, a StatefulSet object without a
//! controller, and for each replica a Pod object with bound tokens. So a replica has the same rights and credentials as
//! in a Pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kubeconfig::{Credential, kubeconfig};
use crate::{ControlPlane, Process};

type InstallError = Box<dyn std::error::Error + Send + Sync>;

/// Namespace in the manifests of `deploy/`.
const DEPLOYED_NAMESPACE: &str = "ksit-system";
const MANIFESTS: [&str; 2] = [include_str!("../../../deploy/rbac.yaml"), include_str!("../../../deploy/fence.yaml")];

/// Name of the StatefulSet, the ServiceAccount and the ShardMap.
pub const NAME: &str = "ksit";

/// Settings of a single replica.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    /// URL of the hub, if not its own address.
    pub hub_url: Option<String>,
    /// Environment variables in addition to those of this process.
    pub env: Vec<(String, String)>,
    /// Flags of `ksit operator` in addition to those of every replica.
    pub flags: Vec<String>,
}

/// Replicas on one hub. Dropping it ends them.
pub struct Installation {
    ksit: PathBuf,
    namespace: String,
    /// Namespace of the clusters.
    watched: String,
    hub_url: String,
    hub_ca: String,
    client: Client,
    flags: Vec<String>,
    tunings: BTreeMap<u32, Tuning>,
    replicas: BTreeMap<u32, Process>,
    dir: TempDir,
}

impl Installation {
    /// Applies the manifests of `deploy/` to `namespace`, which must exist. `flags` go to every replica.
    ///
    /// # Errors
    /// Fails if the hub refuses a manifest.
    pub async fn new(hub: &ControlPlane, ksit: &Path, namespace: &str, flags: &[&str]) -> Result<Self, InstallError> {
        let client = hub.client().await?;
        for manifest in MANIFESTS {
            for object in serde_saphyr::from_multiple::<Value>(&manifest.replace(DEPLOYED_NAMESPACE, namespace))? {
                apply(&client, object).await?;
            }
        }
        let installation = Self {
            ksit: ksit.to_owned(),
            namespace: namespace.to_owned(),
            watched: namespace.to_owned(),
            hub_url: hub.url(),
            hub_ca: hub.ca_pem().to_owned(),
            client,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            tunings: BTreeMap::new(),
            replicas: BTreeMap::new(),
            dir: tempfile::tempdir_in(hub.dir())?,
        };
        Ok(installation)
    }

    /// Watches another namespace than its own. The caller grants the rights there.
    pub fn watching(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.watched);
        self
    }

    /// Sets `replicas` of the StatefulSet, without starting or ending processes.
    ///
    /// # Errors
    /// Fails if the hub refuses the write.
    pub async fn want(&self, replicas: u32) -> Result<(), InstallError> {
        let labels = json!({ "app": NAME });
        let set = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": NAME },
            "spec": { "replicas": replicas, "serviceName": NAME, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels },
                    "spec": { "containers": [{ "name": NAME, "image": NAME }] } } } });
        let sets: Api<StatefulSet> = Api::namespaced(self.client.clone(), &self.namespace);
        sets.patch(NAME, &params(), &Patch::Apply(set)).await?;
        Ok(())
    }

    /// Sets the tuning of `ksit-ORDINAL` from its next start on.
    pub fn tune(&mut self, ordinal: u32, tuning: Tuning) {
        self.tunings.insert(ordinal, tuning);
    }

    /// Removes the ValidatingAdmissionPolicy's binding, to simulate a broken installation.
    ///
    /// # Errors
    /// Fails if there is no binding to remove.
    pub async fn take_fence_off(&self) -> Result<(), InstallError> {
        let group = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding");
        let bindings: Api<DynamicObject> = Api::all_with(self.client.clone(), &ApiResource::from_gvk(&group));
        bindings.delete(&format!("ksit-fence-{}", self.namespace), &DeleteParams::default()).await?;
        Ok(())
    }

    /// Starts the replica `ksit-ORDINAL` as a new Pod.
    ///
    /// # Errors
    /// Fails like [`Self::prepare`] and [`Self::launch`].
    pub async fn start(&mut self, ordinal: u32) -> Result<(), InstallError> {
        self.prepare(ordinal).await?;
        self.launch(ordinal)
    }

    /// Creates a new Pod for `ksit-ORDINAL`, without a process.
    ///
    /// # Errors
    /// Fails if the hub refuses the Pod or its tokens, or the files can't be written.
    pub async fn prepare(&mut self, ordinal: u32) -> Result<(), InstallError> {
        let name = format!("{NAME}-{ordinal}");
        self.replicas.remove(&ordinal);
        let uid = self.new_pod(&name).await?;
        let hub_token = self.token(&name, &uid, None).await?;
        let report_token = self.token(&name, &uid, Some("reports.ksit.io")).await?;
        let hub_url = self.tunings.get(&ordinal).and_then(|tuning| tuning.hub_url.as_ref()).unwrap_or(&self.hub_url);
        let kubeconfig = kubeconfig("hub", hub_url, &self.hub_ca, Credential::Token(&hub_token));
        std::fs::write(self.file(&name, "kubeconfig"), kubeconfig)?;
        std::fs::write(self.file(&name, "token"), report_token)?;
        std::fs::write(self.file(&name, "uid"), uid)?;
        Ok(())
    }

    /// Starts the process of `ksit-ORDINAL` in its Pod.
    ///
    /// # Errors
    /// Fails without a Pod from [`Self::prepare`], or if the program can't be started.
    pub fn launch(&mut self, ordinal: u32) -> Result<(), InstallError> {
        let process = self.start_process(ordinal)?;
        self.replicas.insert(ordinal, process);
        Ok(())
    }

    /// Starts a second process in the Pod of `ksit-ORDINAL`, as when a container restarts while the old process hangs.
    ///
    /// # Errors
    /// Fails without a Pod from [`Self::prepare`], or if the program can't be started.
    pub fn start_twin(&self, ordinal: u32) -> Result<Process, InstallError> {
        self.start_process(ordinal)
    }

    fn start_process(&self, ordinal: u32) -> Result<Process, InstallError> {
        let name = format!("{NAME}-{ordinal}");
        let uid = std::fs::read_to_string(self.file(&name, "uid"))?;
        let mut args: Vec<String> = vec![
            "operator".to_owned(),
            format!("--kubeconfig={}", self.file(&name, "kubeconfig").display()),
            format!("--replica={name}"),
            format!("--pod-uid={uid}"),
            format!("--namespace={}", self.namespace),
            format!("--watch-namespaces={}", self.watched),
            format!("--report-token-file={}", self.file(&name, "token").display()),
            "--metrics-bind-address=127.0.0.1:0".to_owned(),
            "--allow-loopback-targets".to_owned(),
        ];
        args.extend(self.flags.iter().cloned());
        let Tuning { env, flags, .. } = self.tunings.get(&ordinal).cloned().unwrap_or_default();
        if !flags.iter().any(|flag| flag.starts_with("--report-bind-address")) {
            args.push("--report-bind-address=127.0.0.1:0".to_owned());
        }
        args.extend(flags);
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Ok(Process::start(&name, &self.ksit, &args, &env, &self.file(&name, "log"), None)?)
    }

    fn file(&self, name: &str, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.{suffix}"))
    }

    /// Kills a replica, as a power failure does.
    pub fn kill(&mut self, ordinal: u32) {
        self.replicas.remove(&ordinal);
    }

    /// Removes a replica without ending it and returns its process.
    pub fn take(&mut self, ordinal: u32) -> Option<Process> {
        self.replicas.remove(&ordinal)
    }

    /// The program that the replicas run.
    pub fn program(&self) -> &Path {
        &self.ksit
    }

    /// The running process of `ksit-ORDINAL`; `None` if it was not started, or killed or taken since.
    pub fn replica(&self, ordinal: u32) -> Option<&Process> {
        self.replicas.get(&ordinal)
    }

    /// Fails if a replica has ended unexpectedly.
    ///
    /// # Errors
    /// Returns the exit status and the end of the log of the first replica that ended.
    pub fn check(&mut self) -> Result<(), InstallError> {
        self.replicas.values_mut().try_for_each(|replica| replica.check().map_err(InstallError::from))
    }

    /// The log of `ksit-ORDINAL` over all its starts; empty before the first one.
    pub fn log(&self, ordinal: u32) -> String {
        std::fs::read_to_string(self.file(&format!("{NAME}-{ordinal}"), "log")).unwrap_or_default()
    }

    async fn new_pod(&self, name: &str) -> Result<String, InstallError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        match pods.delete(name, &DeleteParams::default().grace_period(0)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => return Err(error.into()),
        }
        let pod: Pod = serde_json::from_value(json!({ "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { "app": NAME } },
            "spec": { "serviceAccountName": NAME, "containers": [{ "name": NAME, "image": NAME }] } }))?;
        Ok(pods.create(&PostParams::default(), &pod).await?.uid().unwrap_or_default())
    }

    /// A token bound to the Pod; without `audience`, for the API server itself.
    async fn token(&self, pod: &str, uid: &str, audience: Option<&str>) -> Result<String, InstallError> {
        let bound = BoundObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            name: Some(pod.to_owned()),
            uid: Some(uid.to_owned()),
        };
        let request = TokenRequest {
            spec: Some(TokenRequestSpec {
                audiences: audience.map(|audience| vec![audience.to_owned()]),
                bound_object_ref: Some(bound),
                ..TokenRequestSpec::default()
            }),
            ..TokenRequest::default()
        };
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
        let issued = accounts.create_token_request(NAME, &PostParams::default(), &request).await?;
        Ok(issued.status.and_then(|status| status.token).unwrap_or_default())
    }
}

/// Applies the output of `ksit crds`, as a user would with kubectl, and waits until the kinds are served.
///
/// # Errors
/// Fails if the program prints no CustomResourceDefinitions, or the API server refuses one.
pub async fn install_crds(client: &Client, ksit: &Path) -> Result<(), InstallError> {
    let printed = Command::new(ksit).arg("crds").output()?;
    let crds: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(std::str::from_utf8(&printed.stdout)?)?;
    if !printed.status.success() || crds.is_empty() {
        return Err(format!("{} crds: {}", ksit.display(), String::from_utf8_lossy(&printed.stderr)).into());
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in &crds {
        api.patch(&crd.name_any(), &params(), &Patch::Apply(crd)).await?;
    }
    for crd in &crds {
        await_condition(api.clone(), &crd.name_any(), is_crd_established()).await?;
    }
    Ok(())
}

/// Server-side applies an object of a manifest.
///
/// # Errors
/// Fails if the API server refuses the object or does not have its kind.
pub async fn apply(client: &Client, object: Value) -> Result<(), InstallError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (group, version) = match text(&object["apiVersion"]).split_once('/') {
        Some((group, version)) => (group.to_owned(), version.to_owned()),
        None => (String::new(), text(&object["apiVersion"])),
    };
    let kind = text(&object["kind"]);
    let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, &version, &kind));
    if kind.ends_with("Policy") {
        resource.plural = format!("{}ies", kind.to_lowercase().trim_end_matches('y'));
    }
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(&text(&object["metadata"]["name"]), &params(), &Patch::Apply(object)).await?;
    Ok(())
}

fn params() -> PatchParams {
    PatchParams::apply("loadtest").force()
}
