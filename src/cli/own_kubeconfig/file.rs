//! Reads one kubeconfig file as kubectl does: of equal keys the last counts, entries of one list have different names,
//! and paths are relative to the file.

use std::collections::BTreeSet;
use std::path::Path;

use kube::config::{AuthInfo, Kubeconfig, KubeconfigError};

use serde_json::Value;

use crate::hub::of_kubeconfig;
use crate::targets::kubeconfig::without_end_markers;

/// The file, or a message that names the path and the place in it, and never quotes it.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, String> {
    let place = |message: String| format!("{}: {message}", path.display());
    let bytes = std::fs::read(path).map_err(|error| place(error.to_string()))?;
    let text = decoded(&bytes).ok_or_else(|| place("it is neither UTF-8 nor UTF-16 text".to_owned()))?;
    let mut file = parse(&text).map_err(place)?;
    resolve_paths(&mut file, path);
    Ok(file)
}

/// The text, which PowerShell writes as UTF-16.
fn decoded(bytes: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        _ => Some(std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').to_owned()),
    }
}

fn parse(text: &str) -> Result<Kubeconfig, String> {
    let text = without_end_markers(text);
    if text.lines().all(|line| line.trim().is_empty() || line.starts_with('#')) {
        return Ok(Kubeconfig::default());
    }
    let options = serde_saphyr::options! {
        // Snippets would quote the file, which holds credentials.
        with_snippet: false,
        duplicate_keys: serde_saphyr::options::DuplicateKeyPolicy::LastWins,
    };
    let read = serde_saphyr::from_str_with_options::<Value>(text, options);
    let mut value = read.map_err(|error| of_kubeconfig(&KubeconfigError::Parse(Box::new(error))))?;
    for list in ["clusters", "contexts", "users"] {
        if let Some(entries) = value.get_mut(list).and_then(Value::as_array_mut) {
            entries.retain(|entry| !entry.is_null());
        }
    }
    let file: Kubeconfig = serde_json::from_value(value).map_err(|_| mistyped(text))?;
    unique("clusters", file.clusters.iter().map(|entry| entry.name.as_str()))?;
    unique("contexts", file.contexts.iter().map(|entry| entry.name.as_str()))?;
    unique("users", file.auth_infos.iter().map(|entry| entry.name.as_str()))?;
    Ok(file)
}

/// The place of a value with another type than in a kubeconfig, which only a typed reading of the text tells.
fn mistyped(text: &str) -> String {
    let options = serde_saphyr::options! { with_snippet: false };
    match serde_saphyr::from_str_with_options::<Kubeconfig>(text, options) {
        Err(error) => of_kubeconfig(&KubeconfigError::Parse(Box::new(error))),
        Ok(_) => "it is not the YAML of a kubeconfig".to_owned(),
    }
}

/// kubectl refuses a list with two entries of one name: which of them counts would be chance.
fn unique<'a>(list: &str, names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    let twice = names.into_iter().find(|name| !seen.insert(*name));
    twice.map_or(Ok(()), |name| Err(format!("{list} has two entries named {name}; keep one")))
}

/// Paths in a kubeconfig are relative to it; the command of a plugin only if it has a slash.
fn resolve_paths(file: &mut Kubeconfig, path: &Path) {
    let Some(folder) = path.parent() else { return };
    let resolve = |field: &mut Option<String>| {
        if let Some(relative) = field.as_ref().filter(|path| !path.is_empty() && Path::new(path).is_relative()) {
            *field = Some(folder.join(relative).display().to_string());
        }
    };
    file.clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
        .for_each(|cluster| resolve(&mut cluster.certificate_authority));
    for user in file.auth_infos.iter_mut().filter_map(|named| named.auth_info.as_mut()) {
        let AuthInfo { client_certificate, client_key, token_file, exec, .. } = user;
        [client_certificate, client_key, token_file].into_iter().for_each(resolve);
        if let Some(exec) = exec
            && exec.command.as_ref().is_some_and(|command| command.contains(std::path::MAIN_SEPARATOR))
        {
            resolve(&mut exec.command);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_that_kubectl_reads_is_read() {
        for text in [
            "current-context: a\ncurrent-context: b\n",
            "current-context: b\n---\n",
            "current-context: b\nusers: [null, {name: u, user: {token: t}}]\n...\n",
            "current-context: b\nclusters: [{name: c, cluster: {server: x, certificate-authority-data: !!binary TFMw}}]\n",
        ] {
            assert_eq!(parse(text).unwrap().current_context.as_deref(), Some("b"), "{text}");
        }
        for empty in ["", "---\n", "# nothing\n"] {
            assert!(parse(empty).unwrap().contexts.is_empty(), "{empty}");
        }
        let wide: Vec<u8> =
            [0xFEFF].into_iter().chain("kind: Config".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        assert_eq!(decoded(&wide).as_deref(), Some("kind: Config"));
    }

    #[test]
    fn two_entries_of_one_name_are_refused_as_by_kubectl() {
        let text = "users: [{name: u, user: {token: planted}}, {name: u, user: {token: planted}}]\n";
        assert_eq!(parse(text).unwrap_err(), "users has two entries named u; keep one");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let text = "clusters: [{name: c, cluster: {server: 'https://c', certificate-authority: ca.crt}}]\n\
            users: [{name: u, user: {tokenFile: /t, client-key: k, exec: {command: ./p}}}, {name: v, user: {exec: {command: aws}}}]";
        let mut file = parse(text).unwrap();
        resolve_paths(&mut file, Path::new("/home/me/.kube/config"));
        let cluster = file.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.certificate_authority.as_deref(), Some("/home/me/.kube/ca.crt"));
        let user = file.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!((user.token_file.as_deref(), user.client_key.as_deref()), (Some("/t"), Some("/home/me/.kube/k")));
        let command = |index: usize| file.auth_infos[index].auth_info.as_ref()?.exec.as_ref()?.command.clone();
        assert_eq!((command(0).as_deref(), command(1).as_deref()), (Some("/home/me/.kube/./p"), Some("aws")));
    }
}
