//! Switchboard's router as shipped, with a real Consul: every default stands.

use super::{binary, certificates::Certificates, peers, port, process::Process, site::Options};
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// Settings of the end only, which is not measured: the router is to leave at once when its windows are over, not
/// after the time that clients of a mesh have to look elsewhere.
const QUICK_END: [(&str, &str); 3] =
    [("DRAIN_ACCEPT", "0s"), ("DRAIN_GOAWAY_GAP", "0s"), ("DRAIN_LIMIT", "1s")];

/// Starts the router at `port` and gives it with its version; it may not listen yet.
pub(super) fn start(
    name: &str,
    port: u16,
    registry: &str,
    certificates: Option<&Certificates>,
    options: &Options,
    folder: &Path,
) -> Result<(Process, String)> {
    let program = binary::router()?;
    let mut command = Command::new(&program);
    command.args(["--grpc", &format!("127.0.0.1:{port}"), "--registry", registry]);
    command.args(["--admin", &format!("127.0.0.1:{}", port::free()?)]);
    command.args(["--workers", &options.threads.to_string()]);
    for (setting, value) in QUICK_END {
        command.env(format!("SWITCHBOARD_{setting}"), value);
    }
    if let Some(certificates) = certificates {
        command.env("SWITCHBOARD_TLS_CERT", certificates.file("proxy.pem"));
        command.env("SWITCHBOARD_TLS_KEY", certificates.file("proxy.key"));
        // The instance has to prove that it is agent-bench, as the peers ask for that name.
        command.env("SWITCHBOARD_UPSTREAM_TLS_CA", certificates.file("ca.pem"));
    }
    for (setting, value) in &options.settings {
        command.env(format!("SWITCHBOARD_{}", setting.to_uppercase()), value);
    }
    Ok((Process::spawn(name, command, folder)?, peers::version(&program, "--version")?))
}
