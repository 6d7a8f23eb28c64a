//! What a call costs as services, instances, connections and streams grow.

/// What a call costs as services, instances, connections and streams grow.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
