//! Measures `ksit ui`: how soon and how large its views are, and the cost of its server.

mod browser;
mod statuses;

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::usage::Usage;
use testkit::{ControlPlane, Process};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use browser::{Browser, Fetched};

type PageError = Box<dyn std::error::Error + Send + Sync>;

/// The views that are measured.
const VIEWS: [&str; 7] = [
    "/",
    "/problems",
    "/clusters",
    "/clusters?phase=Failed&l=env%3Dprod",
    "/clusters/fleet/c00000",
    "/versions",
    "/replicas",
];

/// Time-out of the start.
const PATIENCE: Duration = Duration::from_secs(120);

/// A measurement.
pub struct Settings {
    /// Number of clusters.
    pub targets: u32,
    /// Tools on each.
    pub integrations: u32,
    /// Statuses that change a second.
    pub changes: u32,
    /// Pages that are open.
    pub pages: u32,
    /// Time of the measurement.
    pub duration: Duration,
    /// The program.
    pub ksit: PathBuf,
}

/// Measures, and returns a table in Markdown.
///
/// # Errors
/// Fails if hub or page can't be started, or refuse a request.
pub async fn measure(settings: &Settings) -> Result<String, PageError> {
    let hub = ControlPlane::builder("hub").without_reads_in_audit().start().await?;
    let client = hub.client().await?;
    statuses::create(&client, settings).await?;
    let dir = tempfile::tempdir()?;
    let (page, browser) = open(&settings.ksit, &hub, dir.path(), settings.targets).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(statuses::change(client, settings.targets, settings.integrations, settings.changes));
    let rows = fetch_views(&browser, settings.duration).await?;
    for number in 0..settings.pages {
        let (browser, view) = (browser.clone(), VIEWS[number as usize % VIEWS.len()]);
        tasks.spawn(async move { browser.follow(view).await });
    }
    // The first fetch of each.
    sleep(Duration::from_secs(5)).await;
    let (before, start) = (Usage::of(page.pid())?, Instant::now());
    sleep(settings.duration).await;
    let after = Usage::of(page.pid())?;
    let cores = after.cores_since(&before, start.elapsed());
    if let Some(ended) = tasks.try_join_next() {
        return Err(format!("a task has ended: {:?}", ended?).into());
    }
    let head = "| view | first byte: median | 99 % | on the wire |\n| --- | --- | --- | --- |\n";
    let rows: String = rows.iter().map(Row::line).collect();
    let Settings { pages, .. } = settings;
    Ok(format!(
        "{head}{rows}\nmemory of the server {} MiB, CPU with {pages} open pages {cores:.2} cores\n",
        after.rss >> 10
    ))
}

/// One view.
struct Row {
    view: &'static str,
    times: Vec<Duration>,
    bytes: usize,
}

impl Row {
    fn at(&self, share: f64) -> f64 {
        let place = (self.times.len() as f64 * share) as usize;
        self.times[place.min(self.times.len() - 1)].as_secs_f64() * 1e3
    }

    fn line(&self) -> String {
        let kib = self.bytes as f64 / 1024.0;
        format!("| `{}` | {:.1} ms | {:.1} ms | {kib:.1} KiB |\n", self.view, self.at(0.5), self.at(0.99))
    }
}

/// Fetches the views in turn. Each is rendered anew, as statuses change between two of its fetches.
async fn fetch_views(browser: &Browser, duration: Duration) -> Result<Vec<Row>, PageError> {
    let mut rows: Vec<Row> = VIEWS.iter().map(|view| Row { view, times: Vec::new(), bytes: 0 }).collect();
    let start = Instant::now();
    while start.elapsed() < duration {
        for row in &mut rows {
            let Fetched { first_byte, bytes } = browser.fetch(row.view).await?;
            row.times.push(first_byte);
            row.bytes = row.bytes.max(bytes);
        }
    }
    rows.iter_mut().for_each(|row| row.times.sort_unstable());
    Ok(rows)
}

/// Starts the page, and waits until it has all clusters.
async fn open(ksit: &Path, hub: &ControlPlane, dir: &Path, targets: u32) -> Result<(Process, Browser), PageError> {
    let log = dir.join("ui.log");
    let args = ["ui".to_owned(), format!("--kubeconfig={}", hub.kubeconfig_path().display())];
    let page = Process::start("ksit-ui", ksit, &args, &[], &log, None)?;
    let start = Instant::now();
    let browser = loop {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some((url, _)) = text.split_once('\n') {
            break Browser::open(url).await?;
        }
        if start.elapsed() > PATIENCE {
            return Err(page.not_ready(PATIENCE).into());
        }
        sleep(Duration::from_millis(100)).await;
    };
    while !browser.text("/api/v1/clusters?limit=1").await?.contains(&format!("\"total\":{targets}")) {
        if start.elapsed() > PATIENCE {
            return Err("the page does not show all clusters".into());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok((page, browser))
}
