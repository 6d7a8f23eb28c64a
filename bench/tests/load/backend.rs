//! The backend, called by another library than its own.

use crate::process::{Backend, good_load};
use std::{
    io::{Read, Write},
    net::TcpStream,
};
use switchboard_proto::agentplatform::{
    ListAgentsRequest, RegistrationResponse, TaskRequest, agent_service_client::AgentServiceClient,
};
use tonic::{Code, Request, client::Grpc, metadata::AsciiMetadataValue, transport::Channel};
use tonic_prost::ProstCodec;

async fn channel(backend: &Backend) -> Channel {
    Channel::from_shared(format!("http://{}", backend.address)).unwrap().connect().await.unwrap()
}

fn request(reply: &str) -> Request<TaskRequest> {
    let mut request = Request::new(TaskRequest { input: "hello".to_owned(), ..TaskRequest::default() });
    let reply = AsciiMetadataValue::try_from(reply).unwrap();
    request.metadata_mut().insert("x-bench-reply", reply);
    request
}

#[tokio::test]
async fn calls_are_answered_as_their_header_says() {
    let backend = Backend::start("");
    let mut client = AgentServiceClient::new(channel(&backend).await).max_decoding_message_size(1 << 24);
    let plain = Request::new(TaskRequest::default());
    let answer = client.execute_task(plain).await.unwrap().into_inner();
    assert!(answer.success && answer.output.len() == 95, "{answer:?}");
    let answer = client.execute_task(request("5000000")).await.unwrap().into_inner();
    assert!(answer.output.len() > 4_999_900);

    let mut chunks = client.stream_task(request("60x3@1000")).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(chunk) = chunks.message().await.unwrap() {
        assert_eq!(chunk.content.len(), 51);
        count += 1;
    }
    assert_eq!(count, 3);

    let refused = client.execute_task(request("many")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let unknown = client.list_agents(ListAgentsRequest::default()).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented);
}

#[tokio::test]
async fn health_is_serving() {
    let backend = Backend::start("");
    let mut client = Grpc::new(channel(&backend).await);
    client.ready().await.unwrap();
    // Both messages begin with field 1, a varint; the request's is empty.
    let codec = ProstCodec::<ListAgentsRequest, RegistrationResponse>::default();
    let path = "/grpc.health.v1.Health/Check".parse().unwrap();
    let answer = client.unary(Request::new(ListAgentsRequest::default()), path, codec).await.unwrap();
    assert!(answer.into_inner().success, "SERVING is 1");
}

#[test]
fn clients_that_vanish_or_talk_nonsense_cost_nothing() {
    let backend = Backend::start("");
    drop(TcpStream::connect(backend.address).unwrap());
    let mut half = TcpStream::connect(backend.address).unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
    drop(half);
    let mut other = TcpStream::connect(backend.address).unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").unwrap();
    // SETTINGS, GOAWAY, the end.
    other.read_to_end(&mut Vec::new()).unwrap();
    good_load(backend.address, "");
}
