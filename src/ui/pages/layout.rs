//! The frame around all views.

use maud::{DOCTYPE, Markup, html};

use super::View;
use super::text;
use crate::lists::problems;

/// A view: its title, and the content below the navigation.
pub(in crate::ui) struct Page {
    pub(in crate::ui) title: String,
    pub(in crate::ui) main: Markup,
}

/// The views in the navigation: key, path and name.
const VIEWS: [(&str, &str, &str); 6] = [
    ("f", "/", "Fleet"),
    ("p", "/problems", "Problems"),
    ("c", "/clusters", "Clusters"),
    ("v", "/versions", "Versions"),
    ("h", "/history", "History"),
    ("r", "/replicas", "Replicas"),
];

/// A whole document. `stale` says why the statuses may be old; `None` while they are fresh.
pub(in crate::ui) fn document(view: &View, path: &str, page: &Page, stale: Option<&str>, signs_out: bool) -> Markup {
    let found = problems(view.visible()).len();
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(&page.title))
            body {
                a.skip href="#main" { "Skip to content" }
                header {
                    a.brand href="/" { "ksit" }
                    nav aria-label="Views" {
                        @for (key, target, name) in VIEWS {
                            a href=(view.params.scope().link(target)) data-key=(key) aria-current=[is_current(path, target).then_some("page")] {
                                (name)
                                @if target == "/problems" && found > 0 { " " span.badge { (found) } }
                            }
                        }
                    }
                    span #live role="status" { "not live" }
                    @if signs_out {
                        form method="post" action="/logout" { button type="submit" { "Sign out" } }
                    }
                }
                p #lost role="alert" hidden { }
                main #main tabindex="-1" { (body(page, stale)) }
                footer {
                    "Keys: " kbd { "/" } " search, " kbd { "g" } " then " kbd { "f" } " "
                    kbd { "p" } " " kbd { "c" } " " kbd { "v" } " " kbd { "h" } " " kbd { "r" } " for a view. "
                    "The same as JSON: " a href="/api/v1" { "/api/v1" }
                }
            }
        }
    }
}

/// The part of a document that changes.
pub(in crate::ui) fn body(page: &Page, stale: Option<&str>) -> Markup {
    html! {
        @if let Some(why) = stale { p.stale role="alert" { "These statuses may be old: " (text(why)) } }
        (page.main)
    }
}

/// A document that says why there is no page.
pub(in crate::ui) fn failure(title: &str, why: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body { main #main { h1 { (title) } p { (text(why)) } p { a href="/" { "Back to the fleet" } } } }
        }
    }
}

pub(super) fn head(title: &str) -> Markup {
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            title { (text(title)) " – ksit" }
            link rel="stylesheet" href="/assets/style.css";
            link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
            script type="module" src="/assets/app.js" {}
        }
    }
}

fn is_current(path: &str, target: &str) -> bool {
    if target == "/" { path == "/" || path == "/fleet" } else { path.starts_with(target) }
}
