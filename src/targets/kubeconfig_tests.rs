use serde_json::{Value, json};

use super::*;

const SECRET: &str = "s3cr3t-planted-token";

const CA: &str = "-----BEGIN CERTIFICATE-----\nMIIBdTCCARugAwIBAgIBATAKBggqhkjOPQQDAjANMQswCQYDVQQDDAJjYTAeFw03\n-----END CERTIFICATE-----\n";

fn encoded(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn good() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": {
            "server": "https://api.example.com:6443/k8s/clusters/c-1/", "certificate-authority-data": encoded(CA) } }],
        "users": [{ "name": "u", "user": { "token": SECRET } }],
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut config = good();
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    config.pointer_mut(parent).unwrap()[field] = value;
    config
}

fn cluster(field: &str, value: Value) -> Value {
    with(&format!("/clusters/0/cluster/{field}"), value)
}

fn user(field: &str, value: Value) -> Value {
    with(&format!("/users/0/user/{field}"), value)
}

fn vetted(config: &Value) -> Result<Connection, Failure> {
    vet(config.to_string().as_bytes(), &Policy::default())
}

fn complaint(config: &Value) -> (Reason, String) {
    let failure = vetted(config).unwrap_err();
    assert!(!failure.message.contains(SECRET), "{}", failure.message);
    (failure.reason, failure.message)
}

#[test]
fn a_good_one_is_rebuilt() {
    let connection = vetted(&good()).unwrap();
    assert_eq!(connection.server(), "api.example.com:6443");
    assert_eq!(connection.path, "/k8s/clusters/c-1");
    assert!(matches!(connection.credential, Credential::Token(_)));
    assert!(!format!("{connection:?}").contains(SECRET));
}

#[test]
fn a_single_context_needs_no_current_context_and_unknown_fields_go_nowhere() {
    let mut config = with("/current-context", json!(""));
    config["preferences"] = json!({});
    config["users"][0]["user"]["something-new"] = json!("x");
    assert!(vetted(&config).is_ok());
}

/// The whole table: what is refused, and what a user sees.
#[test]
fn what_is_refused_is_named() {
    use Reason::{AddressRefused, KubeconfigInvalid, KubeconfigRefused};
    let exec = json!({ "command": "aws", "args": [SECRET] });
    let file = json!("/var/run/secrets/kubernetes.io/serviceaccount/token");
    let gone = Value::Null;
    let rows = [
        (
            user("exec", exec),
            KubeconfigRefused,
            "users[].user.exec: ksit runs no program of a kubeconfig (EKS, GKE and AKS write such): `ksit target add` makes a ServiceAccount on the cluster and stores its token",
        ),
        (
            user("auth-provider", json!({ "name": "gcp", "config": { "cmd-path": "/bin/sh" } })),
            KubeconfigRefused,
            "users[].user.auth-provider: ksit runs no auth provider: `ksit target add` makes a ServiceAccount on the cluster and stores its token",
        ),
        (
            user("tokenFile", file.clone()),
            KubeconfigRefused,
            "users[].user.tokenFile: ksit reads no files of a kubeconfig: put the token into token",
        ),
        (
            user("client-certificate", file.clone()),
            KubeconfigRefused,
            "users[].user.client-certificate: ksit reads no files of a kubeconfig: put the content into client-certificate-data",
        ),
        (
            user("client-key", file.clone()),
            KubeconfigRefused,
            "users[].user.client-key: ksit reads no files of a kubeconfig: put the content into client-key-data",
        ),
        (
            cluster("certificate-authority", file),
            KubeconfigRefused,
            "clusters[].cluster.certificate-authority: ksit reads no files of a kubeconfig: put the content into certificate-authority-data",
        ),
        (
            cluster("insecure-skip-tls-verify", json!(true)),
            KubeconfigRefused,
            "clusters[].cluster.insecure-skip-tls-verify: give the CA in certificate-authority-data instead",
        ),
        (
            cluster("proxy-url", json!("http://proxy")),
            KubeconfigRefused,
            "clusters[].cluster.proxy-url: ksit dials clusters directly",
        ),
        (
            user("username", json!("admin")),
            KubeconfigRefused,
            "users[].user.username: clusters take no passwords any more: use a token or a client certificate",
        ),
        (
            user("password", json!(SECRET)),
            KubeconfigRefused,
            "users[].user.password: clusters take no passwords any more: use a token or a client certificate",
        ),
        (
            user("as", json!("root")),
            KubeconfigRefused,
            "users[].user.as: ksit impersonates nobody: give it a credential with the rights it needs",
        ),
        (
            user("as-uid", json!("0")),
            KubeconfigRefused,
            "users[].user.as-uid: ksit impersonates nobody: give it a credential with the rights it needs",
        ),
        (
            user("as-groups", json!(["system:masters"])),
            KubeconfigRefused,
            "users[].user.as-groups: ksit impersonates nobody: give it a credential with the rights it needs",
        ),
        (
            user("as-user-extra", json!({})),
            KubeconfigRefused,
            "users[].user.as-user-extra: ksit impersonates nobody: give it a credential with the rights it needs",
        ),
        (
            cluster("server", json!("http://api.example.com")),
            KubeconfigRefused,
            "clusters[].cluster.server is http://: a credential is sent over TLS only",
        ),
        (
            cluster("server", json!("HTTP://api.example.com")),
            KubeconfigRefused,
            "clusters[].cluster.server is http://: a credential is sent over TLS only",
        ),
        (
            cluster("server", json!("unix:///run/x")),
            KubeconfigInvalid,
            "clusters[].cluster.server is not an https:// URL",
        ),
        (
            cluster("server", json!("https://user:pw@api.example.com")),
            KubeconfigInvalid,
            "clusters[].cluster.server holds more than host, port and path",
        ),
        (
            cluster("server", json!("https://api.example.com/?a=b")),
            KubeconfigInvalid,
            "clusters[].cluster.server holds more than host, port and path",
        ),
        (
            cluster("server", json!("https://127.0.0.1:6443")),
            AddressRefused,
            "clusters[].cluster.server is a loopback address; --allow-loopback-targets allows them, for tests and demos",
        ),
        (
            cluster("server", json!("https://localhost")),
            AddressRefused,
            "clusters[].cluster.server is a loopback address; --allow-loopback-targets allows them, for tests and demos",
        ),
        (
            cluster("server", json!("https://[::ffff:127.0.0.1]")),
            AddressRefused,
            "clusters[].cluster.server is a loopback address; --allow-loopback-targets allows them, for tests and demos",
        ),
        (
            cluster("server", json!("https://169.254.169.254")),
            AddressRefused,
            "clusters[].cluster.server is a link-local or metadata address",
        ),
        (
            cluster("server", json!("https://0.0.0.0")),
            AddressRefused,
            "clusters[].cluster.server is not the address of a host",
        ),
        (
            cluster("certificate-authority-data", gone.clone()),
            KubeconfigRefused,
            "clusters[].cluster.certificate-authority-data is missing: ksit trusts no cluster without its CA",
        ),
        (
            cluster("certificate-authority-data", json!("%%%")),
            KubeconfigInvalid,
            "clusters[].cluster.certificate-authority-data is not base64 of PEM certificates",
        ),
        (
            cluster("certificate-authority-data", json!(encoded("no pem"))),
            KubeconfigInvalid,
            "clusters[].cluster.certificate-authority-data is not base64 of PEM certificates",
        ),
        (
            cluster("tls-server-name", json!("no name!")),
            KubeconfigInvalid,
            "clusters[].cluster.tls-server-name (or the host of server) is not a DNS name or address",
        ),
        (
            user("token", gone.clone()),
            KubeconfigRefused,
            "users[].user has neither token nor client-certificate-data: ksit never lends its own credential",
        ),
        (
            user("token", json!("a\nHost: b")),
            KubeconfigInvalid,
            "users[].user.token holds characters that no token has",
        ),
        (
            with("/users/0/user", json!({ "client-certificate-data": "eA==" })),
            KubeconfigInvalid,
            "users[].user.client-key-data is missing",
        ),
        (
            with("/users/0/user", json!({ "client-certificate-data": "eA==", "client-key-data": "!" })),
            KubeconfigInvalid,
            "users[].user.client-key-data is not base64",
        ),
        (
            with("/users/0/user", json!({ "client-certificate-data": "eA==", "client-key-data": "eA==" })),
            KubeconfigInvalid,
            "users[].user.client-certificate-data is not PEM",
        ),
        (with("/current-context", json!("other")), KubeconfigInvalid, "current-context names no entry of contexts"),
        (
            with("/contexts/0/context/user", json!("other")),
            KubeconfigInvalid,
            "contexts[].context.user names no entry of users",
        ),
        (
            with("/contexts/0/context/cluster", json!("other")),
            KubeconfigInvalid,
            "contexts[].context.cluster names no entry of clusters",
        ),
        (with("/contexts", json!([])), KubeconfigInvalid, "current-context names no entry of contexts"),
        (
            with("/users", json!(SECRET)),
            KubeconfigInvalid,
            "the kubeconfig is not one YAML document with contexts, clusters and users",
        ),
    ];
    for (config, reason, message) in rows {
        assert_eq!(complaint(&config), (reason, message.to_owned()));
    }
}

#[test]
fn what_is_no_single_small_yaml_document_is_refused() {
    let policy = Policy::default();
    let yaml = "the kubeconfig is not one YAML document with contexts, clusters and users";
    let two = format!("{}\n---\n{}", good(), good());
    let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n\
        d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\ncontexts: [*e,*e,*e,*e,*e,*e,*e,*e]";
    for text in [two.as_str(), bomb, "\t- :", "just text", &format!("token: {SECRET}: [")] {
        assert_eq!(vet(text.as_bytes(), &policy).unwrap_err().message, yaml, "{text}");
    }
    assert_eq!(vet(&[0xff, 0xfe], &policy).unwrap_err().message, "the kubeconfig is not text");
    let large = format!("{}#{}", good(), "x".repeat(LARGEST));
    assert_eq!(vet(large.as_bytes(), &policy).unwrap_err().message, "the kubeconfig is larger than 128 KiB");
}

#[test]
fn loopback_is_allowed_by_choice() {
    let policy = Policy { allow_loopback: true, ..Policy::default() };
    let config = cluster("server", json!("https://127.0.0.1:6443"));
    assert!(vet(config.to_string().as_bytes(), &policy).is_ok());
}
