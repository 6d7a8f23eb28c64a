//! One engine, its processes and its callers.

use super::requests;
use crate::{
    contender::{binary, port, process::Process},
    run::say,
};
use anyhow::{Context, Result, bail};
use prost::Message;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use switchboard_proto::goclaw::v1::{ExportMetricsRequest, admin_service_client::AdminServiceClient};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::transport::{Channel, Endpoint};

/// A start with a million workflows has to be far below this.
const START_LIMIT: Duration = Duration::from_secs(120);

/// Where engines are measured.
pub(super) struct Lab {
    folder: TempDir,
    pub(super) quick: bool,
    /// One thread: the engine has the other core.
    runtime: Runtime,
}

/// A running engine.
pub(super) struct Engine<'a> {
    lab: &'a Lab,
    data: PathBuf,
    process: Option<Process>,
    pub(super) address: SocketAddr,
}

/// What `load` says of a run.
#[derive(Debug, Deserialize)]
pub(super) struct Load {
    pub(super) rps: f64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    errors: BTreeMap<String, u64>,
}

impl Lab {
    pub(super) fn new(data: &Path, quick: bool) -> Result<Self> {
        let folder = TempDir::new_in(data)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { folder, quick, runtime })
    }

    /// Seconds of a measured window.
    pub(super) fn seconds(&self, full: f64) -> f64 {
        if self.quick { full / 4.0 } else { full }
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Starts an engine without any data.
    pub(super) fn engine(&self, name: &str) -> Result<Engine<'_>> {
        let data = self.folder.path().join(name);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port::free()?));
        let mut engine = Engine { lab: self, data, process: None, address };
        engine.start()?;
        Ok(engine)
    }
}

impl Engine<'_> {
    /// Starts the process, and gives how long it took until it answered.
    pub(super) fn start(&mut self) -> Result<Duration> {
        let mut command = Command::new(binary::engine()?);
        command.arg("--data").arg(&self.data).args(["--listen", &self.address.to_string()]);
        // Nobody calls through the mesh here: no registry, no router. Lines per call are off, as for the peers.
        command.args(["--consul", "http://127.0.0.1:9", "--router", "127.0.0.1:9"]);
        command.args(["--http", "off", "--metrics", "off"]).env("RUST_LOG", "error");
        let began = Instant::now();
        let mut process = Process::spawn("workflow-worker", command, self.lab.folder.path())?;
        process.wait_listening(self.address, START_LIMIT)?;
        let took = began.elapsed();
        self.process = Some(process);
        Ok(took)
    }

    /// Ends the process in order.
    pub(super) fn stop(&mut self) {
        self.process = None;
    }

    /// Ends the process at once.
    pub(super) fn kill(&mut self) -> Result<()> {
        let pid = self.pid()?;
        let status = Command::new("sh").args(["-c", "kill -9 \"$1\"", "sh", &pid.to_string()]).status()?;
        if !status.success() {
            bail!("cannot kill the engine");
        }
        self.process = None;
        Ok(())
    }

    fn pid(&self) -> Result<u32> {
        let process = self.process.as_ref().context("the engine does not run")?;
        process.pids().first().copied().context("the engine has no process ID")
    }

    /// Resident memory, in bytes.
    pub(super) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kib.context("no VmRSS here")? << 10)
    }

    /// A connection for calls of [`Lab::run`].
    pub(super) fn channel(&self) -> Result<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(self.lab.run(async { endpoint.connect_lazy() }))
    }

    /// A counter or gauge of the engine.
    pub(super) fn metric(&self, name: &str) -> Result<f64> {
        let mut admin = AdminServiceClient::new(self.channel()?);
        let request = ExportMetricsRequest { prefix_filter: name.to_owned(), ..Default::default() };
        let answer = self.lab.run(admin.export_metrics(request))?.into_inner();
        let document: serde_json::Value = serde_json::from_str(&answer.metrics_data)?;
        document[name].as_f64().with_context(|| format!("the engine has no metric {name}"))
    }

    /// Calls a method with these messages in turn, as fast as it answers, over so many connections with one call each.
    pub(super) fn load<M: Message>(
        &self,
        method: &str,
        messages: &[M],
        connections: usize,
        seconds: f64,
        warmup: f64,
    ) -> Result<Load> {
        let file = self.lab.folder.path().join("requests");
        fs::write(&file, requests::file(messages))?;
        let output = Command::new(std::env::current_exe()?)
            .args(["load", "--target", &self.address.to_string(), "--method", method, "--requests"])
            .arg(&file)
            .args(["--connections", &connections.to_string(), "--seconds", &seconds.to_string()])
            .args(["--warmup", &warmup.to_string()])
            .output()?;
        let load: Load = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("no figures of the load on {method}: {}", String::from_utf8_lossy(&output.stderr).trim())
        })?;
        if let Some((text, count)) = load.errors.iter().next() {
            bail!("{method}: {count} calls failed: {text}");
        }
        let (rps, p50, p99) = (load.rps, load.p50_us, load.p99_us);
        say(&format!("{method:<52} {rps:>9.0} calls/s  p50 {p50} us  p99 {p99} us"));
        Ok(load)
    }
}
