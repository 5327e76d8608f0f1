//! Does all of a release on this machine.

use std::path::Path;

use testkit::Tool;
use testkit::kind::run;

use super::assemble::{IMAGE, archives, image_digest, program};
use super::publish::{Published, same};
use super::registry::Registry;
use super::{
    Platform, ReleaseError, VERSION, archive, assemble, check_tag, names, on_kind, publish, read, run_tool, sums, write,
};
use crate::steps::Steps;

/// Makes a release of the archives and the SBOM in `dist`, publishes it to a registry on this machine,
/// and tries each way of installing it; with `kind`, on a cluster too.
///
/// # Errors
/// Names the step that failed.
pub async fn dry_run(dist: &Path, revision: Option<&str>, kind: bool) -> Result<(), ReleaseError> {
    let mut steps = Steps::default();
    let result = all(&mut steps, dist, revision, kind).await;
    steps.show();
    result
}

async fn all(steps: &mut Steps, dist: &Path, revision: Option<&str>, kind: bool) -> Result<(), ReleaseError> {
    steps
        .take("tag and chart have the version of Cargo.toml", async { check_tag(&format!("v{VERSION}"), None) })
        .await?;
    steps.take("image, chart, plugin and sums", assemble(dist, revision)).await?;
    steps.take("the same once more: equal files", repeated(dist, revision)).await?;
    steps.take("sha256sum --check", checked(dist)).await?;
    let registry = steps.take("a registry on this machine", Registry::start()).await?;
    let folder = format!("{}/ksit", registry.address);
    let published = steps.take("push image and chart, pull and compare", publish(dist, &folder, true)).await?;
    println!("    {}\n    {}", published.image.reference(), published.chart.reference());
    steps.take("push again: nothing changes", publish(dist, &folder, true)).await?;
    steps.take("push another image of the version: refused", refused(dist, &folder)).await?;
    steps.take("run the program of the pulled image", run_image(&published.image)).await?;
    steps.take("render the pulled chart", render(&folder)).await?;
    steps.take("install the kubectl plugin with krew", install_plugin(dist)).await?;
    if kind {
        let programs = tempfile::tempdir()?;
        let ksit = programs.path().join("ksit");
        write_program(&ksit, &program(&read(&dist.join(Platform::host()?.archive()))?)?)?;
        on_kind::install(steps, &ksit, &folder, &published.image).await?;
    }
    Ok(())
}

/// Makes the same files in another folder.
async fn repeated(dist: &Path, revision: Option<&str>) -> Result<(), ReleaseError> {
    let (programs, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let path = |platform: Platform| programs.path().join(platform.folder());
    let archives = archives(dist)?;
    for (platform, bytes) in &archives {
        write_program(&path(*platform), &program(bytes)?)?;
    }
    for (platform, _) in &archives {
        archive::make(&path(*platform), *platform, &path(Platform::host()?), other.path()).await?;
    }
    write(&other.path().join(names::sbom()), read(&dist.join(names::sbom()))?)?;
    let digest = assemble(other.path(), revision).await?;
    same("the image", &digest, &image_digest(&dist.join(IMAGE))?)?;
    same("the sums", &sums::of(other.path())?, &sums::of(dist)?)
}

async fn checked(dist: &Path) -> Result<(), ReleaseError> {
    sums::check(dist)?;
    let check =
        ["-c".to_owned(), format!("cd '{}' && sha256sum --check --strict --quiet {}", dist.display(), sums::FILE)];
    run("sh", &check, &[]).await.map(drop)
}

/// Tries to replace the published image by one with another label.
async fn refused(dist: &Path, folder: &str) -> Result<(), ReleaseError> {
    let other = tempfile::tempdir()?;
    for name in archives(dist)?.iter().map(|(platform, _)| platform.archive()).chain([names::sbom()]) {
        std::fs::copy(dist.join(&name), other.path().join(&name))?;
    }
    assemble(other.path(), Some("another")).await?;
    match publish(other.path(), folder, true).await {
        Err(error) if error.to_string().contains("published already") => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err("the image was replaced".into()),
    }
}

/// Runs the program in the image for this machine.
async fn run_image(image: &Published) -> Result<(), ReleaseError> {
    let folder = tempfile::tempdir()?;
    let (files, ksit) = (folder.path().join("files.tar"), folder.path().join("ksit"));
    let platform = format!("linux/{}", Platform::host()?.arch);
    let export = ["export", "--platform", &platform, &image.reference(), &files.display().to_string()];
    run_tool(Tool::Crane, &export, &[]).await?;
    let mut layer = tar::Archive::new(std::fs::File::open(&files)?);
    layer.unpack(folder.path())?;
    shows_version(&ksit, &["version", "--client"], &[]).await
}

/// Checks that a program prints the version of the release.
async fn shows_version(program: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Result<(), ReleaseError> {
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let text = run(&program.display().to_string(), &arguments, env).await?;
    let version = text.lines().next().and_then(|line| line.strip_prefix("ksit ")).unwrap_or_default().trim();
    same("the version", version, VERSION)?;
    println!("    {}", text.lines().map(str::trim).collect::<Vec<_>>().join("; "));
    Ok(())
}

/// Renders the chart of the registry, and looks for the images in it.
async fn render(folder: &str) -> Result<(), ReleaseError> {
    let chart = format!("oci://{}/ksit", names::charts(folder));
    let template = ["template", "ksit", &chart, "--version", VERSION, "--plain-http"];
    let default = run_tool(Tool::Helm, &template, &[]).await?;
    has_image(&default, &names::image(&names::registry()))?;
    let local = names::image(folder);
    let set = format!("image.repository={local}");
    has_image(&run_tool(Tool::Helm, &[&template[..], &["--set", &set]].concat(), &[]).await?, &local)
}

fn has_image(manifests: &str, image: &str) -> Result<(), ReleaseError> {
    let images: Vec<&str> = manifests.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    let expected = format!("{image}:{VERSION}");
    match !images.is_empty() && images.iter().all(|found| found.trim_matches('"') == expected) {
        true => Ok(()),
        false => Err(format!("the chart has the images {images:?} instead of {expected}").into()),
    }
}

/// Validates the manifest, installs the plugin from the archive, and runs it as kubectl does.
async fn install_plugin(dist: &Path) -> Result<(), ReleaseError> {
    let manifest = dist.join("ksit.yaml").display().to_string();
    run_tool(Tool::ValidateKrewManifest, &["-manifest", &manifest, "-skip-install"], &[]).await?;
    let root = tempfile::tempdir()?;
    let archive = dist.join(Platform::host()?.archive()).display().to_string();
    let env = [("KREW_ROOT", root.path().display().to_string()), ("KREW_NO_UPGRADE_CHECK", "1".to_owned())];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    run_tool(Tool::Krew, &["install", "--manifest", &manifest, "--archive", &archive], &env).await?;
    let kubectl = tokio::task::spawn_blocking(|| Tool::Kubectl.path()).await??;
    let path = format!("{}:{}", root.path().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    shows_version(&kubectl, &["ksit", "version", "--client"], &[("PATH", &path)]).await
}

fn write_program(path: &Path, bytes: &[u8]) -> Result<(), ReleaseError> {
    use std::os::unix::fs::PermissionsExt;
    write(path, bytes)?;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?)
}
