//! Compiles the protocol of reports; `protox` reads it, so that no `protoc` has to be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "src/reports/reports.proto";
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["src/reports"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
