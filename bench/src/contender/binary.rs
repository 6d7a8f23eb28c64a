//! Where the programs are that the bench starts. Installs nothing: `make bench-tools` does.

use anyhow::{Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// The root of the workspace, where `bench/`, `consul/`, `.tools/` and `.venv/` are.
pub(crate) fn root() -> &'static Path {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().unwrap_or(crate_root)
}

/// Finds `haproxy`: `HAPROXY_BIN`, else in `PATH`, else where Debian puts it.
pub(super) fn haproxy() -> Result<PathBuf> {
    find("haproxy", "HAPROXY_BIN", &["/usr/sbin/haproxy".into()], "make bench-tools")
}

/// Finds `nginx`: `NGINX_BIN`, else what `make bench-tools` unpacked, else in `PATH`.
pub(super) fn nginx() -> Result<PathBuf> {
    let places = [root().join(".tools/nginx/usr/sbin/nginx"), "/usr/sbin/nginx".into()];
    find("nginx", "NGINX_BIN", &places, "make bench-tools")
}

/// Finds Envoy: `ENVOY_BIN`, else the binary inside the Python wheel (the wheel's own command only starts it).
pub(super) fn envoy() -> Result<PathBuf> {
    let libraries = fs::read_dir(root().join(".venv/lib")).into_iter().flatten().flatten();
    let places: Vec<_> =
        libraries.map(|python| python.path().join("site-packages/envoy/_bin/envoy")).collect();
    find("envoy", "ENVOY_BIN", &places, "make bench-tools")
}

/// Finds Consul: `CONSUL_BIN`, else what `make tools` unpacked, else in `PATH`.
pub(super) fn consul() -> Result<PathBuf> {
    find("consul", "CONSUL_BIN", &[root().join(".tools/consul/consul")], "make bench-tools")
}

/// Finds the router: `SWITCHBOARD_ROUTER_BIN`, else the release build.
pub(super) fn router() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let build = "cargo build --release -p switchboard-router";
    find("switchboard-router", "SWITCHBOARD_ROUTER_BIN", &[target.join("release/switchboard-router")], build)
}

/// Finds the workflow engine: `SWITCHBOARD_WORKFLOW_BIN`, else the release build.
pub(crate) fn engine() -> Result<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let build = "cargo build --release -p workflow-worker";
    find("workflow-worker", "SWITCHBOARD_WORKFLOW_BIN", &[target.join("release/workflow-worker")], build)
}

/// A path in `variable` that does not exist is an error, not a reason to look on.
fn find(name: &str, variable: &str, places: &[PathBuf], remedy: &str) -> Result<PathBuf> {
    if let Some(named) = env::var_os(variable).map(PathBuf::from) {
        if named.is_file() {
            return Ok(named);
        }
        bail!("{variable} names {}, which is not a file", named.display());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&path).map(|folder| folder.join(name));
    match places.iter().cloned().chain(in_path).find(|candidate| candidate.is_file()) {
        Some(found) => Ok(found),
        None => bail!("no {name} on this machine: run `{remedy}` (or set {variable} to a binary)"),
    }
}
