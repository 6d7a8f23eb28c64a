//! `dev`: registry, router and example backends in one process, for trying things out.
//!
//! The parts are the production ones and meet only over sockets: the registry speaks Consul's HTTP API, the
//! backends register themselves with it, and the router finds them there. Only the workflow engine keeps anything.

mod mesh;
mod ready;
mod secure;
mod workflow;

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Dev, Example};
use crate::dev::mesh::Mesh;
use crate::dev::secure::Secure;
use crate::failure::Failure;
use crate::output;

/// Runs the mesh until SIGINT or SIGTERM.
pub(crate) async fn run(dev: Dev) -> Result<(), Failure> {
    let backends = examples(&dev.backends)?;
    let mut signals = Signals::install()?;
    claim(&dev)?;
    let secure = dev.secure.as_ref().map(|dir| Secure::open(dir.as_deref())).transpose()?;
    let mut mesh = Mesh::default();
    let outcome = tokio::select! {
        outcome = serve(&mut mesh, &dev, &backends, secure.as_ref()) => outcome,
        () = signals.next() => Ok(()),
    };
    // Whatever happened, and however far the start had come.
    tokio::select! {
        () = mesh.stop() => {}
        () = signals.next() => tracing::warn!("stopped by a second signal; calls under way were cut"),
    }
    outcome
}

/// Starts everything in the order of its dependencies, says so, and then watches the router: it never ends well.
async fn serve(
    mesh: &mut Mesh,
    dev: &Dev,
    backends: &[Example],
    secure: Option<&Secure>,
) -> Result<(), Failure> {
    mesh.start(dev, backends, secure).await?;
    let (grpc, registry, admin) = (mesh.grpc(), mesh.registry(), mesh.admin());
    ready::wait(grpc, registry, admin, backends, secure).await?;
    let http = mesh.http();
    let served = http.map(|http| format!(" http={http}")).unwrap_or_default();
    output::print(&format!("switchboard: ready grpc={grpc} registry={registry} admin={admin}{served}"))?;
    suggest(grpc, http, dev, backends, secure);
    mesh.router_ended().await;
    Err(Failure::Ended)
}

impl Dev {
    /// Where the workflow engine keeps everything.
    fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(workflow::default_directory)
    }
}

/// The examples to start, each once; `none` stands alone.
fn examples(asked: &[Example]) -> Result<Vec<Example>, Failure> {
    if asked.contains(&Example::None) {
        return match asked {
            [Example::None] => Ok(Vec::new()),
            _ => Err(Failure::Usage("--backends none stands alone".to_owned())),
        };
    }
    let mut examples = Vec::new();
    for example in asked {
        if !examples.contains(example) {
            examples.push(*example);
        }
    }
    Ok(examples)
}

/// Finds out which address is taken before anything starts, so that the right flag can be named.
///
/// All are held at once: two flags with the same port are found as well. Another process may still take
/// a port in the instant between this and its use; then the part that wanted it says so.
fn claim(dev: &Dev) -> Result<(), Failure> {
    let wanted = [("grpc", dev.grpc), ("registry", dev.registry), ("admin", dev.admin)];
    let wanted = wanted.into_iter().chain(dev.http.map(|http| ("http", http)));
    let mut held = Vec::new();
    for (flag, address) in wanted {
        held.push(TcpListener::bind(address).map_err(|source| Failure::Bind { flag, address, source })?);
    }
    Ok(())
}

/// Tells a person what to try next; a script reads standard output and is not bothered.
fn suggest(
    grpc: SocketAddr,
    http: Option<SocketAddr>,
    dev: &Dev,
    backends: &[Example],
    secure: Option<&Secure>,
) {
    let endpoint = match (grpc, secure) {
        (address, None) if address == SocketAddr::from(([127, 0, 0, 1], 50051)) => String::new(),
        (address, None) => format!(" --endpoint http://{address}"),
        // The settings stand above the lines.
        (_, Some(_)) => String::new(),
    };
    let mut lines = vec![format!("switchboard{endpoint} ls")];
    lines.extend(backends.iter().map(|backend| match backend {
        Example::Echo => format!("switchboard{endpoint} call echo-agent hello"),
        Example::Weather => {
            format!("switchboard{endpoint} call weather-tool --op get_weather --param location=Rome")
        }
        Example::Itinerary => {
            format!("switchboard{endpoint} call itinerary-worker --param destination=Rome --param days=2")
        }
        Example::Workflow => {
            format!("switchboard{endpoint} workflow run workers/workflow/examples/itinerary.yaml")
        }
        Example::None => String::new(),
    }));
    let mut stderr = std::io::stderr().lock();
    // A closed standard error is no reason to stop serving.
    let _ = writeln!(stderr, "Try, in another terminal:");
    if let Some(secure) = secure {
        let _ = writeln!(stderr, "{}", secure.settings(grpc));
    }
    // The first of each kind of thing that can be done is enough.
    let shown = lines.iter().take(2).chain(lines.iter().skip(2).last());
    for line in shown {
        let _ = writeln!(stderr, "  {line}");
    }
    if let Some(http) = http {
        let (scheme, token) = match secure {
            Some(secure) => {
                ("https", format!("; sign in with what is in {}", secure.path("client.token").display()))
            }
            None => ("http", String::new()),
        };
        let _ = writeln!(stderr, "Workflows are shown at {scheme}://{http}/ui{token}.");
        let _ = writeln!(stderr, "Workflows are kept in {}.", dev.data().display());
    }
    let _ = writeln!(stderr, "Ctrl-C stops the mesh.");
}

/// SIGINT and SIGTERM, received from its creation on.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn install() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(Failure::Signals)?,
            terminate: signal(SignalKind::terminate()).map_err(Failure::Signals)?,
        })
    }

    /// Waits for either. Cancel-safe: a signal that nobody waited for is kept.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
