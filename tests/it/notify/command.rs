//! `ksit notify test`

use serde_json::json;
use tokio::process::Command;

use super::Clusters;
use super::receiver::Receiver;
use crate::kit::hub;

/// Exit code and output of a command, as an administrator of the hub.
pub async fn ksit(args: &[&str]) -> (i32, String) {
    let kubeconfig = hub().await.kubeconfig_path();
    let output = Command::new(env!("CARGO_BIN_EXE_ksit")).args(args).arg("--kubeconfig").arg(kubeconfig).output();
    let output = output.await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn test_message_shows_the_answer_of_each_receiver() {
    let namespace = "notify-command";
    let clusters = Clusters::new(namespace, 1).await;
    let receiver = Receiver::start().await;
    clusters.notifier_secret("chats", json!({ "url": format!("{}/s3cret", receiver.url) })).await;
    let chat = json!({ "urlSecretRef": { "name": "chats", "key": "url" } });
    for (name, spec) in [
        ("slack", json!({ "slack": chat })),
        ("teams", json!({ "teams": chat })),
        ("events", json!({ "webhook": { "url": receiver.url } })),
        ("alerts", json!({ "alertmanager": { "url": receiver.url } })),
    ] {
        clusters.notifier(name, spec).await;
        let (code, text) = ksit(&["notify", "test", name, "-n", namespace]).await;
        assert!(code == 0 && text.starts_with("127.0.0.1:") && text.ends_with(" answered 200\n"), "{name}: {text}");
    }
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    assert!(
        received[0].json()["text"].as_str().unwrap().contains("A test message of ksit: Notifier notify-command/slack")
    );
    assert_eq!(received[2].json()["type"], "io.ksit.test");
    assert_eq!(
        (received[3].path.as_str(), &received[3].json()[0]["labels"]["alertname"]),
        ("/api/v2/alerts", &json!("KsitTest"))
    );
    receiver.answer(404);
    let (code, text) = ksit(&["notify", "test", "slack", "-n", namespace]).await;
    assert!(code == 2 && text.contains("Refused: 127.0.0.1:") && text.contains("answered 404"), "{text}");
    assert!(!text.contains("s3cret") && !text.contains("own words"), "{text}");
    let (code, text) = ksit(&["notify", "test", "absent", "-n", namespace]).await;
    assert!(code == 2 && text.contains("there is no Notifier absent in namespace notify-command"), "{text}");
}
