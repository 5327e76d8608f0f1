//! kubectl itself is the yardstick: from each kubeconfig it and `ksit check` sign in as the same user, or both refuse.

use std::collections::BTreeSet;
use std::time::Duration;

use testkit::forward_proxy::{ForwardProxy, ProxyProtocol, Tunnels};
use testkit::{ControlPlane, Tool};
use tokio::time::sleep;

use super::*;

/// ksit's outcome beside kubectl's.
#[derive(Clone, Copy, PartialEq)]
enum Expected {
    /// The same user, who is this one.
    User(&'static str),
    /// Both refuse.
    Refused,
    /// ksit refuses what kubectl does, with these words.
    KsitRefuses(&'static str),
    /// ksit takes what kubectl refuses, and is this user.
    KsitTakes(&'static str),
}
use Expected::{KsitRefuses, KsitTakes, Refused, User};

const ADMIN: &str = "admin";
const A: &str = "system:serviceaccount:default:a";
const B: &str = "system:serviceaccount:default:b";

struct Row {
    name: &'static str,
    /// The files of the list KUBECONFIG; `None` for one that does not exist.
    files: Vec<Option<String>>,
    expected: Expected,
}

fn row(name: &'static str, file: impl ToString, expected: Expected) -> Row {
    Row { name, files: vec![Some(file.to_string())], expected }
}

/// A plane, its administrator's certificate, and tokens of two accounts.
struct Given {
    folder: Folder,
    plane: ControlPlane,
    cluster: Value,
    admin: Value,
    a: String,
    b: String,
}

impl Given {
    async fn new() -> Self {
        let plane = ControlPlane::builder("yardstick").start().await.unwrap();
        let (cluster, admin) = entries(&plane.kubeconfig());
        let a = plane.service_account_token("default", "a").await.unwrap();
        let b = plane.service_account_token("default", "b").await.unwrap();
        Self { folder: Folder::new(), plane, cluster, admin, a, b }
    }

    fn file(&self, cluster: &Value, user: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
            "clusters": [{ "name": "c", "cluster": cluster }], "users": [{ "name": "u", "user": user }] })
    }

    /// The kubeconfig of this user.
    fn user(&self, user: Value) -> Value {
        self.file(&self.cluster, &user)
    }

    /// The kubeconfig of account a, with these changes to the cluster; null removes a field.
    fn cluster(&self, change: Value) -> Value {
        let mut cluster = self.cluster.clone();
        for (field, value) in change.as_object().unwrap() {
            match value {
                Value::Null => drop(cluster.as_object_mut().unwrap().remove(field)),
                value => cluster[field] = value.clone(),
            }
        }
        self.file(&cluster, &json!({ "token": self.a }))
    }

    fn exec(&self, name: &str, status: Value) -> Value {
        let credential =
            json!({ "apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status });
        let command = self.folder.plugin(name, &format!("cat <<'END'\n{credential}\nEND"));
        json!({ "apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never" })
    }

    fn pem(&self, field: &str) -> String {
        String::from_utf8(STANDARD.decode(self.admin[field].as_str().unwrap()).unwrap()).unwrap()
    }

    fn users(&self) -> Vec<Row> {
        let (a, b) = (&self.a, &self.b);
        let file = |name: &str, text: &str| self.folder.write(name, text).display().to_string();
        let certificate = json!({ "clientCertificateData": self.pem("client-certificate-data"),
            "clientKeyData": self.pem("client-key-data") });
        let with = |user: &Value, field: &str, value: Value| {
            let mut user = user.clone();
            user[field] = value;
            self.user(user)
        };
        let token = json!({ "token": a });
        vec![
            row("certificate", self.user(self.admin.clone()), User(ADMIN)),
            row("token", self.user(token.clone()), User(A)),
            row("token with a newline", self.user(json!({ "token": format!("{a}\n") })), KsitTakes(A)),
            row("token that is none", self.user(json!({ "token": "none" })), Refused),
            row("token and certificate", with(&self.admin, "token", json!(a)), User(ADMIN)),
            row(
                "token file with a newline",
                self.user(json!({ "tokenFile": file("t1", &format!("{b}\r\n")) })),
                User(B),
            ),
            row("token and token file", with(&token, "tokenFile", json!(file("t2", b))), User(B)),
            row("token and missing token file", with(&token, "tokenFile", json!("/nowhere")), User(A)),
            row("missing token file", self.user(json!({ "tokenFile": "/nowhere" })), Refused),
            row("plugin with a token", self.user(json!({ "exec": self.exec("p1", json!({ "token": b })) })), User(B)),
            row("plugin with a certificate", self.user(json!({ "exec": self.exec("p2", certificate) })), User(ADMIN)),
            row("plugin beside a token", with(&token, "exec", self.exec("p3", json!({ "token": b }))), User(A)),
            row(
                "missing plugin",
                self.user(json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1",
                "command": "/nowhere/plugin", "interactiveMode": "Never" } })),
                Refused,
            ),
            row("user name and password", self.user(json!({ "username": "x", "password": "y" })), Refused),
            row("no credential", self.user(json!({})), Refused),
            row(
                "certificate without key",
                self.user(json!({ "client-certificate-data":
                self.admin["client-certificate-data"] })),
                Refused,
            ),
            row("impersonation", with(&self.admin, "as", json!(A)), KsitRefuses("as and as-groups are not supported")),
            row(
                "empty fields",
                self.user(json!({ "token": a, "client-certificate": "", "tokenFile": "",
                "client-certificate-data": "" })),
                User(A),
            ),
        ]
    }

    fn clusters(&self, proxy: &ForwardProxy) -> Vec<Row> {
        const DATA: &str = "certificate-authority-data";
        let other = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem();
        vec![
            row("proxy", self.cluster(json!({ "proxy-url": format!("http://{}", proxy.address()) })), User(A)),
            row("proxy that does not listen", self.cluster(json!({ "proxy-url": "http://127.0.0.1:1" })), Refused),
            row("empty proxy and name", self.cluster(json!({ "proxy-url": "", "tls-server-name": "" })), User(A)),
            row("server name", self.cluster(json!({ "tls-server-name": "localhost" })), User(A)),
            row("another server name", self.cluster(json!({ "tls-server-name": "example.com" })), Refused),
            row("server with a slash", self.cluster(json!({ "server": format!("{}/", self.plane.url()) })), User(A)),
            row("without verification", self.cluster(json!({ "insecure-skip-tls-verify": true, DATA: null })), User(A)),
            row("without verification and a CA", self.cluster(json!({ "insecure-skip-tls-verify": true })), Refused),
            row("no CA", self.cluster(json!({ DATA: null })), Refused),
            row("another CA", self.cluster(json!({ DATA: STANDARD.encode(other) })), Refused),
            row("CA that is no certificate", self.cluster(json!({ DATA: STANDARD.encode("hello") })), Refused),
            row("CA that is not base64", self.cluster(json!({ DATA: "-----" })), Refused),
            row(
                "CA in a relative file",
                self.cluster(json!({ DATA: null, "certificate-authority":
                self.folder.write("ca.crt", self.plane.ca_pem()).file_name().unwrap().to_str() })),
                User(A),
            ),
        ]
    }

    /// Texts that are YAML in some way.
    fn texts(&self) -> Vec<Row> {
        let whole = self.user(json!({ "token": self.a }));
        let ca = self.cluster["certificate-authority-data"].as_str().unwrap();
        let lines: Vec<&str> = ca.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        let block = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             users: [{{name: u, user: {{token: {}}}}}]\nclusters:\n- name: c\n  cluster:\n    server: {}\n    \
             certificate-authority-data: |\n      {}\n",
            self.a,
            self.plane.url(),
            lines.join("\n      ")
        );
        let changed = |change: fn(&mut Value)| {
            let mut file = whole.clone();
            change(&mut file);
            file.to_string()
        };
        vec![
            row("base64 in lines", block, User(A)),
            row("document marker at the end", format!("{whole}\n---\n"), User(A)),
            row("key twice", format!("current-context: other\n{}", block_of(&whole)), User(A)),
            row("null users", changed(|file| file["users"].as_array_mut().unwrap().insert(0, Value::Null)), User(A)),
            row(
                "two users of one name",
                changed(|file| {
                    let user = file["users"][0].clone();
                    file["users"].as_array_mut().unwrap().push(user);
                }),
                Refused,
            ),
            row(
                "no current context",
                changed(|file| drop(file.as_object_mut().unwrap().remove("current-context"))),
                Refused,
            ),
            row("unknown current context", changed(|file| file["current-context"] = json!("x")), Refused),
            row("unknown user", changed(|file| file["contexts"][0]["context"]["user"] = json!("x")), Refused),
            row("unknown cluster", changed(|file| file["contexts"][0]["context"]["cluster"] = json!("x")), Refused),
            row("another type", changed(|file| file["users"] = json!("x")), Refused),
            row("a byte order mark", format!("\u{feff}{whole}"), User(A)),
            row("nothing", "", Refused),
        ]
    }

    /// Lists of files.
    fn lists(&self) -> Vec<Row> {
        let (whole, other) = (self.user(json!({ "token": self.a })), self.user(json!({ "token": self.b })));
        let part = |keys: &[&str], of: &Value| {
            let kept = of.as_object().unwrap().iter().filter(|(key, _)| keys.contains(&key.as_str()));
            Some(Value::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect()).to_string())
        };
        let list = |name, files, expected| Row { name, files, expected };
        vec![
            list("list with a missing file", vec![None, Some(whole.to_string())], User(A)),
            list("list of missing files", vec![None, None], Refused),
            list("first user of a list", vec![Some(whole.to_string()), Some(other.to_string())], User(A)),
            list(
                "list of parts",
                vec![
                    part(&["current-context"], &whole),
                    part(&["clusters", "contexts"], &whole),
                    part(&["users"], &other),
                    part(&["users"], &whole),
                ],
                User(B),
            ),
            list("list with a broken file", vec![Some("{".to_owned()), Some(whole.to_string())], Refused),
        ]
    }

    /// kubectl's user; `None` if it refuses, or is refused.
    async fn kubectl(&self, list: &str) -> Option<String> {
        let program = tokio::task::spawn_blocking(|| Tool::Kubectl.path()).await.unwrap().unwrap();
        let mut command = Command::new(program);
        command.args(["auth", "whoami", "-o", "json", "--request-timeout=10s"]).env("KUBECONFIG", list);
        let output = command.env("HOME", self.folder.0.path()).stdin(Stdio::null()).output().await.unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
        answer["status"]["userInfo"]["username"].as_str().map(str::to_owned)
    }

    /// The user of ksit's requests, by the audit log, and its output.
    async fn ksit(&self, list: &str) -> (Option<String>, String) {
        let mark = self.plane.audit().mark();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
        command.args(["check", "--type", "flux", "--timeout", "5s"]).env("KUBECONFIG", list);
        let output = command.env("HOME", self.folder.0.path()).stdin(Stdio::null()).output().await.unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // The log has a request shortly after its answer.
        sleep(Duration::from_millis(200)).await;
        let events = self.plane.audit().since(mark).unwrap();
        let theirs = events.iter().filter(|event| event.code() != 401 && event.request_uri.contains("flux-system"));
        let users: BTreeSet<&str> = theirs.map(|event| event.user.username.as_str()).collect();
        assert!(users.len() <= 1, "{users:?}");
        (users.first().map(|user| (*user).to_owned()), text)
    }
}

/// The same file as block YAML with one key a line.
fn block_of(file: &Value) -> String {
    file.as_object().unwrap().iter().map(|(key, value)| format!("{key}: {value}\n")).collect()
}

#[tokio::test]
async fn kubeconfigs_are_read_as_kubectl_reads_them() {
    let given = Given::new().await;
    let proxy = ForwardProxy::start(ProxyProtocol::Http, None, Tunnels::Open).await.unwrap();
    let mut wrong = Vec::new();
    let all = given.users().into_iter().chain(given.clusters(&proxy)).chain(given.texts()).chain(given.lists());
    for Row { name, files, expected } in all {
        let paths = files.iter().enumerate().map(|(number, text)| match text {
            Some(text) => given.folder.write(&format!("config-{number}"), text).display().to_string(),
            None => given.folder.0.path().join(format!("missing-{number}")).display().to_string(),
        });
        let list = paths.collect::<Vec<_>>().join(":");
        let kubectl = given.kubectl(&list).await;
        let (ksit, text) = given.ksit(&list).await;
        let is_right = match expected {
            User(user) => kubectl.as_deref() == Some(user) && ksit.as_deref() == Some(user),
            Refused => kubectl.is_none() && ksit.is_none(),
            KsitTakes(user) => kubectl.is_none() && ksit.as_deref() == Some(user),
            KsitRefuses(words) => kubectl.is_some() && ksit.is_none() && text.contains(words),
        };
        if !is_right {
            wrong.push(format!("{name}: kubectl {kubectl:?}, ksit {ksit:?}: {text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(proxy.opened() >= 2, "both went through the proxy");
}
