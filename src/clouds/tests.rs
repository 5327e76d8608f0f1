//! Token makers against fakes of the clouds' services, which no test can have. Each is built from the documentation that
//! the module of its cloud names, and checks what the real service checks.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::{digest, hmac};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::task::JoinSet;

use super::*;

/// A request as a fake has received it.
#[derive(Clone, Debug)]
struct Received {
    path: String,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Received {
    /// The fields of a form.
    fn form(&self) -> BTreeMap<String, String> {
        pairs(&self.body)
    }
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}

type Reply = Response<Full<Bytes>>;

fn reply(status: u16, body: impl Into<Bytes>) -> Reply {
    Response::builder().status(status).body(Full::from(body.into())).unwrap()
}

/// A fake token service on loopback; ends when dropped.
struct FakeService {
    url: String,
    _connections: JoinSet<()>,
}

/// Serves `answer` to all requests.
async fn fake_service(answer: impl Fn(Received) -> Reply + Send + Sync + 'static) -> FakeService {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    let mut connections = JoinSet::new();
    connections.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let answer = answer.clone();
                async move { Ok::<_, Infallible>(answer(received(request).await)) }
            });
            // One request after the other: a token takes two at most.
            let mut connection = hyper::server::conn::http1::Builder::new();
            connection.keep_alive(false);
            connection.serve_connection(TokioIo::new(stream), service).await.unwrap();
        }
    });
    FakeService { url, _connections: connections }
}

async fn received(request: Request<hyper::body::Incoming>) -> Received {
    let path = request.uri().to_string();
    let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = request.headers().iter().map(|(key, value)| (key.to_string(), text(value))).collect();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    Received { path, headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// Clouds in an environment with these variables.
fn clouds<const N: usize>(variables: [(&str, &str); N]) -> Clouds {
    let variables: BTreeMap<String, String> =
        variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Clouds::new(move |name| variables.get(name).cloned())
}

/// The environment that EKS gives a Pod whose ServiceAccount has an IAM role.
fn irsa(sts: &str, token: &tempfile::NamedTempFile) -> Clouds {
    clouds([
        ("AWS_ENDPOINT_URL_STS", sts),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ksit"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.path().to_str().unwrap()),
    ])
}

fn file(content: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{content}").unwrap();
    file
}

const SECRET_KEY: &str = "planted-secret-key";

/// The answer of the Security Token Service to a request for a role.
fn role_answer(action: &str, key: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result><Credentials>\n\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>\n\
         <SessionToken>planted/session+token==</SessionToken></Credentials></{action}Result></{action}Response>"
    )
}

fn eks(role_arn: Option<&str>) -> Identity {
    let role_arn = role_arn.map(str::to_owned);
    Identity::Eks { cluster: "prod".to_owned(), region: "eu-west-1".to_owned(), role_arn }
}

fn hmac_sha256(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The signature that AWS computes for a request of the headers host and x-k8s-aws-id, from the specification:
/// <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>
fn signature(query: &str, host: &str, cluster: &str, secret_key: &str) -> String {
    let mut signed: Vec<&str> = query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    signed.sort_unstable();
    let empty = hex(digest::digest(&digest::SHA256, b"").as_ref());
    let canonical =
        format!("GET\n/\n{}\nhost:{host}\nx-k8s-aws-id:{cluster}\n\nhost;x-k8s-aws-id\n{empty}", signed.join("&"));
    let query = pairs(query);
    let (time, scope) = (&query["X-Amz-Date"], query["X-Amz-Credential"].split_once('/').unwrap().1);
    let hash = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
    let parts: Vec<&str> = scope.split('/').collect();
    let key = parts.iter().fold(format!("AWS4{secret_key}").into_bytes(), |key, part| hmac_sha256(&key, part));
    hex(&hmac_sha256(&key, &text))
}

/// Decodes a token as aws-iam-authenticator does. Returns the host, the query and its fields.
fn presigned(token: &str) -> (String, String, BTreeMap<String, String>) {
    let encoded = token.strip_prefix("k8s-aws-v1.").expect("the prefix of the format");
    let url = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap();
    let url: http::Uri = url.parse().unwrap();
    let query = url.query().unwrap().to_owned();
    assert_eq!(url.path(), "/");
    (url.authority().unwrap().to_string(), query.clone(), pairs(&query))
}

#[tokio::test]
async fn eks_token_is_signed_for_its_cluster() {
    let fake_sts = fake_service(|received| {
        assert_eq!(received.form()["Action"], "AssumeRoleWithWebIdentity");
        assert_eq!(received.form()["WebIdentityToken"], "web-token");
        reply(200, role_answer("AssumeRoleWithWebIdentity", "ASIA1"))
    })
    .await;
    let token = file("web-token");
    let clouds = irsa(&fake_sts.url, &token);
    let made = clouds.token(&eks(None)).await.unwrap();
    let (host, query, fields) = presigned(made.token.expose_secret());
    assert_eq!(fields["Action"], "GetCallerIdentity");
    assert_eq!((fields["X-Amz-Expires"].as_str(), fields["X-Amz-SignedHeaders"].as_str()), ("60", "host;x-k8s-aws-id"));
    assert!(fields["X-Amz-Credential"].starts_with("ASIA1/") && fields["X-Amz-Credential"].contains("/eu-west-1/sts/"));
    assert_eq!(fields["X-Amz-Security-Token"], "planted/session+token==");
    assert_eq!(fields["X-Amz-Signature"], signature(&query, &host, "prod", SECRET_KEY));
    assert_ne!(fields["X-Amz-Signature"], signature(&query, &host, "other", SECRET_KEY), "of this cluster alone");
    assert!(made.lifetime < Duration::from_secs(15 * 60));
}

#[tokio::test]
async fn eks_token_of_another_account_assumes_its_role() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let fake_sts = fake_service(move |received| {
        let action = received.form()["Action"].clone();
        log.lock().unwrap().push(received);
        reply(200, role_answer(&action, if action == "AssumeRole" { "ASIA2" } else { "ASIA1" }))
    })
    .await;
    let token = file("web-token");
    let clouds = irsa(&fake_sts.url, &token);
    let other = "arn:aws:iam::999999999999:role/reader";
    let made = clouds.token(&eks(Some(other))).await.unwrap();
    let (_, _, fields) = presigned(made.token.expose_secret());
    assert!(fields["X-Amz-Credential"].starts_with("ASIA2/"));
    let seen = seen.lock().unwrap();
    assert_eq!(seen[1].form()["RoleArn"], other);
    assert!(seen[1].headers["authorization"].contains("Credential=ASIA1/"), "signed with the Pod's own role");
}

#[tokio::test]
async fn eks_token_is_made_with_the_pod_identity_agent() {
    let fake_agent = fake_service(|received| {
        assert_eq!(received.headers["authorization"], "agent-token");
        let answer = json!({"AccessKeyId": "ASIA3", "SecretAccessKey": SECRET_KEY, "Token": "t",
            "Expiration": "2030-01-01T00:00:00Z"});
        reply(200, answer.to_string())
    })
    .await;
    let token = file("agent-token");
    let clouds = clouds([
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", fake_agent.url)),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.path().to_str().unwrap()),
    ]);
    let made = clouds.token(&eks(None)).await.unwrap();
    let (host, query, fields) = presigned(made.token.expose_secret());
    assert_eq!(host, "sts.eu-west-1.amazonaws.com");
    assert_eq!(fields["X-Amz-Signature"], signature(&query, &host, "prod", SECRET_KEY));
}

#[tokio::test]
async fn eks_token_is_signed_by_the_clock_of_aws() {
    let fake_sts = fake_service(|_| {
        let mut answer = reply(200, role_answer("AssumeRoleWithWebIdentity", "ASIA1"));
        let tomorrow = jiff::Timestamp::now().checked_add(jiff::SignedDuration::from_hours(24)).unwrap();
        let date = jiff::fmt::rfc2822::to_string(&tomorrow.to_zoned(jiff::tz::TimeZone::UTC)).unwrap();
        answer.headers_mut().insert(http::header::DATE, date.parse().unwrap());
        answer
    })
    .await;
    let token = file("web-token");
    let clouds = irsa(&fake_sts.url, &token);
    let made = clouds.token(&eks(None)).await.unwrap();
    let (_, _, fields) = presigned(made.token.expose_secret());
    let signed: jiff::Timestamp = jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", &fields["X-Amz-Date"])
        .and_then(|parsed| parsed.to_datetime())
        .and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap()
        .timestamp();
    let ahead = signed.duration_since(jiff::Timestamp::now());
    assert!((23..=24).contains(&ahead.as_hours()), "{ahead:?}");
}

#[tokio::test]
async fn gke_token_comes_from_the_metadata_server() {
    let fake_metadata = fake_service(|received| {
        assert_eq!(received.headers["metadata-flavor"], "Google");
        assert_eq!(received.path, "/computeMetadata/v1/instance/service-accounts/default/token");
        reply(200, json!({"access_token": "ya29.planted", "expires_in": 3599, "token_type": "Bearer"}).to_string())
    })
    .await;
    let clouds = clouds([("GCE_METADATA_HOST", fake_metadata.url.strip_prefix("http://").unwrap())]);
    let made = clouds.token(&Identity::Gke).await.unwrap();
    assert_eq!((made.token.expose_secret(), made.lifetime), ("ya29.planted", Duration::from_secs(3599)));
}

#[tokio::test]
async fn aks_token_is_exchanged_for_the_federated_one() {
    let fake_entra = fake_service(|received| {
        assert_eq!(received.path, "/tenant-1/oauth2/v2.0/token");
        let form = received.form();
        let wanted = [
            ("grant_type", "client_credentials"),
            ("client_id", "client-1"),
            ("scope", "6dae42f8-4368-4678-94ff-3960e28e3630/.default"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", "federated"),
        ];
        wanted.iter().for_each(|(key, value)| assert_eq!(form[*key], *value));
        reply(200, json!({"token_type": "Bearer", "expires_in": 86399, "access_token": "planted-entra"}).to_string())
    })
    .await;
    let token = file("federated");
    let clouds = clouds([
        ("AZURE_AUTHORITY_HOST", &format!("{}/", fake_entra.url)),
        ("AZURE_TENANT_ID", "tenant-1"),
        ("AZURE_CLIENT_ID", "client-0"),
        ("AZURE_FEDERATED_TOKEN_FILE", token.path().to_str().unwrap()),
    ]);
    let made = clouds.token(&Identity::Aks { tenant: None, client: Some("client-1".to_owned()) }).await.unwrap();
    assert_eq!((made.token.expose_secret(), made.lifetime.as_secs()), ("planted-entra", 86399));
}

/// The message for a failure of the fake, which must not show what was sent or received.
async fn failure(identity: &Identity, status: u16, body: &'static str) -> String {
    let fake = fake_service(move |_| reply(status, body)).await;
    let token = file("planted-token");
    let path = token.path().to_str().unwrap();
    let clouds = clouds([
        ("AWS_ENDPOINT_URL_STS", &fake.url),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/ksit"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", path),
        ("GCE_METADATA_HOST", fake.url.strip_prefix("http://").unwrap()),
        ("AZURE_AUTHORITY_HOST", &fake.url),
        ("AZURE_TENANT_ID", "t"),
        ("AZURE_CLIENT_ID", "c"),
        ("AZURE_FEDERATED_TOKEN_FILE", path),
    ]);
    let failure = clouds.token(identity).await.unwrap_err();
    assert_eq!(failure.reason, Reason::TokenUnavailable);
    assert!(!failure.message.contains("planted"), "{failure}");
    failure.message
}

#[tokio::test]
async fn refusals_and_faults_of_token_services_are_named() {
    let aks = Identity::Aks { tenant: None, client: None };
    for (identity, service) in
        [(&eks(None), "Security Token Service"), (&Identity::Gke, "metadata server"), (&aks, "Microsoft Entra")]
    {
        for (status, body, words) in [
            (403, "planted", "answered 403; "),
            (429, "planted", "is throttling (429)"),
            (500, "planted", "answered 500"),
            (200, "planted", "gave no "),
        ] {
            let message = failure(identity, status, body).await;
            assert!(message.contains(service) && message.contains(words), "{message}");
        }
    }
}

#[tokio::test]
async fn missing_pod_identity_is_explained() {
    let none = clouds([]);
    for (identity, words) in [
        (eks(None), "AWS_ROLE_ARN is set"),
        (Identity::Aks { tenant: None, client: None }, "AZURE_TENANT_ID is not set"),
    ] {
        let message = none.token(&identity).await.unwrap_err().message;
        assert!(message.contains(words), "{message}");
    }
}
