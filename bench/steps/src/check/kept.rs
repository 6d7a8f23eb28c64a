//! The numbers that are kept in the repository, and what they hold for.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io::ErrorKind, path::Path};

/// `bench/steps/steps.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Kept {
    /// What they were counted on: instructions of one architecture say nothing of another's.
    architecture: String,
    /// Instructions per iteration by step.
    pub(super) steps: BTreeMap<String, f64>,
}

impl Kept {
    /// Reads the file; empty if there is none.
    pub(super) fn read(file: &Path) -> anyhow::Result<Self> {
        let architecture = std::env::consts::ARCH;
        let text = match fs::read_to_string(file) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(Kept { architecture: architecture.to_owned(), steps: BTreeMap::new() });
            }
            text => text.with_context(|| format!("cannot read {}", file.display()))?,
        };
        let kept: Kept = serde_json::from_str(&text)
            .with_context(|| format!("{} is not what `check --keep` writes", file.display()))?;
        if kept.architecture != architecture {
            bail!(
                "{} was counted on {}, and this is {architecture}: compare there, or name another --file",
                file.display(),
                kept.architecture
            );
        }
        Ok(kept)
    }

    /// Writes the file.
    pub(super) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }
}

/// Whether this program was built as the router is shipped: other builds take other numbers of instructions.
pub(super) fn check_build() -> anyhow::Result<()> {
    let lto = option_env!("CARGO_PROFILE_RELEASE_LTO");
    if cfg!(debug_assertions) || lto.is_some_and(|lto| lto != "fat") {
        bail!("this build is not optimized as the router is shipped: `make bench-check` builds one that is");
    }
    Ok(())
}
