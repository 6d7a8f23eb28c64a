//! When the mesh is ready: not when its parts have started, but when calls through the router are answered
//! by the backends.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use switchboard_client::{Client, Config, RetryPolicy};
use switchboard_proto::{agentplatform::TaskRequest, goclaw::v1::ListWorkflowsRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::args::Example;
use crate::dev::secure::Secure;
use crate::failure::Failure;

/// Everything is on this machine and the first health checks come within a second: what takes longer is broken.
const LIMIT: Duration = Duration::from_secs(20);

/// One attempt; a call to a backend that is being registered waits in the router meanwhile.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Between two attempts: short enough that nobody waits for it.
const PAUSE: Duration = Duration::from_millis(50);

/// The answer's status line is all that counts.
const MAX_STATUS_LINE_BYTES: usize = 64;

/// Waits until the registry, the admin API and each backend (through the router) answer.
pub(super) async fn wait(
    grpc: SocketAddr,
    registry: SocketAddr,
    admin: SocketAddr,
    backends: &[Example],
    secure: Option<&Secure>,
) -> Result<(), Failure> {
    let end = Instant::now() + LIMIT;
    until(end, "the registry", || http_ok(registry, "/v1/status/leader")).await?;
    until(end, "the admin API", || http_ok(admin, "/readyz")).await?;
    // Failures are expected here, and this loop is the retry.
    let config = secure.map(|secure| secure.client("client")).unwrap_or_default();
    let config = Config { retry: RetryPolicy::never(), deadline: Some(ATTEMPT), ..config };
    let client = Client::connect_lazy_with(grpc.to_string(), config)?;
    until(end, "the router", || async { client.list_agents("").await.map(drop).map_err(|e| e.to_string()) })
        .await?;
    for backend in backends {
        until(end, part(*backend), || answers(&client, *backend)).await?;
    }
    Ok(())
}

/// Tries until it works, or until the time is over.
async fn until<F>(end: Instant, part: &str, attempt: impl Fn() -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), String>>,
{
    loop {
        let outcome = match tokio::time::timeout(ATTEMPT, attempt()).await {
            Ok(outcome) => outcome,
            Err(_) => Err("no answer".to_owned()),
        };
        match outcome {
            Ok(()) => return Ok(()),
            Err(reason) if Instant::now() >= end => {
                return Err(Failure::NotReady { part: part.to_owned(), waited: LIMIT, reason });
            }
            Err(reason) => tracing::debug!(part, reason, "not ready yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn part(backend: Example) -> &'static str {
    match backend {
        Example::Echo => "echo-agent",
        Example::Weather => "weather-tool",
        Example::Itinerary => "itinerary-worker",
        Example::Workflow => "workflow-worker",
        Example::None => "nothing",
    }
}

/// Makes a real call that leaves nothing behind, and checks that it is listed as well.
async fn answers(client: &Client, backend: Example) -> Result<(), String> {
    let id = part(backend);
    let (called, listed) = match backend {
        Example::Echo => {
            (client.agent_status(id).await.map(drop), client.list_agents(id).await.map(|found| found.len()))
        }
        Example::Weather => (
            client.execute_tool(id, "get_weather", [("location", "Rome")]).await.map(drop),
            client.list_tools(id).await.map(|found| found.len()),
        ),
        // Without a destination the worker refuses in words: an answer, and no plan.
        Example::Itinerary => (
            client.process_task(id, TaskRequest::default()).await.map(drop),
            client.list_workers(id).await.map(|found| found.len()),
        ),
        Example::Workflow => (
            client.workflows().list_page(ListWorkflowsRequest::default()).await.map(drop),
            client.list_workers(id).await.map(|found| found.len()),
        ),
        Example::None => return Ok(()),
    };
    called.map_err(|error| error.to_string())?;
    match listed.map_err(|error| error.to_string())? {
        0 => Err("it answers but is not listed".to_owned()),
        _ => Ok(()),
    }
}

/// Asks for a path over HTTP/1.0 and expects 200. Too little to bring a client for.
async fn http_ok(address: SocketAddr, path: &str) -> Result<(), String> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut line = Vec::new();
        while line.len() < MAX_STATUS_LINE_BYTES && !line.contains(&b'\n') {
            if stream.read_buf(&mut line).await? == 0 {
                break;
            }
        }
        Ok::<_, std::io::Error>(line)
    };
    let line = exchange.await.map_err(|error| error.to_string())?;
    let line = String::from_utf8_lossy(&line);
    match line.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        _ => Err(format!("answered {:?}", line.lines().next().unwrap_or_default())),
    }
}
