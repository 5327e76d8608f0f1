//! A container image of one static program, as a file that needs no container engine to be made.
//!
//! ```text
//! program ─> layer (tar, gzip) ─┐
//!                               ├─> blobs ─> OCI image layout, and Docker's manifest.json beside it ─> one tar
//! labels ─> config ─> manifest ─┘
//! ```
//!
//! The same program gives the same bytes: no clock, no user, no order of a file system gets in.

mod archive;
mod elf;
#[cfg(test)]
mod tests;

use serde_json::json;

use archive::{Blob, tar_of};

/// The user that the process runs as; it has no name. The chart's default is the same.
const USER: &str = "65532:65532";

/// Where the program is in the image.
const PROGRAM: &str = "ksit";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The start of Unix time: an image that says when it was made is never made twice.
const CREATED: &str = "1970-01-01T00:00:00Z";

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("it is not a Linux program (ELF, 64 bits)")]
    NotElf,
    #[error("it is for a machine of ELF number {0}; images are made for amd64 and arm64")]
    Machine(u16),
    #[error(
        "it needs a dynamic loader, which an empty image doesn't have; build it with RUSTFLAGS='-C \
         target-feature=+crt-static', as `make image` does"
    )]
    Dynamic,
    #[error("the archive: {0}")]
    Io(#[from] std::io::Error),
}

/// The archive of an image called `name:tag` in which `program` is all there is. `revision` is the commit that it was
/// built from.
///
/// containerd, `kind load image-archive`, `docker load`, `podman load` and `skopeo` read it.
pub fn archive(program: &[u8], name: &str, tag: &str, revision: Option<&str>) -> Result<Vec<u8>, ImageError> {
    let architecture = elf::architecture(program)?;
    let files = tar_of(&[(PROGRAM, program, 0o555)])?;
    let layer = Blob::gzip(&files)?;
    let config = Blob::json(&json!({
        "created": CREATED,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": USER,
            "Entrypoint": [format!("/{PROGRAM}")],
            "WorkingDir": "/",
            "Labels": labels(tag, revision),
        },
        "rootfs": { "type": "layers", "diff_ids": [archive::digest(&files)] },
        "history": [{ "created": CREATED, "comment": "the program, and nothing else" }],
    }));
    let manifest = Blob::json(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(CONFIG),
        "layers": [layer.descriptor(LAYER)],
    }));
    let mut described = manifest.descriptor(MANIFEST);
    described["platform"] = json!({ "architecture": architecture, "os": "linux" });
    described["annotations"] = json!({
        "io.containerd.image.name": full_name(name, tag),
        "org.opencontainers.image.ref.name": tag,
    });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described] });
    let docker = json!([{ "Config": config.path(), "RepoTags": [format!("{name}:{tag}")], "Layers": [layer.path()] }]);
    let (index, docker) = (index.to_string(), docker.to_string());
    let mut entries: Vec<(String, &[u8])> = vec![
        ("index.json".to_owned(), index.as_bytes()),
        ("manifest.json".to_owned(), docker.as_bytes()),
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#),
    ];
    entries.extend([&config, &layer, &manifest].map(|blob| (blob.path(), blob.bytes())));
    entries.sort();
    let entries: Vec<(&str, &[u8], u32)> =
        entries.iter().map(|(path, content)| (path.as_str(), *content, 0o444)).collect();
    Ok(tar_of(&entries)?)
}

fn labels(tag: &str, revision: Option<&str>) -> serde_json::Value {
    let mut labels = json!({
        "org.opencontainers.image.title": PROGRAM,
        "org.opencontainers.image.description":
            "Tells whether the tools on your Kubernetes clusters (Argo CD, Flux, Prometheus, Istio, cert-manager, …) work.",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": tag,
    });
    if let Some(revision) = revision {
        labels["org.opencontainers.image.revision"] = json!(revision);
    }
    labels
}

/// As the kubelet asks for it: `ksit` is `docker.io/library/ksit`.
fn full_name(name: &str, tag: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}:{tag}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => format!("{name}:{tag}"),
        Some(_) => format!("docker.io/{name}:{tag}"),
    }
}
