//! A real Consul server of one node with the configuration in `consul/`, in which the backend is registered.

use super::{binary, port, process::Process};
use anyhow::{Context, Result, bail};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use switchboard_registry::{Check, Client, Config, Description, Kind, Registration};

/// An election of one takes 1-3 s; the rest is for a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// What the load generator's ID `bench-agent` stands for.
const SERVICE: &str = "agent-bench";

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Consul {
    http: SocketAddr,
    process: Process,
}

impl Consul {
    /// Starts a server with an empty catalogue in `folder` and waits for its leader.
    ///
    /// # Errors
    /// There is no binary, or no leader within 30 s.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let program = binary::consul()?;
        let config = binary::root().join("consul").join(config_for(&program)?);
        let data = folder.join("consul");
        fs::create_dir_all(&data)?;
        let http = port::free()?;
        let mut ports = format!("ports {{ http = {http}");
        for name in ["dns", "server", "serf_lan", "serf_wan"] {
            write!(ports, " {name} = {}", port::free()?)?;
        }
        let mut command = Command::new(program);
        command.args(["agent", "-node=bench", "-bind=127.0.0.1", "-client=127.0.0.1"]);
        command.arg("-data-dir").arg(&data).arg("-config-file").arg(config);
        command.args(["-hcl", &format!("{ports} }}")]);
        let process = Process::spawn("consul", command, folder)?;
        let mut consul = Self { http: SocketAddr::from((Ipv4Addr::LOCALHOST, http)), process };
        let (client, runtime) = (consul.client()?, runtime()?);
        consul.process.wait_for("leader", START_LIMIT, |_| {
            runtime.block_on(client.leader()).ok().flatten().map(drop)
        })?;
        Ok(consul)
    }

    /// Its HTTP API, `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Registers the backend as one of the mesh does it: description, gRPC health check, passing from the start.
    ///
    /// # Errors
    /// Consul refuses.
    pub(crate) fn register(&self, backend: SocketAddr, tls: bool) -> Result<()> {
        let mut registration = Registration::new(SERVICE, backend.ip().to_string(), backend.port());
        registration.meta = description().encode();
        if tls {
            registration.check = Check::grpcs(backend.to_string());
        }
        runtime()?.block_on(self.client()?.register(&registration)).context("cannot register the backend")
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::new(Config::at(&self.url())?)?)
    }
}

/// How the backend describes itself.
pub(crate) fn description() -> Description {
    Description {
        kind: Some(Kind::Agent),
        name: "bench".to_owned(),
        description: "Answers as the load asks".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        grpc_services: vec!["agentplatform.AgentService".to_owned()],
        ..Description::default()
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// The configuration keys differ between 1.8 and the versions since 1.12; those between are not supported.
fn config_for(program: &Path) -> Result<&'static str> {
    let answer = Command::new(program).arg("version").output()?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix('v')).unwrap_or_default();
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(1), Some(8)) => Ok("server-1.8.hcl"),
        (Some(1), Some(12..)) | (Some(2..), _) => Ok("server.hcl"),
        _ => bail!("no configuration for '{}' of {}", text.trim(), program.display()),
    }
}
