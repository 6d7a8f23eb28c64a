//! Runs one hot step of the router so many times and nothing else, for profilers and for `check`.

use anyhow::{Context, bail};
use std::thread;
use switchboard_router::steps::Step;

/// Runs one hot step of the router so many times.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One of the steps in `switchboard_router::steps`.
    name: String,
    /// How many times.
    #[arg(long, default_value_t = 100_000)]
    iterations: u64,
}

/// On a thread of its own, as worker threads are: its memory does not depend on what the program did before.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let run = thread::spawn(move || {
        let known = || Step::names().collect::<Vec<_>>().join(", ");
        let step = Step::new(&args.name);
        step.with_context(|| format!("no step is called {}; there are: {}", args.name, known()))?
            .run(args.iterations);
        Ok(())
    });
    run.join().unwrap_or_else(|_| bail!("the step panicked"))
}
