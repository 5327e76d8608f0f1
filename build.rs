//! Compiles the report protocol with `protox`, which needs no installed `protoc`, and tells the program its compiler and
//! target, for `ksit version`.

use std::error::Error;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let file = "src/reports/reports.proto";
    println!("cargo:rerun-if-changed={file}");
    println!("cargo:rerun-if-changed=build.rs");
    let descriptors = protox::compile([file], ["src/reports"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    println!("cargo:rustc-env=KSIT_TARGET={}", std::env::var("TARGET")?);
    println!("cargo:rustc-env=KSIT_RUSTC={}", rustc_version()?);
    Ok(())
}

/// The version of the compiler, such as `1.95.0`.
fn rustc_version() -> Result<String, Box<dyn Error>> {
    let output = Command::new(std::env::var("RUSTC")?).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.split(' ').nth(1).ok_or_else(|| format!("rustc --version: {text}"))?;
    Ok(version.trim().to_owned())
}
