//! `echo-agent`: flags in, backend out.

use clap::Parser;
use switchboard_backend::Options;

/// Repeats what it is told; called as `echo-agent` through any router of the same registry.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  echo-agent                                      on port 50052, with the registry on this host
  echo-agent --listen 0                           on any free port: start as many as you like
  echo-agent --consul http://consul:8500          with another registry
  RUST_LOG=debug echo-agent --log-json            with more and with machine-readable logs"
)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { options } = Arguments::parse();
    Ok(echo_agent::backend().options(options).serve().await?)
}
