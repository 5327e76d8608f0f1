//! Sets ksit's field manager on every write to the hub.

use kube::api::{PatchParams, PostParams};

use crate::api::FIELD_MANAGER;

pub(super) fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

pub(super) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}
