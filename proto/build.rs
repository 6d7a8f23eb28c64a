//! Compiles the protos without protoc: code for messages, clients and servers, and one descriptor set.

use prost::Message;
use std::{env, fs, path::PathBuf};

/// Every proto of the contract, relative to this crate.
const FILES: [&str; 15] = [
    "agent_platform.proto",
    "switchboard/route.proto",
    "switchboard/agent_platform_routes.proto",
    "goclaw/v1/common.proto",
    "goclaw/v1/workflow.proto",
    "goclaw/v1/streaming.proto",
    "goclaw/v1/batch.proto",
    "goclaw/v1/admin.proto",
    "goclaw/v1/saga.proto",
    "goclaw/v1/signal.proto",
    // Switchboard's additions.
    "goclaw/v1/options.proto",
    "goclaw/v1/worker.proto",
    "goclaw/v1/control.proto",
    "goclaw/v1/schedule.proto",
    "goclaw/v1/operator.proto",
];

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
    tonic_prost_build::configure()
        // In one order, so that the same request is the same bytes: repeated ones are recognised by their hash.
        .btree_map(".goclaw.v1")
        .compile_fds(set)?;
    Ok(())
}
