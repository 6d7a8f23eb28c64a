//! Many services and instances in Consul: by transactions of the most operations that it takes, under a node of their own,
//! because an agent removes from its own node what it does not know.

use crate::{contender::description, run::interrupt};
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::{net::SocketAddr, ops::Range};
use tokio::task::JoinSet;

/// Operations of one transaction; Consul refuses more.
const OPERATIONS: usize = 64;
/// Transactions at the same time: Raft commits those together that wait for the same write to disk.
const AT_ONCE: usize = 8;
const NODE: &str = "bench-growth";

/// Registers the services `agent-bench-N`, one instance each, all at `backend`.
pub(super) fn services(url: &str, numbers: Range<usize>, backend: SocketAddr) -> Result<()> {
    let meta = meta();
    write(url, numbers.map(|number| service(&format!("agent-bench-{number}"), number, backend, &meta)))
}

/// Registers further instances of `agent-bench`.
pub(super) fn instances(url: &str, addresses: &[SocketAddr]) -> Result<()> {
    let meta = meta();
    let all = addresses.iter().enumerate();
    write(url, all.map(|(number, address)| service("agent-bench", number, *address, &meta)))
}

/// Takes away everything that was registered here.
pub(super) fn clear(url: &str) -> Result<()> {
    let operation = json!({ "Node": { "Verb": "delete", "Node": { "Node": NODE } } });
    block_on(async { transact(client()?, url.to_owned(), vec![operation]).await })
}

fn service(name: &str, number: usize, address: SocketAddr, meta: &Value) -> Value {
    json!({ "Service": { "Verb": "set", "Node": NODE, "Service": {
        "ID": format!("{name}:{number}"),
        "Service": name,
        "Address": address.ip().to_string(),
        "Port": address.port(),
        "Meta": meta,
    } } })
}

fn meta() -> Value {
    json!(description().encode())
}

fn write(url: &str, operations: impl Iterator<Item = Value>) -> Result<()> {
    block_on(async {
        let client = client()?;
        let node = json!({ "Node": { "Verb": "set", "Node": { "Node": NODE, "Address": "127.0.0.1" } } });
        transact(client.clone(), url.to_owned(), vec![node]).await?;
        let mut writing = JoinSet::new();
        let mut operations = operations.peekable();
        while operations.peek().is_some() || !writing.is_empty() {
            interrupt::check()?;
            while writing.len() < AT_ONCE && operations.peek().is_some() {
                let some = operations.by_ref().take(OPERATIONS).collect();
                writing.spawn(transact(client.clone(), url.to_owned(), some));
            }
            writing.join_next().await.context("something is written")???;
        }
        Ok(())
    })
}

async fn transact(client: reqwest::Client, url: String, operations: Vec<Value>) -> Result<()> {
    let answer = client.put(format!("{url}/v1/txn")).json(&operations).send().await?;
    let status = answer.status();
    if !status.is_success() {
        bail!("Consul refuses a transaction with {status}: {}", answer.text().await?);
    }
    Ok(())
}

fn client() -> Result<reqwest::Client> {
    Ok(reqwest::Client::builder().build()?)
}

fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
