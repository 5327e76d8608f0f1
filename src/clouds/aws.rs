//! Tokens for Amazon EKS: a signed request for the caller's identity, which the cluster sends to AWS in our name.
//! <https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html>, and its format:
//! <https://github.com/kubernetes-sigs/aws-iam-authenticator#api-authorization-from-outside-a-cluster>

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::client::form;
use super::{Clouds, MadeToken, unavailable};
use crate::domain::reason::Failure;

const STS: &str = "the Security Token Service of AWS";
const AGENT: &str = "the EKS Pod Identity agent";

/// Header with the name of the cluster, which is signed: the token works there alone.
const CLUSTER: &str = "x-k8s-aws-id";

/// The cluster accepts the signature for 15 minutes; a minute is left for the clocks.
const LIFETIME: Duration = Duration::from_secs(14 * 60);

/// Validity of the signed URL itself, as other makers of such tokens have it. Clusters don't look at it.
const URL_VALIDITY: Duration = Duration::from_secs(60);

/// Credentials of an IAM role, and how far this machine's clock is behind that of AWS.
struct Role {
    credentials: Credentials,
    behind: SignedDuration,
}

pub(super) async fn token(
    clouds: &Clouds,
    cluster: &str,
    region: &str,
    role_arn: Option<&str>,
) -> Result<MadeToken, Failure> {
    let sts = sts(clouds, region);
    let mut role = pod_role(clouds, &sts).await?;
    if let Some(role_arn) = role_arn {
        role = assumed(clouds, &sts, region, &role, role_arn).await?;
    }
    let url = format!("{sts}/?Action=GetCallerIdentity&Version=2011-06-15");
    let request = Request::get(url).header(CLUSTER, cluster).body(Full::<Bytes>::default());
    let request = request.map_err(|_| unavailable("the name of the EKS cluster can't be sent in a header"))?;
    let signed = signed(request, &[], region, &role, SignatureLocation::QueryParams)?;
    let token = format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(signed.uri().to_string()));
    Ok(MadeToken { token: token.into(), lifetime: LIFETIME })
}

/// URL of the service in the region, as the AWS SDKs choose it.
fn sts(clouds: &Clouds, region: &str) -> String {
    let own = clouds.variable("AWS_ENDPOINT_URL_STS").map(|url| url.trim_end_matches('/').to_owned());
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    own.unwrap_or_else(|| format!("https://sts.{region}.{domain}"))
}

/// The role of the Pod: by EKS Pod Identity, or by IAM roles for service accounts.
async fn pod_role(clouds: &Clouds, sts: &str) -> Result<Role, Failure> {
    if let Some(url) = clouds.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
        let token = clouds.file("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").await?;
        return from_agent(clouds, &url, token.expose_secret()).await;
    }
    let Some(role_arn) = clouds.variable("AWS_ROLE_ARN") else {
        return Err(unavailable(
            "the Pod has no IAM role: neither AWS_CONTAINER_CREDENTIALS_FULL_URI nor AWS_ROLE_ARN is set; create a Pod \
             Identity association, or annotate ksit's ServiceAccount with eks.amazonaws.com/role-arn",
        ));
    };
    let token = clouds.file("AWS_WEB_IDENTITY_TOKEN_FILE").await?;
    let request = form(
        &format!("{sts}/"),
        &[
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &role_arn),
            ("RoleSessionName", "ksit"),
            ("WebIdentityToken", token.expose_secret()),
        ],
    )?;
    let answer = clouds.http.send(request, STS, "check that the role trusts ksit's ServiceAccount").await?;
    role(&answer.body, answer.date)
}

async fn from_agent(clouds: &Clouds, url: &str, token: &str) -> Result<Role, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        access_key_id: String,
        secret_access_key: String,
        token: String,
    }
    let request = Request::get(url).header(header::AUTHORIZATION, token).body(Full::<Bytes>::default());
    let request = request.map_err(|_| unavailable("AWS_CONTAINER_CREDENTIALS_FULL_URI is not a URL"))?;
    let answer =
        clouds.http.send(request, AGENT, "check the Pod Identity association of ksit's ServiceAccount").await?;
    let read: Result<Answer, _> = serde_json::from_slice(&answer.body);
    let read = read.map_err(|_| unavailable(format!("{AGENT} gave no credentials")))?;
    let credentials = Credentials::new(read.access_key_id, read.secret_access_key, Some(read.token), None, "ksit");
    Ok(Role { credentials, behind: SignedDuration::ZERO })
}

/// The role that `role` may assume, such as one of another account.
async fn assumed(clouds: &Clouds, sts: &str, region: &str, role: &Role, role_arn: &str) -> Result<Role, Failure> {
    let pairs =
        [("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", role_arn), ("RoleSessionName", "ksit")];
    let request = form(&format!("{sts}/"), &pairs)?;
    let body = http_body_util::BodyExt::collect(request.body().clone()).await.map(|body| body.to_bytes());
    let body = body.unwrap_or_default();
    let request = signed(request, &body, region, role, SignatureLocation::Headers)?;
    let answer = clouds.http.send(request, STS, "check that the Pod's role may assume spec.access.eks.roleARN").await?;
    self::role(&answer.body, answer.date)
}

/// Reads the credentials of an answer in XML.
fn role(answer: &[u8], date: Option<Timestamp>) -> Result<Role, Failure> {
    let text = String::from_utf8_lossy(answer);
    let value = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(value, _)| value.trim().to_owned())
    };
    let found = value("AccessKeyId").zip(value("SecretAccessKey")).zip(value("SessionToken"));
    let ((key, secret), token) = found.ok_or_else(|| unavailable(format!("{STS} gave no credentials")))?;
    let behind = date.map(|date| date.duration_since(Timestamp::now())).unwrap_or_default();
    Ok(Role { credentials: Credentials::new(key, secret, Some(token), None, "ksit"), behind })
}

/// Signs a request to the service (Signature Version 4), by the clock of AWS.
fn signed(
    mut request: Request<Full<Bytes>>,
    body: &[u8],
    region: &str,
    role: &Role,
    location: SignatureLocation,
) -> Result<Request<Full<Bytes>>, Failure> {
    let failed = || unavailable("the request to AWS can't be signed");
    let now = Timestamp::now().checked_add(role.behind).map_err(|_| failed())?;
    let mut settings = SigningSettings::default();
    settings.expires_in = (location == SignatureLocation::QueryParams).then_some(URL_VALIDITY);
    settings.signature_location = location;
    let identity = role.credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sts")
        .time(SystemTime::from(now))
        .settings(settings)
        .build()
        .map_err(|_| failed())?
        .into();
    let headers = request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let uri = request.uri().to_string();
    let signable = SignableRequest::new(request.method().as_str(), &uri, headers, SignableBody::Bytes(body));
    let (instructions, _) = sign(signable.map_err(|_| failed())?, &parameters).map_err(|_| failed())?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}
