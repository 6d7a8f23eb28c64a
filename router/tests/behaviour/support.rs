//! What the tests drive: a router without a registry, backends and clients that follow a script.

mod backend;
mod client;
mod grpc;
mod policy;
mod router;
pub(crate) mod tls;
mod wire;

pub(crate) use backend::{Backend, CHUNK, Incoming};
pub(crate) use client::{Answer, Call, Client, Response};
pub(crate) use grpc::{Gone, frame, task, tool};
pub(crate) use policy::{PolicyFiles, bearer};
pub(crate) use router::{Instance, Reply, TestRouter};
pub(crate) use wire::{Peer, Wire};

use std::{fmt::Debug, future::Future, time::Duration};

/// The methods that the tests call.
pub(crate) const EXECUTE_TASK: &str = "/agentplatform.AgentService/ExecuteTask";
pub(crate) const STREAM_TASK: &str = "/agentplatform.AgentService/StreamTask";
pub(crate) const EXECUTE_TOOL: &str = "/agentplatform.ToolService/ExecuteTool";
pub(crate) const PROCESS_TASK: &str = "/agentplatform.TaskWorker/ProcessTask";
pub(crate) const TASK_STATUS: &str = "/agentplatform.TaskWorker/GetTaskStatus";
/// A method that no contract knows: rule (c).
pub(crate) const BIDI: &str = "/demo.Echo/Bidi";

/// No test takes longer: a hang is a failure.
const TEST_LIMIT: Duration = Duration::from_secs(60);
/// How long a state that must come may take to come.
const STATE_LIMIT: Duration = Duration::from_secs(10);

/// Runs a test's body under the limit. Spawned tasks have a thread of their own, so that a peer goes on while
/// the body blocks.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    let outcome = runtime.block_on(async { tokio::time::timeout(TEST_LIMIT, test).await });
    runtime.shutdown_background();
    assert!(outcome.is_ok(), "the test hangs");
}

/// Waits until `probe` returns what is expected.
pub(crate) async fn until<T: PartialEq + Debug>(expected: T, mut probe: impl FnMut() -> T) {
    let seen = switchboard_testkit::eventually(STATE_LIMIT, async || {
        let value = probe();
        if value == expected { Ok(()) } else { Err(value) }
    });
    if let Err(error) = seen.await {
        panic!("waited for {expected:?}: {error}");
    }
}

/// An address where nobody listens.
pub(crate) async fn nowhere() -> std::net::SocketAddr {
    Peer::start().await.addr
}

/// Waits until a value does not change any more, and returns it.
pub(crate) async fn steady<T: PartialEq + Debug>(mut probe: impl FnMut() -> T) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let mut last = probe();
    let mut same = 0;
    while same < 6 {
        ticks.tick().await;
        let value = probe();
        same = if value == last { same + 1 } else { 0 };
        last = value;
    }
    last
}
