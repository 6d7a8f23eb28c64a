//! Starts every contender, measures them in turn, and writes the results.

/// Starts every contender, measures them in turn, and writes the results.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
