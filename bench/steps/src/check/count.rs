//! Counts instructions.

use anyhow::{Context, bail};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// Iterations of a first count: a multiple of what every step runs at a time.
const FEW: u64 = 6_400;
/// Instructions of a count that is good enough: what start and end vary by is a few thousand.
const ENOUGH: f64 = 20e6;

/// The same code for copies on every machine, and none that is one instruction of which every byte counts as another.
const PLAIN_COPIES: &str = "glibc.cpu.hwcaps=-ERMS,-AVX_Fast_Unaligned_Load,-AVX2,-AVX2_Usable";

/// A valgrind that works here.
pub(super) struct Valgrind {
    program: PathBuf,
}

impl Valgrind {
    /// Looks whether it is there.
    pub(super) fn find() -> anyhow::Result<Self> {
        let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            bail!("valgrind is not there, and it counts the instructions: `apt-get install valgrind`");
        }
        Ok(Valgrind { program: std::env::current_exe()? })
    }

    /// Instructions of one iteration of the step.
    pub(super) fn per_iteration(&self, step: &str) -> anyhow::Result<f64> {
        let few = self.difference(step, FEW)?;
        let times = (ENOUGH / few.max(1.0)).ceil();
        if times <= 1.0 {
            return Ok(few / FEW as f64);
        }
        let iterations = FEW * times as u64;
        Ok(self.difference(step, iterations)? / iterations as f64)
    }

    /// Instructions of so many iterations.
    fn difference(&self, step: &str, iterations: u64) -> anyhow::Result<f64> {
        let [once, twice] = [iterations, 2 * iterations].map(|iterations| self.start(step, iterations));
        let (once, twice) = (collected(once?)?, collected(twice?)?);
        Ok(twice as f64 - once as f64)
    }

    fn start(&self, step: &str, iterations: u64) -> anyhow::Result<Child> {
        Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .env("GLIBC_TUNABLES", PLAIN_COPIES)
            .arg(&self.program)
            .args(["run", step, "--iterations", &iterations.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("valgrind does not start")
    }
}

/// What callgrind says at its end: `==1== Collected : 123`.
fn collected(run: Child) -> anyhow::Result<u64> {
    let output = run.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let count = text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    match count {
        Some(count) if output.status.success() => Ok(count),
        _ => bail!("valgrind did not count: {}\n{text}", output.status),
    }
}
