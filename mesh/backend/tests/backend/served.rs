//! What is served beside the backend's own services: health and reflection.

use crate::fixture::{Mesh, SERVICE, channel, gated};
use switchboard_backend::Running;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

async fn reflect(running: &Running, question: MessageRequest) -> Result<MessageResponse, tonic::Status> {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let mut client = ServerReflectionClient::new(channel(running.addr()));
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
    Ok(answers.next().await.expect("one answer")?.message_response.expect("a message"))
}

#[tokio::test]
async fn each_service_and_the_whole_have_a_health() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;
    let mut health = HealthClient::new(channel(running.addr()));
    for service in ["", SERVICE] {
        let request = HealthCheckRequest { service: service.to_owned() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status(), ServingStatus::Serving);
    }
    let unknown = HealthCheckRequest { service: "agentplatform.ToolService".to_owned() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn reflection_lists_what_is_served_and_knows_its_messages() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;
    let listed = reflect(&running, MessageRequest::ListServices(String::new())).await.unwrap();
    let MessageResponse::ListServicesResponse(list) = listed else { panic!("{listed:?}") };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, [SERVICE, "grpc.health.v1.Health"]);

    let symbol = MessageRequest::FileContainingSymbol("agentplatform.TaskRequest".to_owned());
    let file = reflect(&running, symbol).await.unwrap();
    assert!(matches!(file, MessageResponse::FileDescriptorResponse(_)), "{file:?}");
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0.reflection(false)).await;
    let refused = reflect(&running, MessageRequest::ListServices(String::new())).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}
