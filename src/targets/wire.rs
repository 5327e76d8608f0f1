//! The fields of the Kubernetes API's JSON that checks read.
//!
//! Tolerates untrusted responses: null counts as absent, counts are clamped, lists and labels are bounded. Other fields
//! are skipped without being stored.

mod named;
mod pod;

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, SeqAccess, Visitor};

pub(super) use named::{DiscoveryGroup, Lease, LeaseSpec, Object, Webhook};
pub(super) use pod::{ContainerState, ContainerStatus, Pod};

use super::text::{Labels, Text};

/// Upper bound of objects decoded from one response. A page has fewer, but an old server may ignore `limit`.
pub(super) const MAX_ITEMS: usize = 50_000;

/// One page of a LIST.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Page<'a, T> {
    /// Distinguishes a Kubernetes list from other JSON.
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(default)]
    pub metadata: Option<ListMeta>,
    #[serde(default)]
    pub items: Items<T>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListMeta {
    #[serde(rename = "continue")]
    pub continue_token: Option<String>,
    pub resource_version: Option<String>,
}

/// The type fields of every Kubernetes object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TypeMeta<'a> {
    #[serde(borrow)]
    pub api_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
}

/// The response to `/version`.
#[derive(Deserialize)]
pub(super) struct Version<'a> {
    #[serde(rename = "gitVersion", borrow)]
    pub _git_version: Text<'a>,
}

/// One watch event; a bookmark's object has metadata only.
#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
pub(super) struct Line<'a, T> {
    #[serde(rename = "type", borrow)]
    pub kind: Text<'a>,
    pub object: T,
}

/// A list that may be null, truncated at [`MAX_ITEMS`].
pub(super) struct Items<T> {
    pub list: Vec<T>,
    pub overflow: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Meta<'a> {
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
    #[serde(borrow)]
    pub labels: Option<Labels<'a>>,
    pub generation: Option<i64>,
    #[serde(borrow)]
    pub resource_version: Option<Text<'a>>,
    #[serde(borrow)]
    pub creation_timestamp: Option<Text<'a>>,
    pub deletion_timestamp: Option<IgnoredAny>,
    pub annotations: Option<Annotations>,
}

#[derive(Deserialize, Default)]
pub(super) struct Annotations {
    /// On the bookmark that ends the initial events of a watch.
    #[serde(rename = "k8s.io/initial-events-end")]
    pub initial_events_end: Option<IgnoredAny>,
}

/// An object that is listed and watched.
pub(super) trait Item<'a> {
    fn metadata(&mut self) -> &mut Option<Meta<'a>>;
}

macro_rules! items {
    ($($item:ident),*) => {
        $(impl<'a> Item<'a> for $item<'a> {
            fn metadata(&mut self) -> &mut Option<Meta<'a>> {
                &mut self.metadata
            }
        })*
    };
}

items!(Workload, Service, EndpointSlice, Endpoints);

#[derive(Deserialize)]
pub(super) struct Workload<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub spec: Option<WorkloadSpec<'a>>,
    #[serde(borrow)]
    pub status: Option<WorkloadStatus<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct WorkloadSpec<'a> {
    pub replicas: Option<Count>,
    pub paused: Option<bool>,
    #[serde(borrow)]
    pub selector: Option<Selector<'a>>,
    /// As `strip_unused` leaves it.
    #[serde(borrow)]
    pub template: Option<Template<'a>>,
    #[serde(borrow)]
    pub update_strategy: Option<UpdateStrategy<'a>>,
}

/// A LabelSelector.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Selector<'a> {
    #[serde(borrow)]
    pub match_labels: Option<Labels<'a>>,
    pub match_expressions: Option<IgnoredAny>,
}

/// A Pod template with nothing but the image of its first container.
#[derive(Deserialize)]
pub(super) struct Template<'a> {
    #[serde(borrow)]
    pub image: Option<Text<'a>>,
}

/// The strategy of a StatefulSet or DaemonSet.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UpdateStrategy<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub rolling_update: Option<RollingUpdate<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RollingUpdate<'a> {
    pub partition: Option<Count>,
    #[serde(borrow)]
    pub max_unavailable: Option<NumberOrText<'a>>,
}

/// An IntOrString.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NumberOrText<'a> {
    Number(Count),
    Text(#[serde(borrow)] Text<'a>),
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct WorkloadStatus<'a> {
    pub observed_generation: Option<i64>,
    pub available_replicas: Option<Count>,
    pub ready_replicas: Option<Count>,
    pub updated_replicas: Option<Count>,
    pub desired_number_scheduled: Option<Count>,
    pub number_available: Option<Count>,
    pub updated_number_scheduled: Option<Count>,
    #[serde(borrow)]
    pub conditions: Items<Condition<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Condition<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub status: Option<Text<'a>>,
    #[serde(borrow)]
    pub reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Service<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub spec: Option<ServiceSpec<'a>>,
}

#[derive(Deserialize)]
pub(super) struct ServiceSpec<'a> {
    #[serde(rename = "type", borrow)]
    pub kind: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct EndpointSlice<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(default, borrow)]
    pub endpoints: Items<Endpoint<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint<'a> {
    #[serde(default, borrow)]
    pub addresses: Items<Text<'a>>,
    pub conditions: Option<EndpointConditions>,
    #[serde(borrow)]
    pub target_ref: Option<TargetRef<'a>>,
}

#[derive(Deserialize)]
pub(super) struct EndpointConditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
}

#[derive(Deserialize)]
pub(super) struct TargetRef<'a> {
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub name: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Endpoints<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(default, borrow)]
    pub subsets: Items<Subset<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Subset<'a> {
    #[serde(default, borrow)]
    pub addresses: Items<SubsetAddress<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SubsetAddress<'a> {
    #[serde(borrow)]
    pub ip: Option<Text<'a>>,
    #[serde(borrow)]
    pub target_ref: Option<TargetRef<'a>>,
}

/// A number of Pods, clamped to `u32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count(pub u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CountVisitor;

        impl Visitor<'_> for CountVisitor {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Count, E> {
                Ok(Count(u32::try_from(value).unwrap_or(u32::MAX)))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Count, E> {
                Ok(Count(u32::try_from(value.max(0)).unwrap_or(u32::MAX)))
            }

            /// Numbers beyond 64 bits arrive as floats; `as` saturates, and maps NaN to 0.
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Count, E> {
                Ok(Count(value as u32))
            }
        }

        deserializer.deserialize_any(CountVisitor)
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { list: Vec::new(), overflow: false }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ItemsVisitor<T> {
            type Value = Items<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Items<T>, E> {
                Ok(Items::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<T>, A::Error> {
                let mut items = Items::default();
                while items.list.len() < MAX_ITEMS {
                    match seq.next_element()? {
                        Some(item) => items.list.push(item),
                        None => return Ok(items),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    items.overflow = true;
                }
                Ok(items)
            }
        }

        deserializer.deserialize_any(ItemsVisitor(PhantomData))
    }
}
