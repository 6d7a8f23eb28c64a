//! What all charts share: backend and registry, how long to measure, and how many files may be open.

use super::say;
use crate::contender::{Contender, Options, Running, Site};
use anyhow::{Context, Result, bail};
use std::{env, fs, net::SocketAddr, os::unix::process::CommandExt, process::Command};

/// More connections and streams than any chart opens; the shipped limits are for clients, not for one load generator.
const MANY: usize = 12_000;
/// Connections at which the charts end, if the system allows as many files.
const CONNECTIONS_MAX: usize = 10_000;
/// Files of a process beside its connections.
const OTHER_FILES: usize = 150;
/// Set in the process that has raised its limits.
const RAISED: &str = "SWITCHBOARD_BENCH_LIMITS_RAISED";

/// What stands while the charts are measured.
pub(super) struct Lab {
    pub(super) site: Site,
    /// Where the backend listens.
    pub(super) backend: SocketAddr,
    pub(super) quick: bool,
    /// Windows of one point; their median counts.
    pub(super) windows: usize,
    /// Length of one window, and what runs before it.
    pub(super) seconds: f64,
    pub(super) warmup: f64,
}

impl Lab {
    pub(super) fn new(quick: bool) -> Result<Self> {
        let site = Site::new(false)?;
        let backend = site.start(Contender::Direct, &Options::default())?.address;
        Ok(if quick {
            Lab { site, backend, quick, windows: 1, seconds: 0.4, warmup: 0.15 }
        } else {
            Lab { site, backend, quick, windows: 5, seconds: 0.5, warmup: 0.2 }
        })
    }

    /// The router or a peer with one thread and room for [`MANY`] connections and streams.
    pub(super) fn start(&self, contender: Contender) -> Result<Running> {
        self.start_with(contender, 1)
    }

    /// The same with more threads.
    pub(super) fn start_with(&self, contender: Contender, threads: usize) -> Result<Running> {
        let settings = [
            "max_connections",
            "max_connections_per_source",
            "max_concurrent_streams",
            "streams_per_upstream_connection",
            "queue_per_service",
        ];
        let raised = || settings.iter().map(|name| ((*name).to_owned(), MANY.to_string())).collect();
        let settings = if contender == Contender::Router { raised() } else { Vec::new() };
        self.site.start(contender, &Options { threads, connections: most_connections()?, settings })
    }

    /// Points of a chart: all of them, or a few when quick.
    pub(super) fn points<'p>(&self, all: &'p [usize], quick: &'p [usize]) -> &'p [usize] {
        if self.quick { quick } else { all }
    }
}

/// Connections that a relay, which opens two files for each, can have here; [`CONNECTIONS_MAX`] at most.
pub(super) fn most_connections() -> Result<usize> {
    Ok((files(&limits()?, 3)?.saturating_sub(OTHER_FILES) / 2).min(CONNECTIONS_MAX))
}

/// Starts this program anew with as many open files as the system allows, unless it has them; children inherit it.
pub(super) fn raise_limits() -> Result<()> {
    let limits = limits()?;
    if files(&limits, 3)? >= files(&limits, 4)? || env::var_os(RAISED).is_some() {
        return Ok(());
    }
    // The shell's `ulimit`: this workspace has no unsafe code.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"ulimit -n "$(ulimit -Hn)"; exec "$0" "$@""#]).arg(env::current_exe()?);
    shell.args(env::args_os().skip(1)).env(RAISED, "1");
    Err(shell.exec()).context("cannot start this program with more open files")
}

fn limits() -> Result<String> {
    fs::read_to_string("/proc/self/limits").context("cannot read /proc/self/limits")
}

/// The soft (column 3) or hard (column 4) limit of open files.
fn files(limits: &str, column: usize) -> Result<usize> {
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    match line.and_then(|line| line.split_whitespace().nth(column)) {
        Some("unlimited") => Ok(usize::MAX),
        Some(number) => number.parse().with_context(|| format!("open files: {number}")),
        None => bail!("/proc/self/limits does not name open files"),
    }
}

/// What was found at a point, as a line of progress.
pub(super) fn found(x: usize, name: &str, value: f64, unit: &str) {
    say(&format!("        {x:>7}  {name:<12} {value:>8.2} {unit}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_open_files_are_read() {
        let text = "Limit                     Soft Limit           Hard Limit           Units\n\
                    Max processes             95432                95432                processes\n\
                    Max open files            1024                 20000                files\n";
        assert_eq!((files(text, 3).unwrap(), files(text, 4).unwrap()), (1024, 20_000));
        assert!(files("", 3).is_err());
        assert!(files(&limits().unwrap(), 3).unwrap() > 0);
    }
}
