//! Where the binaries that tests start are found. Does not install them: `make tools` does.

use anyhow::{Result, bail};
use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of this workspace, where `haproxy/`, `consul/` and `.tools/` are.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("the crate is two folders below the root")
        .to_path_buf()
}

/// Finds a binary: the path in `variable`, else the first of `places` that exists, else `name` in `PATH`.
///
/// A path in `variable` that does not exist is an error, not a reason to look on.
pub(crate) fn find(name: &str, variable: &str, places: &[PathBuf]) -> Result<PathBuf> {
    if let Some(named) = env::var_os(variable) {
        let named = PathBuf::from(named);
        if named.is_file() {
            return Ok(named);
        }
        bail!("{variable} names {}, which is not a file", named.display());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join(name));
    match places.iter().cloned().chain(in_path).find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => bail!("no {name} on this machine: run `make tools` (or set {variable} to a binary)"),
    }
}
