//! Watches of the hub over all namespaces, or over the configured ones.

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use tokio::sync::watch;

use super::typed::{OnType, SeenTypes, TypedIntegration, typed};
use crate::hub::{self, Change, History, merge};

/// The namespaces of the hub to watch.
pub(super) struct Watched {
    pub(super) hub: Client,
    pub(super) history: History,
    /// Empty: all.
    pub(super) namespaces: Vec<String>,
    pub(super) types: watch::Receiver<SeenTypes>,
}

impl Watched {
    /// Watches all objects of a kind that match the label `selector`, if any.
    pub(super) fn all<K>(&self, selector: Option<&str>) -> BoxStream<'static, Change<K>>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned
            + Send
            + 'static,
    {
        self.over(|namespace| hub::watch(self.hub.clone(), &self.history, namespace, selector).boxed())
    }

    /// Watches all Integrations with their types.
    pub(super) fn integrations(&self, on_type: OnType) -> BoxStream<'static, Change<TypedIntegration>> {
        typed(self.all(None), self.types.clone(), on_type)
    }

    /// One stream over all namespaces, or the merged streams of the configured ones.
    pub(super) fn over<K: kube::ResourceExt + Send + 'static>(
        &self,
        watch: impl Fn(Option<&str>) -> BoxStream<'static, Change<K>>,
    ) -> BoxStream<'static, Change<K>> {
        match self.namespaces.as_slice() {
            [] => watch(None),
            [one] => watch(Some(one)),
            several => merge(several.iter().map(|namespace| watch(Some(namespace))).collect()),
        }
    }
}
