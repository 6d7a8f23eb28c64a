//! What a target does wrong is counted, and is no success.

use crate::process::load;
use serde_json::Value;
use std::{net::SocketAddr, thread, time::Duration};
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, ListAgentsResponse, RegistrationResponse, StatusRequest, StatusResponse,
    TaskChunk, TaskRequest, TaskResponse,
    agent_service_server::{AgentService, AgentServiceServer},
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, transport::Server};

/// What the backend does with a unary call; it answers no other.
#[derive(Clone, Copy)]
enum Target {
    Answers(&'static str),
    Fails,
    /// Answers right, after so long.
    Late(Duration),
}

#[tonic::async_trait]
impl AgentService for Target {
    type StreamTaskStream = ReceiverStream<Result<TaskChunk, Status>>;

    async fn execute_task(&self, request: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        let request = request.into_inner();
        let output = match *self {
            Target::Answers(output) => output.to_owned(),
            Target::Fails => return Err(Status::resource_exhausted("as you wish")),
            Target::Late(time) => {
                tokio::time::sleep(time).await;
                // The same pattern fills requests and answers; this one is 95 bytes of it.
                request.input.chars().take(95).collect()
            }
        };
        let task_id = request.task_id;
        Ok(Response::new(TaskResponse { task_id, output, success: true, ..TaskResponse::default() }))
    }

    async fn stream_task(&self, _: Request<TaskRequest>) -> Result<Response<Self::StreamTaskStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn register_agent(&self, _: Request<AgentInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_agents(
        &self,
        _: Request<ListAgentsRequest>,
    ) -> Result<Response<ListAgentsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Runs a load against a tonic server.
fn run(target: Target, args: &str) -> (Value, bool) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().add_service(AgentServiceServer::new(target));
    runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    load(address, args)
}

fn errors(target: Target, args: &str) -> Vec<String> {
    let (figures, success) = run(target, args);
    assert!(!success && figures["calls"] == 0, "{figures}");
    figures["errors"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_wrong_body_is_an_error() {
    assert_eq!(errors(Target::Answers("something else"), ""), ["the answer's bytes are wrong"]);
}

#[test]
fn a_status_is_an_error() {
    assert_eq!(errors(Target::Fails, "--streams 4"), ["status 8: as you wish"]);
    let unimplemented = errors(Target::Fails, "--shape burst");
    assert_eq!(unimplemented, ["status 12: "]);
}

#[test]
fn another_programs_right_answer_is_none() {
    let (figures, success) = run(Target::Late(Duration::ZERO), "--bytes 200 --streams 4");
    assert!(success && figures["calls"].as_u64().unwrap() > 0, "{figures}");
}

#[test]
fn calls_that_could_not_be_sent_count_from_their_intended_start() {
    let late = Target::Late(Duration::from_millis(20));
    let (figures, success) = run(late, "--bytes 200 --rate 500");
    // One at a time: the tenth waits for nine. A latency from the sending on would be about 20 ms for each.
    assert!(success && figures["p50_us"].as_u64().unwrap() > 60_000, "{figures}");
}

#[test]
fn a_lost_connection_ends_the_run() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let closing = thread::spawn(move || drop(listener.accept().unwrap()));
    let (figures, success) = load(address, "");
    closing.join().unwrap();
    let errors = figures["errors"].as_object().unwrap();
    assert!(!success && errors.keys().all(|text| text.starts_with("connection lost: ")), "{figures}");
}

#[test]
fn a_target_that_is_not_there_is_named() {
    let address = unused_address();
    let (figures, success) = load(address, "");
    let errors = figures["errors"].as_object().unwrap();
    assert!(!success && errors.keys().all(|text| text.starts_with("cannot connect: ")), "{figures}");
}

/// An address where nobody listens.
fn unused_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
