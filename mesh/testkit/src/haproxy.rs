//! A real HAProxy with the very file of `haproxy/haproxy.cfg`, on free ports of 127.0.0.1.

use crate::{Process, binary, eventually, free_ports, get, workspace_root};
use anyhow::{Context, Result};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::Command;

const START_LIMIT: Duration = Duration::from_secs(10);

/// A running HAProxy. Dropping it kills it.
#[derive(Debug)]
pub struct Haproxy {
    grpc: SocketAddr,
    ops: SocketAddr,
    process: Process,
    /// Holds the admin socket.
    _folder: TempDir,
}

/// One of the ten server slots of the backend `routers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// The slot, `router1` to `router10`; which router has which slot is not defined.
    pub slot: String,
    /// The router's address, empty while the slot is unused.
    pub addr: String,
    /// HAProxy's word: `UP`, `DOWN`, `MAINT (resolution)` ...
    pub status: String,
}

impl Haproxy {
    /// Starts HAProxy, which finds routers through the Consul DNS server at `dns`.
    ///
    /// The binary is the one in `HAPROXY_BIN`, else `haproxy` in `PATH` or `/usr/sbin`. Returns when it
    /// listens; it may have no router yet, see [`Haproxy::wait_for_routers`].
    ///
    /// # Errors
    /// When there is no binary (the text says how to get one) or it does not start (with its output).
    pub async fn start(dns: SocketAddr) -> Result<Self> {
        let binary = binary::find("haproxy", "HAPROXY_BIN", &[PathBuf::from("/usr/sbin/haproxy")])?;
        let folder = tempfile::tempdir()?;
        let [grpc, ops] = free_ports().map(|port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut command = Command::new(binary);
        // One process in the foreground.
        command.args(["-db", "-f"]).arg(workspace_root().join("haproxy/haproxy.cfg"));
        command
            .env("SWITCHBOARD_GRPC_BIND", grpc.to_string())
            .env("SWITCHBOARD_OPS_BIND", ops.to_string())
            .env("SWITCHBOARD_ADMIN_SOCKET", folder.path().join("admin.sock"))
            .env("CONSUL_DNS_ADDR", dns.to_string());
        let process = Process::spawn("haproxy", command)?;
        let haproxy = Self { grpc, ops, process, _folder: folder };
        eventually(START_LIMIT, async || get(ops, "/healthz").await)
            .await
            .with_context(|| format!("haproxy does not listen:\n{}", haproxy.output()))?;
        Ok(haproxy)
    }

    /// The address that clients call.
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc
    }

    /// The address of `/stats`, `/metrics` and `/healthz`.
    pub fn ops_addr(&self) -> SocketAddr {
        self.ops
    }

    /// What HAProxy logged, for failure messages.
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// The state of the ten router slots, from the statistics page.
    ///
    /// # Errors
    /// When the page cannot be read.
    pub async fn routers(&self) -> Result<Vec<ServerState>> {
        let (_, page) = get(self.ops, "/stats;csv").await?;
        let mut lines = page.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let header = lines.next().context("empty statistics page")?;
        let column = |name: &str| header.iter().position(|title| title.trim_start_matches("# ") == name);
        let (proxy, slot, status, addr) =
            (column("pxname"), column("svname"), column("status"), column("addr"));
        let (proxy, slot, status, addr) = proxy
            .zip(slot)
            .zip(status)
            .zip(addr)
            .map(|(((p, s), t), a)| (p, s, t, a))
            .context("no columns")?;
        let field = |line: &[&str], index: usize| line.get(index).copied().unwrap_or_default().to_owned();
        Ok(lines
            .filter(|line| field(line, proxy) == "routers" && field(line, slot).starts_with("router"))
            .map(|line| ServerState {
                slot: field(&line, slot),
                addr: field(&line, addr),
                status: field(&line, status),
            })
            .collect())
    }

    /// Waits until exactly `count` routers are up.
    ///
    /// # Errors
    /// After `limit`, with the state of the slots in use.
    pub async fn wait_for_routers(&self, count: usize, limit: Duration) -> Result<()> {
        eventually(limit, async || {
            let servers = self.routers().await.map_err(|error| format!("{error:#}"))?;
            let up = servers.iter().filter(|server| server.status.starts_with("UP")).count();
            if up == count { Ok(()) } else { Err(format!("{up} up of {servers:?}")) }
        })
        .await
    }
}
