//! Calls a target as fast as it answers, or at a rate, and says what that took: one thread, one event loop, the router's
//! own HTTP/2.

mod args;
mod call;
mod conn;
mod driver;
mod hold;
mod measure;
mod observe;
mod plan;

pub(crate) use args::Args;

use anyhow::bail;
use driver::Driver;
use std::io::{self, Write};

/// Runs one load and prints its figures as one line of JSON, or holds connections and streams until stdin ends.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let driver = Driver::new(args)?;
    if args.holds() {
        return driver.hold(args);
    }
    let report = driver.run()?;
    let mut out = io::stdout();
    serde_json::to_writer(&mut out, &report)?;
    writeln!(out)?;
    out.flush()?;
    let errors: u64 = report.errors.values().sum();
    if let Some(first) = report.errors.keys().next() {
        bail!("{errors} errors, e.g. {first}");
    }
    Ok(())
}
