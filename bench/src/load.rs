//! Calls a target as fast as it answers, or at a rate, and says what that took.

/// Calls a target as fast as it answers, or at a rate, and says what that took.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
