use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::{ImageError, archive, layout};
use crate::packing::digest;

const AMD64: u16 = 62;
const ARM64: u16 = 183;
const PT_LOAD: u32 = 1;
const PT_INTERP: u32 = 3;

/// A minimal program: an ELF header and one program header.
fn program(machine: u16, header: u32) -> Vec<u8> {
    let mut program = vec![0; 64 + 56];
    program[..6].copy_from_slice(b"\x7fELF\x02\x01");
    program[18..20].copy_from_slice(&machine.to_le_bytes());
    program[32..40].copy_from_slice(&64_u64.to_le_bytes());
    program[54..56].copy_from_slice(&56_u16.to_le_bytes());
    program[56..58].copy_from_slice(&1_u16.to_le_bytes());
    program[64..68].copy_from_slice(&header.to_le_bytes());
    program
}

struct Entry {
    content: Vec<u8>,
    mode: u32,
    owner: (u64, u64),
    time: u64,
}

fn entries(tar: &[u8]) -> BTreeMap<String, Entry> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let read = Entry { content, mode: header.mode().unwrap(), owner, time: header.mtime().unwrap() };
        entries.insert(entry.path().unwrap().display().to_string(), read);
    }
    entries
}

/// The blob of a descriptor, checked against its size and digest.
fn blob<'a>(entries: &'a BTreeMap<String, Entry>, descriptor: &Value) -> &'a [u8] {
    let named = descriptor["digest"].as_str().unwrap();
    let content = &entries[&format!("blobs/{}", named.replace(':', "/"))].content;
    assert_eq!((descriptor["size"].as_u64().unwrap(), named), (content.len() as u64, digest(content).as_str()));
    content
}

#[test]
fn image_contains_only_the_program_and_runs_as_non_root() {
    let program = program(ARM64, PT_LOAD);
    let entries = entries(&archive(&program, "ksit", "1.2.3", Some("abc")).unwrap());
    assert!(entries.values().all(|entry| entry.time == 0 && entry.owner == (0, 0)));
    assert_eq!(entries["oci-layout"].content, br#"{"imageLayoutVersion":"1.0.0"}"#);
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();

    let index = json(&entries["index.json"].content);
    let described = &index["manifests"][0];
    assert_eq!(described["annotations"]["io.containerd.image.name"], "docker.io/library/ksit:1.2.3");
    assert_eq!(described["platform"]["architecture"], "arm64");
    let manifest = json(blob(&entries, described));
    let config = json(blob(&entries, &manifest["config"]));
    assert_eq!((&config["architecture"], &config["os"]), (&"arm64".into(), &"linux".into()));
    assert_eq!(
        (&config["config"]["User"], &config["config"]["Entrypoint"][0]),
        (&"65532:65532".into(), &"/ksit".into())
    );
    let labels = &config["config"]["Labels"];
    assert_eq!(labels["org.opencontainers.image.version"], "1.2.3");
    assert_eq!(labels["org.opencontainers.image.revision"], "abc");

    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    let mut layer = Vec::new();
    GzDecoder::new(blob(&entries, &layers[0])).read_to_end(&mut layer).unwrap();
    assert_eq!(config["rootfs"]["diff_ids"][0], digest(&layer));
    let files = super::tests::entries(&layer);
    assert_eq!(files.keys().collect::<Vec<_>>(), ["ksit"]);
    let file = &files["ksit"];
    assert_eq!((&file.content, file.mode, file.owner, file.time), (&program, 0o555, (0, 0), 0));

    // The manifest for `docker load` names the same blobs.
    let docker = json(&entries["manifest.json"].content);
    assert_eq!(docker[0]["RepoTags"][0], "ksit:1.2.3");
    for path in [&docker[0]["Config"], &docker[0]["Layers"][0]] {
        assert!(entries.contains_key(path.as_str().unwrap()), "{path}");
    }
    assert_eq!(entries.len(), 6, "{:?}", entries.keys());
}

#[test]
fn layout_has_an_image_for_each_machine() {
    let (first, second) = (program(AMD64, PT_LOAD), program(ARM64, PT_LOAD));
    let layout = layout(&[first.clone(), second.clone()], "1.2.3", None).unwrap();
    let file = |path: &str| layout.files.iter().find(|(name, _)| name == path).map(|(_, bytes)| bytes.as_slice());
    let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
    let blob = |descriptor: &Value| {
        let named = descriptor["digest"].as_str().unwrap();
        let content = file(&format!("blobs/{}", named.replace(':', "/"))).unwrap();
        assert_eq!(digest(content), named);
        content
    };
    let top = json(file("index.json").unwrap());
    assert_eq!(top["manifests"][0]["digest"], layout.digest);
    let index = json(blob(&top["manifests"][0]));
    let platforms: Vec<&Value> =
        index["manifests"].as_array().unwrap().iter().map(|one| &one["platform"]["architecture"]).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    for (descriptor, program) in index["manifests"].as_array().unwrap().iter().zip([first, second]) {
        let manifest = json(blob(descriptor));
        assert_eq!(json(blob(&manifest["config"]))["architecture"], descriptor["platform"]["architecture"]);
        let mut layer = Vec::new();
        GzDecoder::new(blob(&manifest["layers"][0])).read_to_end(&mut layer).unwrap();
        assert_eq!(entries(&layer)["ksit"].content, program);
    }
    // Two index files, `oci-layout`, and manifest, config and layer of each image.
    assert_eq!(layout.files.len(), 9);
}

#[test]
fn image_is_reproducible() {
    let make = || archive(&program(AMD64, PT_LOAD), "ghcr.io/someone/ksit", "1", None).unwrap();
    assert_eq!(make(), make());
}

#[test]
fn program_that_needs_more_than_an_empty_image_is_refused() {
    let refused = |program: &[u8]| archive(program, "ksit", "1", None).unwrap_err();
    assert!(matches!(refused(&program(AMD64, PT_INTERP)), ImageError::Dynamic));
    assert!(matches!(refused(&program(40, PT_LOAD)), ImageError::Machine(40)));
    assert!(matches!(refused(b"#!/bin/sh"), ImageError::NotElf));
    assert!(matches!(refused(b"\x7fELF\x02\x01"), ImageError::NotElf));
}

#[test]
fn dockerfile_has_the_same_labels_user_and_entrypoint() {
    let dockerfile = include_str!("../../../../Dockerfile").replace("\"", "");
    let labels = super::labels(env!("CARGO_PKG_VERSION"), None);
    for (label, value) in labels.as_object().unwrap() {
        let value = value.as_str().unwrap();
        let expected = match label.rsplit('.').next() {
            Some("version") => format!("ARG VERSION={value}"),
            _ => format!("{label}={value}"),
        };
        assert!(dockerfile.contains(&expected), "{expected}");
    }
    assert!(dockerfile.contains(&format!("USER {}", super::USER)));
    assert!(dockerfile.contains("ENTRYPOINT [/ksit]"));
}
