//! What is made from the code and from other files is as that makes it. `make manifests` mends it: it runs these tests
//! with KSIT_UPDATE=1, which has them write what they would compare.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

mod chart;
mod commands;
mod readme;
mod target_rights;
mod values;

use std::fs;
use std::path::Path;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The file must be `expected`.
pub fn generated(path: &str, expected: &str) {
    let full = root().join(path);
    if std::env::var_os("KSIT_UPDATE").is_some() {
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        return fs::write(full, expected).unwrap();
    }
    let stored = fs::read_to_string(&full).unwrap_or_default();
    assert_eq!(stored, expected, "{path}: run `make manifests`");
}

/// Between the marks `<!-- NAME -->` and `<!-- /NAME -->` the file must say `expected`.
pub fn generated_between(path: &str, name: &str, expected: &str) {
    let text = read(path);
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = text.split_once(&open).unwrap_or_else(|| panic!("{path} has no mark {open}"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{path} has no mark {close}"));
    generated(path, &format!("{before}{open}{expected}{close}{after}"));
}
