//! Small proxies on well-known libraries, to compare with.

/// Small proxies on well-known libraries, to compare with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: Args) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
