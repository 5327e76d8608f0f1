//! Follows the `mod` lines of a crate, as the compiler does.

use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta};

use crate::{read, root};

/// A parsed file, and the module that it is: `[domain, slot]`; empty for the root of the crate.
pub struct Source {
    pub path: PathBuf,
    pub module: Vec<String>,
    pub file: syn::File,
}

/// The files of the crate with this root file.
pub fn sources(crate_root: &Path) -> Vec<Source> {
    let mut found = Vec::new();
    follow(crate_root, Vec::new(), crate_root.parent().unwrap(), &mut found);
    found
}

/// Parses a file and the modules that it declares in `folder`.
fn follow(path: &Path, module: Vec<String>, folder: &Path, found: &mut Vec<Source>) {
    let file = syn::parse_file(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut declared = Vec::new();
    declarations(&file.items, &module, folder, path.parent().unwrap(), &mut declared);
    found.push(Source { path: path.to_owned(), module, file });
    for Declared { path, module, is_usual } in declared {
        // The modules of a file named by `#[path]` are beside it, as those of a `mod.rs`.
        let is_beside = !is_usual || path.ends_with("mod.rs");
        let folder = if is_beside { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        follow(&path, module, &folder, found);
    }
}

struct Declared {
    path: PathBuf,
    module: Vec<String>,
    /// Whether the file is where the compiler looks for it without `#[path]`.
    is_usual: bool,
}

/// The files of the `mod NAME;` lines, with their modules. `beside` is the folder of the file itself.
fn declarations(items: &[Item], module: &[String], folder: &Path, beside: &Path, declared: &mut Vec<Declared>) {
    for item in items {
        let Item::Mod(item) = item else { continue };
        let name = item.ident.to_string();
        let module = [module, std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = &item.content {
            declarations(items, &module, &folder.join(&name), beside, declared);
            continue;
        }
        let usual = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")];
        let given = item.attrs.iter().find_map(path_attribute).map(|path| beside.join(path));
        let is_usual = given.is_none();
        let path = given.or_else(|| usual.into_iter().find(|path| root().join(path).exists()));
        let path = path.unwrap_or_else(|| panic!("no file for mod {}", module.join("::")));
        declared.push(Declared { path, module, is_usual });
    }
}

/// The file in `#[path = "FILE"]`.
fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}
