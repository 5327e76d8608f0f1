//! Access tokens of the Google service account of the Pod (Workload Identity Federation for GKE).
//! <https://cloud.google.com/kubernetes-engine/docs/concepts/workload-identity#metadata_server>

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde::Deserialize;

use super::{Clouds, MadeToken, unavailable};
use crate::domain::reason::Failure;

const SERVICE: &str = "the metadata server of Google Cloud";

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    /// Seconds.
    expires_in: u64,
}

pub(super) async fn token(clouds: &Clouds) -> Result<MadeToken, Failure> {
    let host = clouds.variable("GCE_METADATA_HOST").unwrap_or_else(|| "metadata.google.internal".to_owned());
    let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let request = Request::get(url)
        .header("Metadata-Flavor", "Google")
        .body(Full::<Bytes>::default())
        .map_err(|_| unavailable("GCE_METADATA_HOST is not a host"))?;
    let remedy = "annotate ksit's ServiceAccount with iam.gke.io/gcp-service-account, or grant it roles directly";
    let answer = clouds.http.send(request, SERVICE, remedy).await?;
    let read: Result<Answer, _> = serde_json::from_slice(&answer.body);
    let Answer { access_token, expires_in } = read.map_err(|_| unavailable(format!("{SERVICE} gave no token")))?;
    Ok(MadeToken { token: access_token.into(), lifetime: Duration::from_secs(expires_in) })
}
