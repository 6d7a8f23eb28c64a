//! The worker over gRPC, with a scripted weather tool in the router's place.

use std::collections::HashMap;
use std::time::Duration;

use itinerary_worker::RouterEndpoint;
use switchboard_backend::{RegistryConfig, Running};
use switchboard_client::{Client, Error};
use switchboard_proto::agentplatform::tool_service_server::{ToolService, ToolServiceServer};
use switchboard_proto::agentplatform::{
    ListToolsRequest, ListToolsResponse, RegistrationResponse, TaskRequest, TaskStatusResponse, ToolInfo,
    ToolRequest, ToolResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};

const WORKER: &str = "itinerary-worker";

struct Rain;

#[tonic::async_trait]
impl ToolService for Rain {
    async fn execute_tool(&self, request: Request<ToolRequest>) -> Result<Response<ToolResponse>, Status> {
        let ask = request.into_inner();
        assert_eq!((ask.tool_id.as_str(), ask.operation.as_str()), ("weather-tool", "get_forecast"));
        if ask.parameters["location"] == "Atlantis" {
            let error = "Unknown location: Atlantis".to_owned();
            return Ok(Response::new(ToolResponse { error, ..ToolResponse::default() }));
        }
        let days: usize = ask.parameters["days"].parse().expect("the worker sends a number");
        let day = r#"{"date":"2026-05-01","condition":"rain","temperature_min_c":9,"temperature_max_c":12,
            "precipitation_mm":8}"#;
        let result = format!(r#"{{"days":[{}]}}"#, vec![day; days].join(","));
        Ok(Response::new(ToolResponse { success: true, result, ..ToolResponse::default() }))
    }

    async fn list_tools(&self, _: Request<ListToolsRequest>) -> Result<Response<ListToolsResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }

    async fn register_tool(&self, _: Request<ToolInfo>) -> Result<Response<RegistrationResponse>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}

/// A port that nobody listens on.
async fn closed_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    listener.local_addr().expect("it is bound").to_string()
}

/// The worker, and a client that calls it directly.
async fn worker(router: &str) -> (Running, Client) {
    let registry = RegistryConfig::at(&closed_port().await).expect("an address");
    let running = itinerary_worker::backend(RouterEndpoint::new(router).expect("an address"))
        .listen("127.0.0.1:0".parse().expect("an address"))
        .registry(registry)
        .start()
        .await
        .expect("port 0 is free");
    let client = Client::connect(running.addr().to_string()).await.expect("it listens");
    (running, client)
}

async fn worker_with_weather() -> (Running, Client) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
    let address = listener.local_addr().expect("it is bound").to_string();
    let server = tonic::transport::Server::builder().add_service(ToolServiceServer::new(Rain));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    worker(&address).await
}

fn task(id: &str, parameters: &[(&str, &str)]) -> TaskRequest {
    let parameters: HashMap<_, _> =
        parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    TaskRequest { task_id: id.to_owned(), parameters, ..TaskRequest::default() }
}

/// Asks until the task is as wanted.
async fn status_when(
    client: &Client,
    id: &str,
    wanted: impl Fn(&TaskStatusResponse) -> bool,
) -> TaskStatusResponse {
    let asking = async {
        loop {
            match client.task_status(WORKER, id).await {
                Ok(status) if wanted(&status) => return status,
                Ok(_) | Err(Error::Status(_)) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asking).await.expect("the task gets there")
}

#[tokio::test]
async fn plan_has_the_weather_as_text_and_json() {
    let (_running, client) = worker_with_weather().await;
    let parameters = [("destination", "Rome"), ("days", "2"), ("interests", "food")];
    let answer = client.process_task(WORKER, task("t", &parameters)).await.unwrap();
    assert!(answer.success && answer.error.is_empty());
    assert!(answer.output.starts_with("2 days in Rome (food)"), "{}", answer.output);
    assert!(answer.output.contains("Day 2 (2026-05-01): rain, 9 to 12 °C"), "{}", answer.output);
    assert_eq!(answer.metadata["weather"], "forecast");
    let json: serde_json::Value = serde_json::from_str(&answer.metadata["itinerary"]).unwrap();
    assert_eq!(json["days"].as_array().unwrap().len(), 2);
    let status = client.task_status(WORKER, "t").await.unwrap();
    assert_eq!((status.status.as_str(), status.result), ("completed", answer.output));
}

#[tokio::test]
async fn plan_is_made_without_weather_and_says_so() {
    let (_running, client) = worker(&closed_port().await).await;
    let answer = client.process_task(WORKER, task("t", &[("destination", "Rome")])).await.unwrap();
    assert!(answer.success);
    assert!(answer.output.contains("Weather unavailable: failed to connect"), "{}", answer.output);
    assert!(answer.output.contains("Day 3\n"), "{}", answer.output);
    assert_eq!(answer.metadata["weather"], "unavailable");

    let (_running, client) = worker_with_weather().await;
    let answer = client.process_task(WORKER, task("t", &[("destination", "Atlantis")])).await.unwrap();
    assert!(answer.output.contains("Weather unavailable: Unknown location: Atlantis"), "{}", answer.output);
}

#[tokio::test]
async fn missing_destination_is_an_answer_in_words() {
    let (_running, client) = worker_with_weather().await;
    let answer = client.process_task(WORKER, task("t", &[])).await.unwrap();
    assert_eq!((answer.success, answer.error.as_str()), (false, "Destination parameter is required"));
    let status = client.task_status(WORKER, "t").await.unwrap();
    assert_eq!(
        (status.status.as_str(), status.result.as_str()),
        ("failed", "Destination parameter is required")
    );
    assert!(client.process_task(WORKER, task("t", &[("destination", "Rome")])).await.unwrap().success);
}

#[tokio::test]
async fn progress_is_seen_while_the_task_runs_and_its_id_is_taken() {
    let (_running, client) = worker_with_weather().await;
    let slow = [("destination", "Rome"), ("days", "3"), ("pace_ms", "150")];
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.process_task(WORKER, task("t", &slow)).await })
    };
    let status = status_when(&client, "t", |status| status.progress == "day 2 of 3").await;
    assert_eq!((status.status.as_str(), status.result.as_str()), ("running", ""));
    let error = client.process_task(WORKER, task("t", &slow)).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, Some("TASK_RUNNING")));
    assert!(call.await.unwrap().unwrap().success);
    assert_eq!(client.task_status(WORKER, "t").await.unwrap().status, "completed");
}

#[tokio::test]
async fn completed_task_is_answered_again_but_only_for_the_same_parameters() {
    let (_running, client) = worker_with_weather().await;
    let rome = [("destination", "Rome")];
    let first = client.process_task(WORKER, task("t", &rome)).await.unwrap();
    assert_eq!(client.process_task(WORKER, task("t", &rome)).await.unwrap(), first);
    let error = client.process_task(WORKER, task("t", &[("destination", "Oslo")])).await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::AlreadyExists, Some("TASK_ID_REUSED")));
}

#[tokio::test]
async fn task_of_a_caller_that_goes_away_is_failed() {
    let (_running, client) = worker_with_weather().await;
    let slow = [("destination", "Rome"), ("pace_ms", "10000")];
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.process_task(WORKER, task("t", &slow)).await })
    };
    status_when(&client, "t", |status| status.progress == "day 1 of 3").await;
    call.abort();
    let status = status_when(&client, "t", |status| status.status == "failed").await;
    assert!(status.result.contains("caller went away"), "{}", status.result);
}

#[tokio::test]
async fn unknown_and_unusable_task_ids_are_refused() {
    let (_running, client) = worker_with_weather().await;
    let error = client.task_status(WORKER, "nobody").await.unwrap_err();
    assert_eq!((error.code(), error.reason()), (Code::NotFound, Some("TASK_UNKNOWN")));
    assert_eq!(client.task_status(WORKER, "").await.unwrap_err().code(), Code::InvalidArgument);
    let long = "x".repeat(257);
    let error = client.process_task(WORKER, task(&long, &[("destination", "Rome")])).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}
