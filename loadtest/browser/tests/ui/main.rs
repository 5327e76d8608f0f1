//! `ksit ui` in Chromium, on a real hub with a real operator and a real cluster. `make test-ui` runs it, and says what it
//! needs. Screenshots of every view go to `target/ui`.

#![allow(clippy::unwrap_used, reason = "a test that can't continue should panic with its location")]

mod browser;
mod stage;

use std::time::{Duration, Instant};

use browser::{Browser, Look};
use fantoccini::Locator;
use fantoccini::key::Key;
use stage::{BREAKING, Stage};

/// Path and name of each view.
const VIEWS: [(&str, &str); 7] = [
    ("/", "fleet"),
    ("/problems", "problems"),
    ("/clusters", "clusters"),
    ("/clusters/fleet/c00", "cluster"),
    ("/versions", "versions"),
    ("/history", "history"),
    ("/replicas", "replicas"),
];

/// From the change on the cluster until the browser shows it; the machine runs hub, cluster, operator and browser.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn page_works_in_a_browser() {
    let mut stage = Stage::set().await;
    stage.scale("helm-controller", 0).await;
    stage.until_phase("Failed").await;
    let browser = Browser::start(&stage.url).await;
    every_view_is_accessible_and_loads_nothing_from_elsewhere(&browser).await;
    keyboard_alone_reaches_everything(&browser).await;
    filters_survive_a_reload(&browser).await;
    break_and_repair_appear_without_a_reload(&browser, &stage).await;
    lost_connection_is_shown(&browser, &mut stage).await;
    browser.end().await;
}

async fn every_view_is_accessible_and_loads_nothing_from_elsewhere(browser: &Browser) {
    for look in [Look::Light, Look::Dark, Look::Narrow] {
        browser.set(look).await;
        for (path, name) in VIEWS {
            browser.open(path).await;
            browser.until_live().await;
            browser.screenshot(&format!("{name}-{}", look.name())).await;
            let found = browser.accessibility_faults().await;
            assert!(found.is_empty(), "{path} {}: {found:#?}", look.name());
            let width: i64 = browser.run("return document.documentElement.scrollWidth - innerWidth").await;
            assert!(width <= 0, "{path} {}: the page is {width} px wider than the window", look.name());
        }
    }
    browser.set(Look::Light).await;
    let strangers = browser.requests_elsewhere().await;
    assert!(strangers.is_empty(), "{strangers:?}");
    let faults = browser.console_faults().await;
    assert!(faults.is_empty(), "{faults:?}");
}

async fn keyboard_alone_reaches_everything(browser: &Browser) {
    browser.open("/clusters").await;
    browser.until_live().await;
    let wanted: Vec<String> = browser
        .run("return [...document.querySelectorAll('a[href], input:not([type=hidden]), select, button')].map(e => e.outerHTML.slice(0, 90))")
        .await;
    let mut reached = Vec::new();
    for _ in 0..wanted.len() + 5 {
        browser.press(&char::from(Key::Tab).to_string()).await;
        reached.push(browser.run::<String>("return document.activeElement.outerHTML.slice(0, 90)").await);
    }
    let missing: Vec<_> = wanted.iter().filter(|one| !reached.contains(one)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    browser.press("gp").await;
    browser.until("/problems by keys", "return location.pathname === '/problems'").await;
    browser.press("/").await;
    browser.until("the search field", "return document.activeElement.id === 'search'").await;
    browser.press("c03").await;
    browser.press(&char::from(Key::Enter).to_string()).await;
    browser
        .until("the search's result", "return document.querySelectorAll('table.clusters tbody tr').length === 1")
        .await;
}

async fn filters_survive_a_reload(browser: &Browser) {
    browser.open("/clusters").await;
    browser.client.find(Locator::Css("input[name=l]")).await.unwrap().send_keys("env=staging").await.unwrap();
    let phase = browser.client.find(Locator::Css("select[name=phase]")).await.unwrap();
    phase.select_by_value("Failed").await.unwrap();
    browser.client.find(Locator::Css("form.filter button")).await.unwrap().click().await.unwrap();
    browser.until("the filter in the address", "return location.search === '?l=env%3Dstaging&phase=Failed'").await;
    let shown = "return document.querySelector('select[name=phase]').value === 'Failed' \
        && document.querySelector('input[name=l]').value === 'env=staging' \
        && document.querySelectorAll('table.clusters tbody tr').length === 4";
    browser.until("the filter's result", shown).await;
    browser.client.refresh().await.unwrap();
    browser.until("the same after a reload", shown).await;
}

async fn break_and_repair_appear_without_a_reload(browser: &Browser, stage: &Stage) {
    browser.open("/").await;
    browser.until_live().await;
    let _: () = browser.run("window.loadedOnce = true").await;
    for (replicas, failed) in [(1, 0), (0, BREAKING), (1, 0)] {
        let since = Instant::now();
        stage.scale("helm-controller", replicas).await;
        let shown = format!(
            "const tile = [...document.querySelectorAll('.tiles a')].find(a => a.textContent.includes('Failed'));
             return window.loadedOnce && {failed} === (tile ? parseInt(tile.textContent) : 0)"
        );
        browser.until("the number of failed clusters", &shown).await;
        let took = since.elapsed();
        println!("ui: {failed} clusters Failed in the browser {:.2} s after the change", took.as_secs_f64());
        assert!(took < SHOWN_WITHIN, "{took:?}");
    }
}

async fn lost_connection_is_shown(browser: &Browser, stage: &mut Stage) {
    stage.stop_page();
    browser
        .until("the lost connection", "return !document.getElementById('lost').hidden && live.dataset.state === 'lost'")
        .await;
}
