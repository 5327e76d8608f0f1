//! Collects the paths that a file names in `use` trees, code, attributes and macros, and resolves them.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, ItemExternCrate, ItemMod, ItemUse, Lit, Macro, Meta, UseTree, VisRestricted};

/// Segments of a path. A path within the crate begins with `crate`; a glob ends in `*`.
pub type Segments = Vec<String>;

/// The crate's name for itself, in its programs, tests and examples.
const OWN_NAME: &str = "ksit";

/// The resolved paths of a file that is `module`. `self`, `super` and imported names are replaced by their paths, so
/// `use std::time;` makes `time::Instant` a `std::time::Instant`. Names are resolved for each file, not each block.
pub fn paths(file: &syn::File, module: &[String]) -> BTreeSet<Segments> {
    let mut collector = Collector { module: module.to_vec(), ..Collector::default() };
    collector.visit_file(file);
    let Collector { found, imports, .. } = collector;
    found.into_iter().map(|path| expand(path, &imports)).collect()
}

/// Replaces the first segment by the path that it was imported from, also through several imports.
fn expand(mut path: Segments, imports: &BTreeMap<String, Segments>) -> Segments {
    for _ in 0..imports.len() {
        match imports.get(&path[0]) {
            Some(imported) if imported[0] != path[0] => drop(path.splice(..1, imported.iter().cloned())),
            _ => break,
        }
    }
    path
}

#[derive(Default)]
struct Collector {
    module: Vec<String>,
    found: BTreeSet<Segments>,
    /// Names that `use` lines bring into scope, with their paths.
    imports: BTreeMap<String, Segments>,
}

impl Collector {
    /// Makes a path that begins with `self`, `super` or the crate's name begin with `crate`.
    fn resolve(&self, path: &[String]) -> Segments {
        let (mut module, mut rest) = (self.module.as_slice(), path);
        while let [first, behind @ ..] = rest {
            match first.as_str() {
                "self" => {}
                "super" => module = module.split_last().map_or(&[], |(_, parents)| parents),
                "crate" | OWN_NAME => module = &[],
                _ => break,
            }
            rest = behind;
        }
        match rest.len() == path.len() {
            true => path.to_vec(),
            false => [&["crate".to_owned()], module, rest].concat(),
        }
    }

    fn record(&mut self, path: &[String]) {
        let resolved = self.resolve(path);
        self.found.insert(resolved);
    }

    fn import(&mut self, name: String, path: &[String]) {
        self.record(path);
        self.imports.insert(name, self.resolve(path));
    }

    fn use_tree(&mut self, tree: &UseTree, prefix: &[String]) {
        let below = |name: String| {
            if name == "self" && !prefix.is_empty() { prefix.to_vec() } else { [prefix, &[name]].concat() }
        };
        match tree {
            UseTree::Path(path) => self.use_tree(&path.tree, &[prefix, &[path.ident.to_string()]].concat()),
            UseTree::Name(name) => {
                let path = below(name.ident.to_string());
                self.import(path.last().cloned().unwrap_or_default(), &path);
            }
            UseTree::Rename(rename) => self.import(rename.rename.to_string(), &below(rename.ident.to_string())),
            UseTree::Glob(_) => self.record(&below("*".to_owned())),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, prefix)),
        }
    }

    fn text(&mut self, text: &str) {
        paths_in_text(text).iter().for_each(|path| self.record(path));
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.use_tree(&item.tree, &[]);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast ItemExternCrate) {
        let name = item.rename.as_ref().map_or(&item.ident, |(_, name)| name);
        let path = if item.ident == "self" { "crate".to_owned() } else { item.ident.to_string() };
        self.import(name.to_string(), &[path]);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.module.pop();
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.record(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast Macro) {
        self.text(&called.tokens.to_string());
        visit::visit_macro(self, called);
    }

    /// Also strings, as in `#[serde(with = "crate::api::time")]`, but not docs.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        self.visit_path(attribute.path());
        match &attribute.meta {
            Meta::List(list) => self.text(&list.tokens.to_string()),
            Meta::NameValue(pair) if !pair.path.is_ident("doc") => match &pair.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => self.text(&text.value()),
                other => self.visit_expr(other),
            },
            _ => {}
        }
    }

    /// `pub(in super::super)` uses nothing.
    fn visit_vis_restricted(&mut self, _: &'ast VisRestricted) {}
}

/// The paths of two or more segments in the text of tokens, with groups as in `use` trees.
fn paths_in_text(text: &str) -> Vec<Segments> {
    let tokens = tokens(text);
    let (mut at, mut found) = (0, Vec::new());
    while at < tokens.len() {
        at = path_at(&tokens, at, &[], &mut found).max(at + 1);
    }
    found.retain(|path| path.len() > 1);
    found
}

/// Identifiers, `::`, and any other character as a token of its own.
fn tokens(text: &str) -> Vec<&str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let (mut rest, mut tokens) = (text.trim_start(), Vec::new());
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|c| !is_name(c)).unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            name => name,
        };
        let (token, behind) = rest.split_at(length);
        tokens.push(token);
        rest = behind.trim_start();
    }
    tokens
}

/// Reads the path or the group that begins at a token, and returns the position behind it.
fn path_at(tokens: &[&str], mut at: usize, prefix: &[String], found: &mut Vec<Segments>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        match tokens.get(at) {
            Some(&"{") if !path.is_empty() => {
                at += 1;
                while tokens.get(at).is_some_and(|token| *token != "}") {
                    at = path_at(tokens, at, &path, found).max(at + 1);
                }
                return at + 1;
            }
            Some(&"*") if !path.is_empty() => path.push("*".to_owned()),
            Some(&"self") if !path.is_empty() => {}
            Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => path.push((*name).to_owned()),
            _ => break,
        }
        at += 1;
        if tokens.get(at) != Some(&"::") {
            break;
        }
        at += 1;
    }
    if path.len() > prefix.len() || tokens.get(at.wrapping_sub(1)) == Some(&"self") {
        found.push(path);
    }
    at
}

/// The paths in a piece of code of the module `targets::wire`, joined with `::`.
fn found(code: &str) -> Vec<String> {
    let module = ["targets", "wire"].map(str::to_owned);
    paths(&syn::parse_file(code).unwrap(), &module).into_iter().map(|path| path.join("::")).collect()
}

#[test]
fn paths_in_use_trees_are_resolved() {
    assert_eq!(found("use crate::{hub, targets::Pool};"), ["crate::hub", "crate::targets::Pool"]);
    assert_eq!(
        found("use crate::hub::{self, watch::{Change, Key as K}};"),
        ["crate::hub", "crate::hub::watch::Change", "crate::hub::watch::Key"]
    );
    assert_eq!(found("use {super::pool::*, super::super::hub};"), ["crate::hub", "crate::targets::pool::*"]);
    assert_eq!(found("use self::super::super::{hub as other};"), ["crate::hub"]);
    assert_eq!(found("use ::ksit::hub; pub use crate::api;"), ["crate::api", "crate::hub"]);
    assert_eq!(found("fn f() { use crate::hub::*; }"), ["crate::hub::*"]);
    assert_eq!(found("use std::{fs, net::IpAddr};"), ["std::fs", "std::net::IpAddr"]);
}

#[test]
fn paths_in_code_are_resolved() {
    assert_eq!(
        found("fn f(a: &crate::hub::Key) -> Vec<super::super::api::Phase> { g() }"),
        ["crate::api::Phase", "crate::hub::Key"]
    );
    assert_eq!(
        found("fn f() { super::super::hub::go::<crate::api::Phase>() }"),
        ["crate::api::Phase", "crate::hub::go"]
    );
    assert_eq!(found("mod tests { fn f() { super::super::super::hub::go() } }"), ["crate::hub::go"]);
    assert_eq!(found("mod tests { use super::*; }"), ["crate::targets::wire::*"]);
    assert_eq!(
        found("impl crate::hub::Api for X {} fn f() { <X as crate::api::Api>::go() }"),
        ["crate::api::Api::go", "crate::hub::Api"]
    );
    assert_eq!(found("pub(in super::super) fn f() {} pub(crate) fn g() {}"), [""; 0]);
}

#[test]
fn paths_through_imported_names_are_resolved() {
    assert!(found("use std::time; fn f() { time::Instant::now() }").contains(&"std::time::Instant::now".to_owned()));
    assert!(found("use std as s; fn f() { s::fs::read(x) }").contains(&"std::fs::read".to_owned()));
    assert!(found("use jiff::Timestamp as T; fn f() { T::now() }").contains(&"jiff::Timestamp::now".to_owned()));
    assert_eq!(found("use super::super as top; fn f() { top::hub::go() }"), ["crate", "crate::hub::go"]);
    assert_eq!(found("extern crate self as top; use top::hub;"), ["crate", "crate::hub"]);
}

#[test]
fn paths_in_macros_and_attributes_are_resolved() {
    assert_eq!(found("fn f() { assert!(crate::hub::ok(super::x)) }"), ["crate::hub::ok", "crate::targets::x"]);
    assert_eq!(found("fn f() { tracing::info!(\"no path: here\") }"), ["tracing::info"]);
    assert_eq!(
        found("macro_rules! m { () => { use $crate::{hub, api::{self, Phase}}; } }"),
        ["crate::api", "crate::api::Phase", "crate::hub"]
    );
    assert_eq!(found("#[serde(with = \"crate::api::time\")] struct A;"), ["crate::api::time"]);
    assert_eq!(found("#[tokio::test] async fn f() {}"), ["tokio::test"]);
    assert_eq!(found("//! [crate::hub]\n/// [`crate::hub`]\nstruct A;"), [""; 0]);
}
