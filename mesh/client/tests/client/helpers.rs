//! The typed helpers put everything in its field and hand back what came.

use switchboard_client::{Client, Config};
use switchboard_proto::agentplatform::TaskRequest;

use crate::scripted::{Act, Scripted};

const NONE: [(&str, &str); 0] = [];

#[tokio::test]
async fn each_helper_reaches_its_method_with_its_arguments() {
    let client = Client::connect(Scripted::default().start().await).await.unwrap();

    let answer = client.execute("echo-agent", "hello", [("loud", "yes")]).await.unwrap();
    assert_eq!(answer.output, "Echo: hello");
    assert_eq!(answer.metadata["agent_id"], "echo-agent");
    assert_eq!(answer.metadata["loud"], "yes");

    let answer = client.execute_tool("weather-tool", "get_weather", [("location", "Rome")]).await.unwrap();
    assert_eq!(answer.result, "weather-tool/get_weather/Rome");

    assert_eq!(client.agent_status("echo-agent").await.unwrap().status, "healthy");
    let status = client.task_status("itinerary-worker", "t1").await.unwrap();
    assert_eq!((status.task_id.as_str(), status.status.as_str()), ("t1", "itinerary-worker"));

    assert_eq!(client.list_agents("echo").await.unwrap()[0].agent_id, "echo-agent");
    assert_eq!(client.list_tools("weather").await.unwrap()[0].tool_id, "weather-tool");
    assert_eq!(client.list_workers("itinerary").await.unwrap()[0].worker_id, "itinerary-worker");
}

#[tokio::test]
async fn worker_tasks_get_an_id_of_their_own_and_keep_a_given_one() {
    let client = Client::connect(Scripted::default().start().await).await.unwrap();
    let first = client.process_task("itinerary-worker", TaskRequest::default()).await.unwrap();
    let second = client.process_task("itinerary-worker", TaskRequest::default()).await.unwrap();
    assert!(first.task_id.starts_with("task-"), "{}", first.task_id);
    assert_ne!(first.task_id, second.task_id);
    let named = TaskRequest { task_id: "mine".into(), agent_id: "other".into(), ..Default::default() };
    let answer = client.process_task("itinerary-worker", named).await.unwrap();
    assert_eq!((answer.task_id.as_str(), answer.metadata["agent_id"].as_str()), ("mine", "itinerary-worker"));
}

#[tokio::test]
async fn stream_gives_every_chunk_in_order_and_then_ends() {
    let server = Scripted::new([Act::Chunks(vec!["a", "b", "c"], Some(Ok(())))]);
    let client = Client::connect(server.start().await).await.unwrap();
    let mut stream = client.stream("echo-agent", "x", NONE).await.unwrap();
    let mut words = Vec::new();
    while let Some(chunk) = stream.next().await {
        words.push(chunk.unwrap().content);
    }
    assert_eq!(words, ["a", "b", "c"]);
    assert!(stream.next().await.is_none(), "an ended stream stays ended");
}

#[tokio::test]
async fn headers_are_sent_with_every_call() {
    let server = Scripted::default();
    let client = Client::connect_lazy(server.start().await).unwrap();
    let client = client.with_header("x-request-id", "r1").unwrap();
    let client = client.with_header("X-Tenant", "blue").unwrap();
    client.execute("echo-agent", "x", NONE).await.unwrap();
    client.list_agents("").await.unwrap();
    for headers in server.seen() {
        assert_eq!(headers.get("x-request-id").unwrap(), "r1");
        assert_eq!(headers.get("x-tenant").unwrap(), "blue");
        assert!(headers.get("user-agent").unwrap().to_str().unwrap().starts_with("switchboard-client/"));
    }
    assert_eq!(server.seen().len(), 2);
    for (name, value) in [("a b", "x"), ("", "x"), ("key", "line\nbreak"), ("data-bin", "x")] {
        assert!(client.clone().with_header(name, value).is_err(), "{name:?}: {value:?}");
    }
}

#[tokio::test]
async fn several_connections_serve_one_client() {
    let server = Scripted::default();
    let connections = std::num::NonZeroUsize::new(3).unwrap();
    let config = Config { connections, ..Config::default() };
    let client = Client::connect_with(server.start().await, config).await.unwrap();
    for _ in 0..7 {
        client.execute("echo-agent", "x", NONE).await.unwrap();
    }
    assert_eq!(server.seen().len(), 7);
}
