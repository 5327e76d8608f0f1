mod lenient;

use super::*;
use std::net::IpAddr;

const TOKEN: &str = "planted-token-7c1f";

/// A CA, and a certificate with its key, in base64 of PEM.
struct Pki {
    ca: String,
    cert: String,
    key: String,
    other_key: String,
}

fn pki() -> Pki {
    let encode = |pem: String| STANDARD.encode(pem);
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = rcgen::CertificateParams::new(vec!["c1".to_owned()]).unwrap().self_signed(&key).unwrap();
    Pki {
        ca: encode(cert.pem()),
        cert: encode(cert.pem()),
        key: encode(key.serialize_pem()),
        other_key: encode(rcgen::KeyPair::generate().unwrap().serialize_pem()),
    }
}

fn config(cluster: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{{cluster}}}}}]\nusers: [{{name: u, user: {{{user}}}}}]\n"
    )
}

fn refusal(file: &str, policy: &Policy) -> String {
    vet(file.as_bytes(), policy).expect_err(file).to_string()
}

#[test]
fn plain_kubeconfig_becomes_a_connection() {
    let Pki { ca, cert, key, .. } = pki();
    let cluster = format!("server: 'https://C1.example.com:6443/k8s/', certificate-authority-data: {ca}");
    let connection = vet(config(&cluster, &format!("token: {TOKEN}")).as_bytes(), &Policy::default()).unwrap();
    assert_eq!(connection.host_display(), "c1.example.com:6443");
    assert_eq!(connection.server().path, "/k8s");
    assert_eq!(connection.authorization().unwrap().unwrap(), format!("Bearer {TOKEN}").as_str());
    assert_eq!(format!("{connection:?}"), "Connection(c1.example.com:6443 with a token)");
    assert!(!format!("{:?}", connection.authorization()).contains(TOKEN));

    let user = format!("client-certificate-data: {cert}, client-key-data: {key}");
    let connection = vet(config(&cluster, &user).as_bytes(), &Policy::default()).unwrap();
    assert_eq!(connection.authorization(), Ok(None));
    assert_eq!(format!("{connection:?}"), "Connection(c1.example.com:6443 with a client certificate)");

    // As `az aks get-credentials --admin` writes them.
    let connection = vet(config(&cluster, &format!("token: {TOKEN}, {user}")).as_bytes(), &Policy::default()).unwrap();
    assert_eq!(connection.authorization().unwrap().unwrap(), format!("Bearer {TOKEN}").as_str());
    assert_eq!(format!("{connection:?}"), "Connection(c1.example.com:6443 with a token and a client certificate)");
}

#[test]
fn usual_mistakes_are_named() {
    let ca = pki().ca;
    let good = config(&format!("server: 'https://c', certificate-authority-data: {ca}"), "token: t");
    let twice = STANDARD.encode(&good);
    let view = "is what kubectl config view shows without --raw";
    let wide: Vec<u8> = [0xFEFF].into_iter().chain(good.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for (file, words) in [
        (good.replace(&ca, "DATA+OMITTED").into_bytes(), format!("certificate-authority-data {view}")),
        (good.replace("token: t", "token: REDACTED").into_bytes(), format!("token {view}")),
        (twice.into_bytes(), "base64 once more than it should be".to_owned()),
        (wide, "UTF-16 text; save it as UTF-8".to_owned()),
    ] {
        let refused = vet(&file, &Policy::default()).unwrap_err().to_string();
        assert!(refused.contains(&words), "{words}: {refused}");
    }
}

#[test]
fn empty_and_false_fields_are_accepted() {
    let ca = pki().ca;
    let cluster = format!(
        "server: 'https://10.0.0.1', certificate-authority-data: {ca}, insecure-skip-tls-verify: false, proxy-url: '', \
         certificate-authority: null, disable-compression: true, extensions: [{{name: e, extension: {{a: 1}}}}]"
    );
    let user =
        format!("token: ' {TOKEN}\n\n  ', exec: null, username: '', as-groups: [], client-key-data: '', future: [1]");
    let connection = vet(config(&cluster, &user).as_bytes(), &Policy::default()).unwrap();
    assert_eq!(connection.host_display(), "10.0.0.1:443");
    assert_eq!(connection.authorization().unwrap().unwrap(), format!("Bearer {TOKEN}").as_str());
}

#[test]
fn json_is_vetted_like_the_same_yaml() {
    let Pki { ca, cert, key, .. } = pki();
    let server = format!("server: 'https://c1', certificate-authority-data: {ca}");
    for (cluster, user) in [
        (server.clone(), format!("token: {TOKEN}")),
        (server.clone(), format!("client-certificate-data: {cert}, client-key-data: {key}")),
        (server.clone(), format!("token: {TOKEN}, exec: {{}}")),
        (server.clone(), format!("token: {TOKEN}, as-groups: [], username: '', password: null, tokenFile: false")),
        (server.clone(), format!("token: {TOKEN}, as-groups: [a]")),
        (server.clone(), "token: 5".to_owned()),
        (format!("{server}, insecure-skip-tls-verify: 'false'"), format!("token: {TOKEN}")),
        (format!("{server}, insecure-skip-tls-verify: true"), format!("token: {TOKEN}")),
        ("server: [https://c1]".to_owned(), "token: t".to_owned()),
    ] {
        let yaml = config(&cluster, &user);
        let value: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
        let taken = |file: &str| vet(file.as_bytes(), &Policy::default()).map_err(|failure| failure.to_string());
        match (taken(&yaml), taken(&value.to_string())) {
            (Err(yaml), Err(json)) => assert_eq!(without_line(&json), without_line(&yaml)),
            (yaml, json) => assert!(json == yaml, "{cluster} {user}: {json:?} {yaml:?}"),
        }
    }
}

fn without_line(message: &str) -> String {
    message.split_whitespace().filter(|word| word.parse::<u32>().is_err()).collect()
}

#[test]
fn only_context_needs_no_name_and_other_users_are_ignored() {
    let ca = pki().ca;
    let file = config(&format!("server: 'https://c1', certificate-authority-data: {ca}"), &format!("token: {TOKEN}"));
    assert!(vet(file.replace("current-context: x\n", "").as_bytes(), &Policy::default()).is_ok());
    let with_other = file.replace("users: [", "users: [{name: eks, user: {exec: {command: aws}}}, ");
    assert!(vet(with_other.as_bytes(), &Policy::default()).is_ok(), "the context does not use that user");
}

#[test]
fn refused_user_fields_name_the_remedy() {
    let Pki { ca, cert, key, other_key } = pki();
    let cluster = format!("server: 'https://c1', certificate-authority-data: {ca}");
    let files = "ksit reads no files that a kubeconfig names; put the content into the kubeconfig (kubectl config view --minify --flatten --raw)";
    let basic = "basic authentication; use a ServiceAccount token: ksit target add makes one";
    let nobody = "ksit impersonates nobody; give the credential of the account itself";
    let exec = "KubeconfigRefused: exec is not accepted: ksit runs no programs that a kubeconfig names; run ksit target add, which makes a ServiceAccount token on the target";
    let plugin = "KubeconfigRefused: auth-provider is not accepted: ksit runs no credential plugins; run ksit target add, which makes a ServiceAccount token on the target";
    let refused = |field: &str, why: &str| format!("KubeconfigRefused: {field} is not accepted: {why}");
    let rows: Vec<(String, String)> = vec![
        ("exec: {command: aws, args: [eks]}".into(), exec.into()),
        ("exec: {}".into(), exec.into()),
        (format!("token: {TOKEN}, exec: {{command: sh}}"), exec.into()),
        (format!("token: {TOKEN}, <<: {{exec: {{command: sh}}}}"), exec.into()),
        ("auth-provider: {name: gcp, config: {cmd-path: /bin/sh}}".into(), plugin.into()),
        ("tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token".into(), refused("tokenFile", files)),
        ("client-certificate: /a".into(), refused("client-certificate", files)),
        ("client-key: /a".into(), refused("client-key", files)),
        ("username: root".into(), refused("username", basic)),
        ("username: 0".into(), refused("username", basic)),
        ("password: hunter2".into(), refused("password", basic)),
        (format!("token: {TOKEN}, as: admin"), refused("as", nobody)),
        (format!("token: {TOKEN}, as-groups: ['system:masters']"), refused("as-groups", nobody)),
        (format!("token: {TOKEN}, as-uid: 1"), refused("as-uid", nobody)),
        (format!("token: {TOKEN}, as-user-extra: {{a: [b]}}"), refused("as-user-extra", nobody)),
        (format!("token: {TOKEN}, client-key-data: {key}"), "KubeconfigInvalid: client-certificate-data is missing beside client-key-data".into()),
        ("token: REDACTED".into(), "KubeconfigInvalid: token is what kubectl config view shows without --raw; use kubectl config view --minify --flatten --raw".into()),
        (format!("client-certificate-data: {cert}, client-key-data: DATA+OMITTED"), "KubeconfigInvalid: client-key-data is what kubectl config view shows without --raw; use kubectl config view --minify --flatten --raw".into()),
        ("token: ''".into(), "KubeconfigInvalid: token is missing and so are client-certificate-data and client-key-data; give a credential (ksit never uses its own)".into()),
        ("token: \"a\\nb\"".into(), "KubeconfigInvalid: token holds characters that can't be sent in a header".into()),
        (format!("client-certificate-data: {cert}"), "KubeconfigInvalid: client-key-data is missing beside client-certificate-data".into()),
        (format!("client-key-data: {key}"), "KubeconfigInvalid: client-certificate-data is missing beside client-key-data".into()),
        (format!("client-certificate-data: '%', client-key-data: {key}"), "KubeconfigInvalid: client-certificate-data is not base64".into()),
        (format!("client-certificate-data: {key}, client-key-data: {key}"), "KubeconfigInvalid: client-certificate-data holds no certificate in PEM".into()),
        (format!("client-certificate-data: {cert}, client-key-data: {cert}"), "KubeconfigInvalid: client-key-data holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)".into()),
        (format!("client-certificate-data: {cert}, client-key-data: {other_key}"), "KubeconfigInvalid: client-key-data does not fit client-certificate-data".into()),
    ];
    for (user, message) in rows {
        assert_eq!(refusal(&config(&cluster, &user), &Policy::default()), message, "{user}");
    }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cluster_rows(ca: &str) -> Vec<(String, &'static str)> {
    let garbage = STANDARD.encode("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let broken = STANDARD.encode("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
    let text = STANDARD.encode("hello");
    let url = "KubeconfigInvalid: server is not a URL like https://host:6443";
    let parts = "KubeconfigInvalid: server may only hold host, port and path: no user, query or fragment";
    let c = format!("certificate-authority-data: {ca}");
    vec![
        (
            format!("server: 'https://c1', {c}, insecure-skip-tls-verify: true"),
            "KubeconfigRefused: insecure-skip-tls-verify is not accepted: the credential would go to whoever answers; give certificate-authority-data instead",
        ),
        (
            "server: 'https://c1', certificate-authority: /ca.pem".into(),
            "KubeconfigRefused: certificate-authority is not accepted: ksit reads no files that a kubeconfig names; put the content into the kubeconfig (kubectl config view --minify --flatten --raw)",
        ),
        (
            format!("server: 'https://c1', {c}, proxy-url: 'socks5://p:1'"),
            "KubeconfigRefused: proxy-url is not accepted: p:1 is not among --allow-proxies of the operator; add it there",
        ),
        (
            format!("server: 'http://c1', {c}"),
            "KubeconfigRefused: server is an http:// URL, over which the credential could be read; give the https:// one",
        ),
        (
            format!("server: 'HTTP://c1', {c}"),
            "KubeconfigRefused: server is an http:// URL, over which the credential could be read; give the https:// one",
        ),
        (
            c.clone(),
            "KubeconfigInvalid: server is missing in the cluster of the context; give the URL of its API server",
        ),
        (format!("server: 'c1:6443', {c}"), url),
        (format!("server: 'ftp://c1', {c}"), url),
        (format!("server: 'https://', {c}"), url),
        (format!("server: 'https://c1:0', {c}"), url),
        (format!("server: 'https://c1:99999', {c}"), url),
        (format!("server: 'https://a b', {c}"), url),
        (format!("server: 'https://[::1%eth0]', {c}"), url),
        (format!("server: 'https://c1/../x', {c}"), url),
        (format!("server: 'https://me:secret@c1', {c}"), parts),
        (format!("server: 'https://c1?x', {c}"), parts),
        (format!("server: 'https://c1#x', {c}"), parts),
        (
            format!("server: 'https://c1', {c}, tls-server-name: 'a b'"),
            "KubeconfigInvalid: tls-server-name is not a DNS name or IP address",
        ),
        (
            "server: 'https://c1', certificate-authority-data: '!'".into(),
            "KubeconfigInvalid: certificate-authority-data is not base64",
        ),
        (
            format!("server: 'https://c1', certificate-authority-data: {text}"),
            "KubeconfigInvalid: certificate-authority-data holds no certificate in PEM",
        ),
        (
            format!("server: 'https://c1', certificate-authority-data: {broken}"),
            "KubeconfigInvalid: certificate-authority-data holds no certificate that can be used as a CA",
        ),
        (
            format!("server: 'https://c1', certificate-authority-data: {garbage}"),
            "KubeconfigInvalid: certificate-authority-data holds no certificate that can be used as a CA",
        ),
    ]
}

#[test]
fn refused_cluster_fields_name_the_remedy() {
    for (cluster, message) in cluster_rows(&pki().ca) {
        assert_eq!(refusal(&config(&cluster, &format!("token: {TOKEN}")), &Policy::default()), message, "{cluster}");
    }
}

#[test]
fn refused_addresses_are_named_in_the_message() {
    let ca = pki().ca;
    let hub: IpAddr = "10.96.0.1".parse().unwrap();
    let policy = Policy { hub_addresses: vec![hub].into(), ..Policy::default() };
    for (host, shown, what) in [
        ("127.0.0.1:6443", "127.0.0.1", "a loopback address"),
        ("localhost", "localhost", "a loopback address"),
        ("[::1]:6443", "::1", "a loopback address"),
        ("[::ffff:127.0.0.1]", "::ffff:127.0.0.1", "a loopback address"),
        ("169.254.169.254", "169.254.169.254", "a cloud's metadata address"),
        ("[fd00:ec2::254]", "fd00:ec2::254", "a cloud's metadata address"),
        ("[fe80::1]", "fe80::1", "a link-local address"),
        ("0.0.0.0", "0.0.0.0", "an unspecified address"),
        ("224.0.0.1", "224.0.0.1", "a multicast address"),
        ("10.96.0.1", "10.96.0.1", "an address of the hub"),
        ("2130706433", "2130706433", "an IP address in an unusual spelling"),
        ("017700000001", "017700000001", "an IP address in an unusual spelling"),
        ("0x7f.1", "0x7f.1", "an IP address in an unusual spelling"),
    ] {
        let file =
            config(&format!("server: 'https://{host}', certificate-authority-data: {ca}"), &format!("token: {TOKEN}"));
        let message = format!(
            "AddressRefused: server {shown} is {what}, which ksit does not dial for a target; give the cluster's own address"
        );
        assert_eq!(refusal(&file, &policy), message);
    }
    let loopback = Policy { allow_loopback: true, ..Policy::default() };
    let file = config(
        &format!("server: 'https://127.0.0.1:6443', certificate-authority-data: {ca}"),
        &format!("token: {TOKEN}"),
    );
    assert!(vet(file.as_bytes(), &loopback).is_ok());
}

#[test]
fn files_that_are_no_kubeconfig_get_specific_messages() {
    let good = config("server: 'https://c1'", "token: t");
    let rows: Vec<(String, &str)> = vec![
        (String::new(), "KubeconfigInvalid: the kubeconfig is empty"),
        (" \n".into(), "KubeconfigInvalid: the kubeconfig is empty"),
        (
            "hello".into(),
            "KubeconfigInvalid: the kubeconfig can't be read: line 1 is not YAML or not what a kubeconfig has there",
        ),
        (
            "a: [\n".into(),
            "KubeconfigInvalid: the kubeconfig can't be read: line 1 is not YAML or not what a kubeconfig has there",
        ),
        (
            "kind: Config\nusers: {\n".into(),
            "KubeconfigInvalid: the kubeconfig can't be read: line 2 is not YAML or not what a kubeconfig has there",
        ),
        (format!("{good}---\n{good}"), "KubeconfigInvalid: the kubeconfig holds several YAML documents; keep one"),
        ("kind: Secret\ndata: {}\n".into(), "KubeconfigInvalid: the file is not a kubeconfig: its kind is not Config"),
        ("kind: Config\n".into(), "KubeconfigInvalid: contexts is empty; give the context to use"),
        (
            "contexts: [{name: a}, {name: b}]\n".into(),
            "KubeconfigInvalid: current-context is not set and there are several contexts; set it to the one to use",
        ),
        ("contexts: [{name: a}]\n".into(), "KubeconfigInvalid: contexts[].context is empty"),
        (
            good.replace("current-context: x", "current-context: y"),
            "KubeconfigInvalid: current-context names a context that contexts does not have",
        ),
        (
            good.replace("{cluster: c,", "{cluster: d,"),
            "KubeconfigInvalid: contexts[].context.cluster names an entry that clusters does not have",
        ),
        (
            good.replace("user: u}", "user: v}"),
            "KubeconfigInvalid: contexts[].context.user names an entry that users does not have",
        ),
        (
            good.replace("user: u}", "user: }"),
            "KubeconfigInvalid: contexts[].context.user names an entry that users does not have",
        ),
    ];
    for (file, message) in rows {
        assert_eq!(refusal(&file, &Policy::default()), message, "{file}");
    }
}

#[test]
fn size_aliases_and_encoding_are_bounded() {
    let good = config("server: 'https://c1'", "token: t");
    let bomb = {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let previous = format!("*a{}, ", i - 1).repeat(10);
            text.push_str(&format!("a{i}: &a{i} [{previous}]\n"));
        }
        text + &good
    };
    let started = std::time::Instant::now();
    let message = refusal(&bomb, &Policy::default());
    assert!(message.starts_with("KubeconfigInvalid: the kubeconfig can't be read"), "{message}");
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "an alias bomb is rejected fast");
    let message = refusal(&"#".repeat(MAX_BYTES + 1), &Policy::default());
    assert_eq!(
        message,
        "KubeconfigInvalid: the kubeconfig has 131073 bytes, more than the 131072 that ksit reads; keep only the one context (kubectl config view --minify --flatten)"
    );
    let message = vet(b"\xff\xfd", &Policy::default()).unwrap_err().to_string();
    assert_eq!(message, "KubeconfigInvalid: the kubeconfig is not UTF-8 text");
}

/// However a kubeconfig is broken, no part of its secrets appears in a message.
#[test]
fn secrets_never_appear_in_messages() {
    let Pki { ca, key, cert, .. } = pki();
    let plain = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts:\n- name: x\n  context: {{cluster: c, user: u}}\n\
         clusters:\n- name: c\n  cluster:\n    server: https://c1\n    certificate-authority-data: {ca}\n\
         users:\n- name: u\n  user:\n    token: {TOKEN}\n    password: planted-password-91\n    client-key-data: {key}\n    client-certificate-data: {cert}\n\
         \x20   exec: {{command: planted-command, env: [{{name: planted-env}}]}}\n"
    );
    let mut files = vec![plain.clone()];
    // Truncated anywhere, or with one character replaced by one that YAML, base64 or a URL may trip over.
    for at in (0..plain.len()).step_by(7) {
        files.push(plain[..at].to_owned());
        for broken in ["{", "\"", "\t", "*", "&", "\n", ": ", "[", "!"] {
            files.push(format!("{}{broken}{}", &plain[..at], &plain[at + 1..]));
        }
    }
    let needles = [TOKEN, "planted", &key[20..40], &cert[20..40]];
    for file in files {
        let message = match vet(file.as_bytes(), &Policy::default()) {
            Ok(connection) => format!("{connection:?}"),
            Err(failure) => format!("{failure} {failure:?}"),
        };
        for needle in needles {
            assert!(!message.contains(needle), "{message}");
        }
    }
}

#[test]
fn connection_equality_includes_the_credential() {
    let ca = pki().ca;
    let make = |token: &str, server: &str| {
        let file = config(
            &format!("server: 'https://{server}', certificate-authority-data: {ca}"),
            &format!("token: {token}"),
        );
        vet(file.as_bytes(), &Policy::default()).unwrap()
    };
    assert_eq!(make("a", "c1"), make("a", "c1"));
    assert_ne!(make("a", "c1"), make("b", "c1"));
    assert_ne!(make("a", "c1"), make("a", "c2"));
}
