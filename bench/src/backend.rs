//! A gRPC backend that costs little.

/// A gRPC backend that costs little.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
