//! The echo agent: the smallest complete backend, to copy from and to test with.
//!
//! `service` answers the calls; all the rest of a backend (registration, health, drain) is
//! `switchboard-backend`'s.

mod service;

use service::Echo;
use switchboard_backend::{Backend, MAX_MESSAGE_BYTES};
use switchboard_proto::agentplatform::agent_service_server::AgentServiceServer;
use tonic::codec::CompressionEncoding;

/// What the agent says it can do, in the registry and in `GetStatus`.
const CAPABILITIES: [&str; 2] = ["echo", "text-processing"];

/// Describes the backend that clients call as `echo-agent`; not started yet.
pub fn backend() -> Backend {
    Backend::agent("echo")
        .display_name("Echo Agent")
        .description("Repeats what it is told")
        .detailed_description(
            "Answers a task with its own input. Useful to see that a call arrives, and that everything that \
             belongs to it (parameters, session, order of a stream) arrives unchanged.",
        )
        .how_it_works(
            "ExecuteTask answers `Echo: <input>` and returns the parameters as metadata. StreamTask sends the \
             input word by word.",
        )
        .return_format("Text. StreamTask: one word per chunk, the last chunk is final.")
        .use_cases(["Check a deployment", "Measure latency", "Start an agent of one's own"])
        .version(env!("CARGO_PKG_VERSION"))
        .capabilities(CAPABILITIES)
        .add_service(
            AgentServiceServer::new(Echo::default())
                // Routers pass a client's compressed messages on as they are.
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_MESSAGE_BYTES),
        )
}
