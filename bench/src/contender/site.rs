//! What stands still behind the contenders (backend, Consul, certificates), and one contender in front of it.

use super::certificates::{Certificates, PROXY_NAME};
use super::{Contender, consul::Consul, peers, port, process::Process, router};
use anyhow::{Context, Result, bail};
use std::cell::OnceCell;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Envoy takes a second on a busy machine, the router waits for Consul's first answer.
const START_LIMIT: Duration = Duration::from_secs(20);

/// What a contender is started with; the defaults are those of the published tables.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Threads or workers.
    pub(crate) threads: usize,
    /// HAProxy's `maxconn`. The router's own limits are settings.
    pub(crate) connections: usize,
    /// Settings of the router beyond the shipped ones: name and value, as in its TOML file.
    pub(crate) settings: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1, connections: 4000, settings: Vec::new() }
    }
}

/// A backend, with TLS or in clear, and what contenders need to find and trust it. Dropping it ends everything.
#[derive(Debug)]
pub(crate) struct Site {
    certificates: Option<Certificates>,
    backend: SocketAddr,
    /// Only the router needs it.
    consul: OnceCell<Consul>,
    _backend: Process,
    folder: TempDir,
}

/// A contender that answers calls. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it is called.
    pub(crate) address: SocketAddr,
    /// Its version in one line.
    pub(crate) version: String,
    certificates: Option<Certificates>,
    /// None for `direct`.
    process: Option<Process>,
    _folder: TempDir,
}

impl Site {
    /// Starts the backend.
    ///
    /// # Errors
    /// It does not start, with its output.
    pub(crate) fn new(tls: bool) -> Result<Self> {
        let folder = folder()?;
        let mut command = this_program()?;
        command.args(["backend", "--listen", "127.0.0.1:0"]);
        let certificates = tls.then(|| Certificates::make(folder.path())).transpose()?;
        if let Some(certificates) = &certificates {
            command.arg("--tls-cert").arg(certificates.file("backend.pem"));
            command.arg("--tls-key").arg(certificates.file("backend.key"));
        }
        let mut process = Process::spawn("backend", command, folder.path())?;
        let backend = process.wait_address(START_LIMIT)?;
        Ok(Self { certificates, backend, consul: OnceCell::new(), _backend: process, folder })
    }

    /// The Consul in which the backend is registered, started by its first user.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn consul(&self) -> Result<&Consul> {
        if self.consul.get().is_none() {
            let consul = Consul::start(self.folder.path())?;
            consul.register(self.backend, self.certificates.is_some())?;
            // Nobody else has set it: there is one thread.
            let _ = self.consul.set(consul);
        }
        self.consul.get().context("Consul has not started")
    }

    /// Starts a contender and waits until a call through it succeeds.
    ///
    /// # Errors
    /// It is not installed, or does not start or answer within 20 s; with its output.
    pub(crate) fn start(&self, contender: Contender, options: &Options) -> Result<Running> {
        // `direct` is the one that goes with both.
        if contender.tls() != self.certificates.is_some() && contender != Contender::Direct {
            bail!("{} does not fit the backend, which speaks TLS or does not", contender.name());
        }
        let folder = folder()?;
        let port = port::free()?;
        let mut address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (process, version) = match contender {
            Contender::Direct => {
                address = self.backend;
                (None, "no proxy".to_owned())
            }
            Contender::Hyper | Contender::Tonic => {
                let mut command = this_program()?;
                command.args(["proxy", contender.name(), "--listen", "127.0.0.1:0"]);
                command.args(["--upstream", &self.backend.to_string()]);
                let mut process = Process::spawn(contender.name(), command, folder.path())?;
                address = process.wait_address(START_LIMIT)?;
                (Some(process), crate_version(contender.name()))
            }
            Contender::Router | Contender::RouterTls => {
                let registry = self.consul()?.url();
                let certificates = self.certificates.as_ref();
                let (process, version) =
                    router::start(contender.name(), port, &registry, certificates, options, folder.path())?;
                (Some(process), version)
            }
            _ => {
                let values = peers::Values {
                    port,
                    backend_port: self.backend.port(),
                    folder: folder.path(),
                    certificates: self.certificates.as_ref().map(|it| it.folder.as_path()),
                    options,
                };
                let (process, version) = peers::start(contender, &values)?;
                (Some(process), version)
            }
        };
        let certificates = self.certificates.clone();
        let mut running = Running { address, version, certificates, process, _folder: folder };
        running.first_call()?;
        Ok(running)
    }
}

impl Running {
    /// The processes whose CPU time and memory count; none for `direct`.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.process.as_ref().map(Process::pids).unwrap_or_default()
    }

    /// Fails if its process has ended.
    ///
    /// # Errors
    /// It has; with what it printed last.
    pub(crate) fn check(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), Process::check)
    }

    /// The command that calls it: `switchboard-bench load` with target and trust.
    ///
    /// # Errors
    /// The system does not say which program this is.
    pub(crate) fn load(&self) -> Result<Command> {
        let mut command = this_program()?;
        command.args(["load", "--target", &self.address.to_string()]);
        if let Some(certificates) = &self.certificates {
            command.arg("--tls-ca").arg(certificates.file("ca.pem")).args(["--tls-name", PROXY_NAME]);
        }
        Ok(command)
    }

    /// A listener is no proof that calls arrive: the router may not know its backend yet.
    fn first_call(&mut self) -> Result<()> {
        let mut load = self.load()?;
        load.args(["--shape", "unary", "--connections", "1", "--streams", "1", "--seconds", "0.02"]);
        load.args(["--warmup", "0"]);
        let mut said = String::new();
        let mut call = || match load.output() {
            Ok(answer) if answer.status.success() => Some(()),
            Ok(answer) => {
                said = String::from_utf8_lossy(&answer.stderr).into_owned()
                    + &String::from_utf8_lossy(&answer.stdout);
                None
            }
            Err(error) => {
                said = error.to_string();
                None
            }
        };
        let done = match &mut self.process {
            Some(process) => {
                process.wait_listening(self.address, START_LIMIT)?;
                process.wait_for("answer to a first call", START_LIMIT, |_| call())
            }
            None => call().context("no answer to a first call"),
        };
        done.with_context(|| format!("the load generator says: {}", said.trim()))
    }
}

/// nginx' worker is another user and has to look into it.
fn folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("switchboard-bench-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

fn this_program() -> Result<Command> {
    Ok(Command::new(std::env::current_exe().context("cannot find this program")?))
}

/// The version of a library, as the lock file has it.
fn crate_version(name: &str) -> String {
    let lock = include_str!("../../../Cargo.lock");
    let line = format!("name = \"{name}\"\nversion = \"");
    let rest = lock.split_once(&line).map(|(_, rest)| rest);
    let version = rest.and_then(|rest| rest.split_once('"')).map_or("unknown", |(version, _)| version);
    format!("{name} {version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_libraries_are_known() {
        for name in ["hyper", "tonic"] {
            let version = crate_version(name);
            assert!(version.split('.').count() == 3, "{version}");
        }
    }
}
