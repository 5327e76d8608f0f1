//! Chromium, driven through chromedriver.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fantoccini::wd::{Capabilities, TimeoutConfiguration, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::Process;

/// Time-out of every wait.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The faults of axe-core that count; the others are hints.
const SERIOUS: [&str; 2] = ["serious", "critical"];

/// A window and its colours.
#[derive(Clone, Copy, Debug)]
pub enum Look {
    Light,
    Dark,
    /// As on a telephone.
    Narrow,
}

impl Look {
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Narrow => "narrow",
        }
    }
}

/// A browser that has opened the page.
pub struct Browser {
    pub client: Client,
    origin: String,
    axe: String,
    shots: PathBuf,
    _driver: Process,
    _dir: TempDir,
}

/// An entry of chromedriver's own log.
#[derive(Debug)]
struct Log(&'static str);

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": self.0 }).to_string()))
    }
}

impl Browser {
    /// Opens the URL.
    pub async fn start(url: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (driver, port) = start_driver(dir.path()).await;
        let options = json!({ "goog:chromeOptions": { "args": ["--headless=new", "--no-sandbox", "--disable-gpu"] },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" } });
        let capabilities: Capabilities = options.as_object().unwrap().clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        client.update_timeouts(TimeoutConfiguration::default()).await.unwrap();
        client.goto(url).await.unwrap();
        let (origin, _) = url.split_once("/?").unwrap();
        let axe = std::env::var("AXE").expect("AXE: the path of axe.min.js; `make test-ui` sets it");
        let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/ui");
        std::fs::create_dir_all(&shots).unwrap();
        let axe = std::fs::read_to_string(axe).unwrap();
        Self { client, origin: origin.to_owned(), axe, shots, _driver: driver, _dir: dir }
    }

    pub async fn end(self) {
        self.client.clone().close().await.unwrap();
    }

    pub async fn open(&self, path: &str) {
        self.client.goto(&format!("{}{path}", self.origin)).await.unwrap();
    }

    pub async fn set(&self, look: Look) {
        let width = if matches!(look, Look::Narrow) { 400 } else { 1280 };
        let scheme = if matches!(look, Look::Dark) { "dark" } else { "light" };
        let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media).await;
    }

    async fn devtools(&self, command: &str, params: Value) {
        self.client.issue_cmd(DevTools(json!({ "cmd": command, "params": params }))).await.unwrap();
    }

    /// Runs a script of the page; it may return something.
    pub async fn run<T: serde::de::DeserializeOwned>(&self, script: &str) -> T {
        serde_json::from_value(self.client.execute(script, Vec::new()).await.unwrap()).unwrap()
    }

    /// Waits until a script returns true.
    pub async fn until(&self, what: &str, script: &str) {
        let start = Instant::now();
        while self.client.execute(script, Vec::new()).await.ok() != Some(Value::Bool(true)) {
            assert!(start.elapsed() < TIMEOUT, "waited in vain for {what}: {}", self.client.source().await.unwrap());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the page follows the fleet.
    pub async fn until_live(&self) {
        self.until("the page to be live", "return document.getElementById('live').dataset.state === 'live'").await;
    }

    pub async fn press(&self, keys: &str) {
        self.client.active_element().await.unwrap().send_keys(keys).await.unwrap();
    }

    pub async fn screenshot(&self, name: &str) {
        let png = self.client.screenshot().await.unwrap();
        std::fs::write(self.shots.join(format!("{name}.png")), png).unwrap();
    }

    /// Rules of axe-core that the page breaks seriously, with the first element of each.
    pub async fn accessibility_faults(&self) -> Vec<String> {
        let _: Value = self.client.execute(&format!("{}; return null", self.axe), Vec::new()).await.unwrap();
        let script = "const done = arguments[arguments.length - 1]; axe.run().then(r => done(r.violations))";
        let found = self.client.execute_async(script, Vec::new()).await.unwrap();
        let is_serious = |fault: &&Value| SERIOUS.contains(&fault["impact"].as_str().unwrap_or_default());
        let words = |fault: &Value| format!("{}: {} {}", fault["id"], fault["help"], fault["nodes"][0]["html"]);
        found.as_array().unwrap().iter().filter(is_serious).map(words).collect()
    }

    /// URLs that were requested from other origins.
    pub async fn requests_elsewhere(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Log("performance")).await.unwrap();
        let urls = entries.as_array().unwrap().iter().filter_map(|entry| {
            let message: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let is_request = message["message"]["method"] == "Network.requestWillBeSent";
            is_request.then(|| message["message"]["params"]["request"]["url"].as_str().unwrap_or_default().to_owned())
        });
        let urls: Vec<String> = urls.collect();
        assert!(urls.len() > 20, "the log of requests is there: {urls:?}");
        urls.into_iter().filter(|url| !url.starts_with(&self.origin) && !url.starts_with("data:")).collect()
    }

    /// Warnings and errors of the console, among them all violations of the content security policy.
    pub async fn console_faults(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Log("browser")).await.unwrap();
        let is_fault = |entry: &&Value| ["WARNING", "SEVERE"].contains(&entry["level"].as_str().unwrap_or_default());
        entries.as_array().unwrap().iter().filter(is_fault).map(|entry| entry["message"].to_string()).collect()
    }
}

/// A command of the browser's developer tools.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.0.to_string()))
    }
}

async fn start_driver(dir: &Path) -> (Process, u16) {
    let log = dir.join("chromedriver.log");
    let args = ["--port=0".to_owned()];
    let driver = Process::start("chromedriver", Path::new("chromedriver"), &args, &[], &log, None).unwrap();
    let start = Instant::now();
    loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let port = text.split("started successfully on port ").nth(1);
        if let Some(port) = port.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()) {
            return (driver, port);
        }
        assert!(start.elapsed() < TIMEOUT, "chromedriver did not start: {}", driver.log_end());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
