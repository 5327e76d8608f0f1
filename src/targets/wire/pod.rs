//! The fields of Pods that tell why they are not ready.

use serde::Deserialize;

use super::{Condition, Items, Meta};
use crate::targets::text::Text;

#[derive(Deserialize)]
pub(in crate::targets) struct Pod<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub status: Option<PodStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::targets) struct PodStatus<'a> {
    #[serde(borrow)]
    pub reason: Option<Text<'a>>,
    #[serde(borrow)]
    pub conditions: Items<Condition<'a>>,
    #[serde(borrow)]
    pub container_statuses: Items<ContainerStatus<'a>>,
    #[serde(borrow)]
    pub init_container_statuses: Items<ContainerStatus<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::targets) struct ContainerStatus<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub state: Option<ContainerState<'a>>,
    #[serde(borrow)]
    pub last_state: Option<ContainerState<'a>>,
}

#[derive(Deserialize)]
pub(in crate::targets) struct ContainerState<'a> {
    #[serde(borrow)]
    pub waiting: Option<ContainerReason<'a>>,
    #[serde(borrow)]
    pub terminated: Option<ContainerReason<'a>>,
}

#[derive(Deserialize)]
pub(in crate::targets) struct ContainerReason<'a> {
    #[serde(borrow)]
    pub reason: Option<Text<'a>>,
}
