//! What the results say about the machine and the code.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Processor and memory.
pub(crate) fn describe() -> String {
    let processor = line("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let kib = line("/proc/meminfo", "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    match kib {
        Some(kib) => format!("{processor}, {} GiB", (kib + (1 << 19)) >> 20),
        None => processor,
    }
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| "unknown".to_owned(), |it| it.trim().to_owned())
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that wanted to run, on average of the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// Now, RFC 3339 in UTC.
pub(crate) fn date() -> String {
    said(Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]))
}

/// The commit that `root` is at, with a plus if files have been changed since.
pub(crate) fn commit(root: &Path) -> String {
    said(Command::new("git").arg("-C").arg(root).args([
        "describe",
        "--always",
        "--abbrev=10",
        "--exclude=*",
        "--dirty=+",
    ]))
}

/// The value behind `key` and a colon in a file of /proc.
fn line(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let (_, value) =
        text.lines().find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == key))?;
    Some(value.trim().to_owned())
}

fn said(command: &mut Command) -> String {
    let answer = command.output().ok().filter(|answer| answer.status.success());
    answer.map_or_else(|| "unknown".to_owned(), |it| String::from_utf8_lossy(&it.stdout).trim().to_owned())
}
