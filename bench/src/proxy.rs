//! Two proxies as one would write them on hyper and on tonic, to compare the router with.
//!
//! Both run on one thread and multiplex all calls over one connection to the upstream, with the router's windows.
//! Both look at the `agent_id` of a call before they send it on, as a router must; there is only one place to send it.

mod hyper;
mod tonic;

use anyhow::Context;
use std::{
    io::{self, Write},
    net::SocketAddr,
};
use tokio::net::TcpListener;

/// Flow control window of a stream, bytes.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Flow control window of a connection, bytes.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Streams that a client may have open on a connection.
const STREAMS: u32 = 10_000;

/// A small proxy on a well-known library, to compare with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The library it is built on.
    kind: Kind,
    /// Address to serve on; with port 0 the line `listening ADDR` on stdout says which one it got.
    #[arg(long)]
    listen: SocketAddr,
    /// Address of the backend.
    #[arg(long)]
    upstream: SocketAddr,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// A hyper server and a hyper client: bodies and trailers are passed on as they come.
    Hyper,
    /// A typed tonic server and client: every message is decoded and encoded again.
    Tonic,
}

/// Serves until the process is ended.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {}; choose another --listen", args.listen))?;
        match args.kind {
            Kind::Hyper => {
                let upstream = hyper::connect(args.upstream).await.with_context(|| unreached(&args))?;
                ready(&listener)?;
                hyper::serve(listener, upstream).await
            }
            Kind::Tonic => {
                let upstream = tonic::connect(args.upstream).await.with_context(|| unreached(&args))?;
                ready(&listener)?;
                tonic::serve(listener, upstream).await
            }
        }
    })
}

fn unreached(args: &Args) -> String {
    format!("cannot reach --upstream {}; start the backend first", args.upstream)
}

fn ready(listener: &TcpListener) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "listening {}", listener.local_addr()?)?;
    out.flush()
}
