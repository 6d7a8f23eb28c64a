//! Compares the instructions of the hot steps with the numbers kept in the repository.

/// Compares the instructions of the hot steps with the numbers kept in the repository.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
