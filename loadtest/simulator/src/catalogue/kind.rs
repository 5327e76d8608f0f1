//! The kinds of objects on simulated clusters.

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A core/v1 Namespace.
    Namespace,
    /// An apps/v1 Deployment.
    Deployment,
    /// An apps/v1 StatefulSet.
    StatefulSet,
    /// An apps/v1 DaemonSet.
    DaemonSet,
    /// A core/v1 Service.
    Service,
    /// A discovery.k8s.io/v1 EndpointSlice, which breaks in place of its Service.
    EndpointSlice,
    /// A CustomResourceDefinition.
    Crd,
    /// An Application of Argo CD, in any namespace.
    Application,
    /// A Kustomization of Flux, in any namespace.
    Kustomization,
}

impl Kind {
    /// Whether the kind creates Pods and reports how many are ready.
    pub fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    pub(in super::super) const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Service,
        Self::EndpointSlice,
        Self::Crd,
    ];

    /// Whether a tool manages objects of this kind; they are listed for all namespaces together.
    pub fn is_managed(self) -> bool {
        matches!(self, Self::Application | Self::Kustomization)
    }

    /// The `kind` in a manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Crd => "CustomResourceDefinition",
            Self::Application => "Application",
            Self::Kustomization => "Kustomization",
        }
    }

    pub(in super::super) fn api_version(self) -> &'static str {
        match self {
            Self::Namespace | Self::Service => "v1",
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::EndpointSlice => "discovery.k8s.io/v1",
            Self::Crd => "apiextensions.k8s.io/v1",
            Self::Application => "argoproj.io/v1alpha1",
            Self::Kustomization => "kustomize.toolkit.fluxcd.io/v1",
        }
    }

    pub(in super::super) fn plural(self) -> &'static str {
        match self {
            Self::Namespace => "namespaces",
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
            Self::Service => "services",
            Self::EndpointSlice => "endpointslices",
            Self::Crd => "customresourcedefinitions",
            Self::Application => "applications",
            Self::Kustomization => "kustomizations",
        }
    }

    /// Path of the LIST request of the kind.
    pub(in super::super) fn path(self, namespace: &str) -> String {
        let (version, plural) = (self.api_version(), self.plural());
        let root = if version.contains('/') { "apis" } else { "api" };
        match self {
            Self::Namespace | Self::Crd | Self::Application | Self::Kustomization => {
                format!("/{root}/{version}/{plural}")
            }
            _ => format!("/{root}/{version}/namespaces/{namespace}/{plural}"),
        }
    }
}
