//! CPU time and memory of processes, as the kernel counts them.

use anyhow::Context;
use serde::Serialize;
use std::{fs, path::Path};

/// CPU time so far: of this process and of those that are observed.
#[derive(Debug, Clone)]
pub(super) struct Usage {
    own_ns: u64,
    observed: Vec<Observed>,
}

/// What one process took, and holds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Observed {
    pid: u32,
    cpu_ns: u64,
    rss_kib: u64,
    peak_kib: u64,
}

impl Usage {
    /// # Errors
    /// A process is not there.
    pub(super) fn read(pids: &[u32]) -> anyhow::Result<Self> {
        let own_ns = cpu_ns(Path::new("/proc/self"))?;
        let observed = pids.iter().map(|pid| {
            let path = format!("/proc/{pid}");
            observe(*pid, Path::new(&path)).with_context(|| format!("cannot observe process {pid}"))
        });
        Ok(Usage { own_ns, observed: observed.collect::<Result<_, _>>()? })
    }

    /// What was used since: of the observed processes, and of this one.
    pub(super) fn since(self, before: &Usage) -> (Vec<Observed>, u64) {
        let mut observed = self.observed;
        for (now, before) in observed.iter_mut().zip(&before.observed) {
            now.cpu_ns = now.cpu_ns.saturating_sub(before.cpu_ns);
        }
        (observed, self.own_ns.saturating_sub(before.own_ns))
    }
}

fn observe(pid: u32, process: &Path) -> anyhow::Result<Observed> {
    let status = fs::read_to_string(process.join("status"))?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    };
    Ok(Observed { pid, cpu_ns: cpu_ns(process)?, rss_kib: kib("VmRSS:"), peak_kib: kib("VmHWM:") })
}

/// Nanoseconds that the process's threads were on a CPU: the first field of each one's `schedstat`.
fn cpu_ns(process: &Path) -> anyhow::Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir(process.join("task"))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        sum += text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).context("no schedstat here")?;
    }
    Ok(sum)
}
