//! The ID that a call keeps from its client to the last log line.

use crate::fixture::{alone, channel, gated};
use crate::pki::ask;
use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::{StatusRequest, TaskRequest};
use tonic::Request;

#[tokio::test]
async fn a_clients_id_is_kept_and_returned() {
    let running = alone(gated().0).await;
    let mut request = Request::new(TaskRequest { input: "who".to_owned(), ..TaskRequest::default() });
    request.metadata_mut().insert("x-request-id", "trip-1".parse().unwrap());
    let answer = AgentServiceClient::new(channel(running.addr())).execute_task(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "trip-1");
    assert!(answer.get_ref().output.contains(" as trip-1,"), "{answer:?}");

    let mut request = Request::new(StatusRequest::default());
    request.metadata_mut().insert("x-request-id", "trip-2".parse().unwrap());
    let error = AgentServiceClient::new(channel(running.addr())).get_status(request).await.unwrap_err();
    assert_eq!(error.metadata().get("x-request-id").unwrap(), "trip-2");
}

#[tokio::test]
async fn an_id_that_cannot_stand_in_a_log_is_replaced() {
    let running = alone(gated().0).await;
    let long = "x".repeat(129);
    for bad in ["", "a b", long.as_str()] {
        let said = ask(channel(running.addr()), "who", &[("x-request-id", bad)]).await.unwrap();
        let (_, id) = said.split_once(" as ").expect("an ID");
        let id = id.split(',').next().unwrap();
        assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{bad:?}: {said}");
    }
}
