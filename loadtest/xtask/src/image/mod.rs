//! Builds a container image of one static program as a file, without a container engine.
//!
//! ```text
//! program ─> layer (tar, gzip) ─┐
//!                               ├─> blobs ─> OCI image layout, plus Docker's manifest.json ─> one tar
//! labels ─> config ─> manifest ─┘
//! ```
//!
//! Reproducible: the output does not depend on the clock, the user or the order of a directory.

mod elf;
#[cfg(test)]
mod tests;

use serde_json::json;

use crate::packing::{Blob, digest, tar_of};

/// User and group of the process, without a name; equal to the chart's default.
const USER: &str = "65532:65532";

/// Path of the program in the image.
const PROGRAM: &str = "ksit";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Content of the file `oci-layout`.
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The Unix epoch: a real creation time would make the image unreproducible.
const CREATED: &str = "1970-01-01T00:00:00Z";

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("not a 64-bit Linux program (ELF)")]
    NotElf,
    #[error("built for ELF machine {0}; only amd64 and arm64 are supported")]
    Machine(u16),
    #[error(
        "dynamically linked, but an empty image has no loader; build with RUSTFLAGS='-C \
         target-feature=+crt-static', as `make image` does"
    )]
    Dynamic,
    #[error("the archive: {0}")]
    Io(#[from] std::io::Error),
}

/// The archive of an image `name:tag` that contains only `program`. `revision` is the commit it was built from.
///
/// containerd, `kind load image-archive`, `docker load`, `podman load` and `skopeo` read it.
pub fn archive(program: &[u8], name: &str, tag: &str, revision: Option<&str>) -> Result<Vec<u8>, ImageError> {
    let Image { config, layer, manifest, architecture } = Image::new(program, tag, revision)?;
    let mut described = manifest.descriptor(MANIFEST);
    described["platform"] = json!({ "architecture": architecture, "os": "linux" });
    described["annotations"] = json!({
        "io.containerd.image.name": full_name(name, tag),
        "org.opencontainers.image.ref.name": tag,
    });
    let index = index(&[described]);
    let docker = json!([{ "Config": config.path(), "RepoTags": [format!("{name}:{tag}")], "Layers": [layer.path()] }]);
    let (index, docker) = (index.to_string(), docker.to_string());
    let mut entries: Vec<(String, &[u8])> = vec![
        ("index.json".to_owned(), index.as_bytes()),
        ("manifest.json".to_owned(), docker.as_bytes()),
        ("oci-layout".to_owned(), LAYOUT),
    ];
    entries.extend([&config, &layer, &manifest].map(|blob| (blob.path(), blob.bytes())));
    entries.sort();
    let entries: Vec<(&str, &[u8], u32)> =
        entries.iter().map(|(path, content)| (path.as_str(), *content, 0o444)).collect();
    Ok(tar_of(&entries, 0)?)
}

/// The files of an OCI image layout of one image for several machines.
pub struct Layout {
    /// Path and content of each file.
    pub files: Vec<(String, Vec<u8>)>,
    /// Digest of the image: of the index of its manifests.
    pub digest: String,
}

/// The layout of one image for the machines of `programs`, to be pushed to a registry.
///
/// # Errors
/// If a program could not run in an empty image.
pub fn layout(programs: &[Vec<u8>], tag: &str, revision: Option<&str>) -> Result<Layout, ImageError> {
    let (mut files, mut described) = (vec![("oci-layout".to_owned(), LAYOUT.to_vec())], Vec::new());
    for program in programs {
        let Image { config, layer, manifest, architecture } = Image::new(program, tag, revision)?;
        let mut descriptor = manifest.descriptor(MANIFEST);
        descriptor["platform"] = json!({ "architecture": architecture, "os": "linux" });
        described.push(descriptor);
        files.extend([config, layer, manifest].map(|blob| (blob.path(), blob.bytes().to_vec())));
    }
    let image = Blob::json(&index(&described));
    files.push(("index.json".to_owned(), index(&[image.descriptor(INDEX)]).to_string().into_bytes()));
    files.push((image.path(), image.bytes().to_vec()));
    Ok(Layout { files, digest: image.digest().to_owned() })
}

/// The blobs of an image for one machine.
struct Image {
    config: Blob,
    layer: Blob,
    manifest: Blob,
    architecture: &'static str,
}

impl Image {
    fn new(program: &[u8], tag: &str, revision: Option<&str>) -> Result<Self, ImageError> {
        let architecture = elf::architecture(program)?;
        let files = tar_of(&[(PROGRAM, program, 0o555)], 0)?;
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
            "rootfs": { "type": "layers", "diff_ids": [digest(&files)] },
            "history": [{ "created": CREATED, "comment": "the program, and nothing else" }],
        }));
        let manifest = Blob::json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config.descriptor(CONFIG),
            "layers": [layer.descriptor(LAYER)],
        }));
        Ok(Self { config, layer, manifest, architecture })
    }
}

fn index(manifests: &[serde_json::Value]) -> serde_json::Value {
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests })
}

fn labels(tag: &str, revision: Option<&str>) -> serde_json::Value {
    let mut labels = json!({
        "org.opencontainers.image.title": PROGRAM,
        "org.opencontainers.image.description":
            "Tells whether the tools on your Kubernetes clusters (Argo CD, Flux, Prometheus, Istio, cert-manager, …) work.",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.source": env!("CARGO_PKG_REPOSITORY"),
        "org.opencontainers.image.version": tag,
    });
    if let Some(revision) = revision {
        labels["org.opencontainers.image.revision"] = json!(revision);
    }
    labels
}

/// The fully qualified name, as used by the kubelet: `ksit` is `docker.io/library/ksit`.
fn full_name(name: &str, tag: &str) -> String {
    match name.split_once('/') {
        None => format!("docker.io/library/{name}:{tag}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => format!("{name}:{tag}"),
        Some(_) => format!("docker.io/{name}:{tag}"),
    }
}
