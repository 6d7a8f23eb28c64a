//! A real Consul server of one node with the configuration in `consul/`, on free ports of 127.0.0.1.

mod locked;

pub use locked::{LockedConsul, Token};

use crate::{Process, Signal, binary, eventually, free_ports, get, workspace_root};
use anyhow::{Context, Result, bail};
use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::Command;

/// An election of one takes 1-3 s; the rest is for a machine that compiles meanwhile.
const LEADER_LIMIT: Duration = Duration::from_secs(30);

/// A running Consul server. Dropping it kills it and removes its data.
#[derive(Debug)]
pub struct Consul {
    binary: PathBuf,
    config: PathBuf,
    extra: Vec<String>,
    data: TempDir,
    ports: Ports,
    process: Process,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    http: u16,
    dns: u16,
    server: u16,
    serf_lan: u16,
    serf_wan: u16,
}

impl Consul {
    /// Starts a server with an empty catalogue and waits until it has a leader.
    ///
    /// The binary is the one in `CONSUL_BIN`, else `.tools/consul/consul`, else `consul` in `PATH`.
    ///
    /// # Errors
    /// When there is no binary (the text says how to get one) or no leader within 30 s (with the output).
    pub async fn start() -> Result<Self> {
        Self::start_with("").await
    }

    /// Starts a server as [`Consul::start`] does, with `extra` HCL on top of the configuration, for example
    /// an `acl` block.
    ///
    /// # Errors
    /// As [`Consul::start`]; also when Consul refuses `extra`.
    pub async fn start_with(extra: &str) -> Result<Self> {
        Self::start_layered(&[extra]).await
    }

    /// Starts a server with several layers of HCL, which may name the same block.
    async fn start_layered(extra: &[&str]) -> Result<Self> {
        let extra: Vec<_> =
            extra.iter().filter(|layer| !layer.is_empty()).map(|layer| (*layer).to_owned()).collect();
        let binary = binary::find("consul", "CONSUL_BIN", &[workspace_root().join(".tools/consul/consul")])?;
        let config = workspace_root().join("consul").join(config_for(&binary).await?);
        let data = tempfile::tempdir()?;
        let [http, dns, server, serf_lan, serf_wan] = free_ports();
        let ports = Ports { http, dns, server, serf_lan, serf_wan };
        let process = spawn(&binary, &config, &extra, data.path(), ports)?;
        let consul = Self { binary, config, extra, data, ports, process };
        consul.wait_for_leader().await?;
        Ok(consul)
    }

    /// The address of the HTTP API.
    pub fn http_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.http))
    }

    /// The HTTP API as `CONSUL_HTTP_ADDR` takes it: `http://127.0.0.1:<port>`.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_addr())
    }

    /// The address of the DNS server (UDP and TCP).
    pub fn dns_addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.ports.dns))
    }

    /// What the server printed, for failure messages.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// Kills the server (SIGKILL). Its data stays for [`Consul::restart`].
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Freezes the server: connections stay open and nothing answers.
    ///
    /// # Errors
    /// When the server has ended.
    pub async fn pause(&self) -> Result<()> {
        self.process.signal(Signal::Stop).await
    }

    /// Ends a [`Consul::pause`].
    ///
    /// # Errors
    /// When the server has ended.
    pub async fn resume(&self) -> Result<()> {
        self.process.signal(Signal::Cont).await
    }

    /// Kills the server if it runs, starts it on the same ports and waits for its leader.
    ///
    /// With `wipe` the catalogue is lost, as when a server without a volume comes back.
    ///
    /// # Errors
    /// As [`Consul::start`].
    pub async fn restart(&mut self, wipe: bool) -> Result<()> {
        self.kill().await?;
        if wipe {
            self.data = tempfile::tempdir()?;
        }
        self.process = spawn(&self.binary, &self.config, &self.extra, self.data.path(), self.ports)?;
        self.wait_for_leader().await
    }

    async fn wait_for_leader(&self) -> Result<()> {
        let probe = async || match get(self.http_addr(), "/v1/status/leader").await {
            Ok((200, leader)) if leader.contains(':') => Ok(()),
            other => Err(other),
        };
        eventually(LEADER_LIMIT, probe).await.with_context(|| format!("no leader:\n{}", self.output()))
    }
}

/// The configuration keys differ between 1.8 and the versions since 1.12; those between are not supported.
async fn config_for(binary: &Path) -> Result<&'static str> {
    let answer = Command::new(binary).arg("version").output().await?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix('v')).unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(1), Some(8)) => Ok("server-1.8.hcl"),
        (Some(1), Some(12..)) | (Some(2..), _) => Ok("server.hcl"),
        _ => bail!("no configuration for '{text}' of {}", binary.display()),
    }
}

fn spawn(binary: &Path, config: &Path, extra: &[String], data: &Path, ports: Ports) -> Result<Process> {
    let Ports { http, dns, server, serf_lan, serf_wan } = ports;
    let mut hcl = format!("ports {{ http = {http} dns = {dns} server = {server} ");
    write!(hcl, "serf_lan = {serf_lan} serf_wan = {serf_wan} }}")?;
    let mut command = Command::new(binary);
    command.args(["agent", "-node=testkit", "-bind=127.0.0.1", "-client=127.0.0.1"]);
    command.arg("-data-dir").arg(data).arg("-config-file").arg(config).args(["-hcl", &hcl]);
    for layer in extra {
        command.args(["-hcl", layer]);
    }
    Process::spawn("consul", command)
}
