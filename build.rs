//! Compiles the report protocol with `protox`, which needs no installed `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = "src/reports/reports.proto";
    println!("cargo:rerun-if-changed={file}");
    let descriptors = protox::compile([file], ["src/reports"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
