//! Compiles the protos without protoc: code for messages, clients and servers, and one descriptor set.

use prost::Message;
use std::{env, fs, path::PathBuf};

/// Every proto of the contract, relative to this crate.
const FILES: [&str; 3] =
    ["agent_platform.proto", "switchboard/route.proto", "switchboard/agent_platform_routes.proto"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for file in FILES {
        println!("cargo:rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler.include_imports(true).include_source_info(false).open_files(FILES)?;

    // The compiler's own encoding keeps extension options (the routes); prost's types would drop them.
    let with_options = compiler.encode_file_descriptor_set();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptor_set.bin"), &with_options)?;

    let set = tonic_prost_build::FileDescriptorSet::decode(with_options.as_slice())?;
    tonic_prost_build::configure().compile_fds(set)?;
    Ok(())
}
