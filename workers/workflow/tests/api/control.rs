//! WorkflowControlService.

use switchboard_proto::goclaw::v1::{
    GetHistoryRequest, GetTaskResultStreamRequest, PaginationRequest, PauseWorkflowRequest,
    ResumeWorkflowRequest, RetryWorkflowRequest, SignalWorkflowRequest, TaskDefinition, WorkflowDetail,
    WorkflowStatus, signal_workflow_request::Payload,
    workflow_control_service_client::WorkflowControlServiceClient,
};
use tokio_stream::StreamExt;
use tonic::{Code, Request, transport::Channel};
use workflow_machine::TaskError;
use workflow_worker::attempt::Report;

use crate::scene::{Scene, call, reason, workflow, wrong_fields};

fn client(scene: &Scene) -> WorkflowControlServiceClient<Channel> {
    WorkflowControlServiceClient::new(scene.channel.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_workflow_goes_on_from_what_did_not_complete() {
    let scene = Scene::start().await;
    let id =
        scene.submit(workflow([call("a", "", &[]), call("b", "hold", &["a"]), call("c", "", &["b"])])).await;
    let error = TaskError::permanent("BROKEN", "once");
    scene.report("b", Report::Failed { error }).await;
    scene.until(&id, WorkflowStatus::Failed).await;
    let retry = RetryWorkflowRequest { workflow_id: id.clone(), ..RetryWorkflowRequest::default() };
    let retried = client(&scene).retry_workflow(retry.clone()).await.unwrap().into_inner();
    assert_eq!((retried.status(), retried.tasks_reset), (WorkflowStatus::Running, 2));
    let refused = client(&scene).retry_workflow(retry).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::FailedPrecondition, "NOT_RETRYABLE"));
    scene.complete("b", "1").await;
    scene.until(&id, WorkflowStatus::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_workflow_starts_nothing_until_it_is_resumed() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[]), call("b", "", &["a"])])).await;
    scene.held("a").await;
    let pause = PauseWorkflowRequest { workflow_id: id.clone(), reason: "tea".to_owned() };
    let paused = client(&scene).pause_workflow(pause).await.unwrap().into_inner();
    assert_eq!((paused.status(), paused.detail()), (WorkflowStatus::Running, WorkflowDetail::Paused));
    scene.complete("a", "1").await;
    let resume = ResumeWorkflowRequest { workflow_id: id.clone() };
    let resumed = client(&scene).resume_workflow(resume).await.unwrap().into_inner();
    assert_eq!(resumed.detail(), WorkflowDetail::Unspecified);
    scene.until(&id, WorkflowStatus::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_wakes_who_waits_for_it() {
    let scene = Scene::start().await;
    let wait = TaskDefinition {
        id: "ask".to_owned(),
        r#type: "wait_signal".to_owned(),
        target: "approved".to_owned(),
        ..TaskDefinition::default()
    };
    let id = scene.submit(workflow([wait])).await;
    let signal = |name: &str, json: &[u8]| SignalWorkflowRequest {
        workflow_id: id.clone(),
        name: name.to_owned(),
        payload: Some(Payload::InputJson(json.to_vec())),
    };
    let kept = client(&scene).signal_workflow(signal("other", b"1")).await.unwrap().into_inner();
    assert_eq!(kept.task_id, "");
    let bad = client(&scene).signal_workflow(signal("approved", b"{")).await.unwrap_err();
    assert_eq!(wrong_fields(&bad), ["input_json"]);
    let keyed = |json: &[u8]| {
        let mut request = Request::new(signal("approved", json));
        request.metadata_mut().insert("idempotency-key", "once".parse().unwrap());
        request
    };
    let woken = client(&scene).signal_workflow(keyed(b"{\"by\":\"ann\"}")).await.unwrap().into_inner();
    assert_eq!(woken.task_id, "ask");
    let seen = scene.until(&id, WorkflowStatus::Completed).await;
    let again = client(&scene).signal_workflow(keyed(b"{\"by\":\"ann\"}")).await.unwrap();
    assert!(again.metadata().get("idempotent-replayed").is_some());
    assert_eq!(again.into_inner(), woken);
    assert_eq!(scene.status(&id).await.sequence_number, seen.sequence_number);
    let other = client(&scene).signal_workflow(keyed(b"2")).await.unwrap_err();
    assert_eq!(reason(&other).0, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_read_page_by_page_and_says_what_happened() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.complete("a", "{\"x\":1}").await;
    let head = scene.until(&id, WorkflowStatus::Completed).await.sequence_number;
    let (mut events, mut page_token) = (Vec::new(), String::new());
    loop {
        let pagination = Some(PaginationRequest { page_size: 2, page_token });
        let request = GetHistoryRequest { workflow_id: id.clone(), after_sequence: 0, pagination };
        let page = client(&scene).get_history(request).await.unwrap().into_inner();
        let pagination = page.pagination.unwrap();
        assert_eq!((i64::from(pagination.total_count), page.oldest_sequence), (head, 1));
        events.extend(page.events);
        page_token = pagination.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(
        events.iter().map(|event| event.sequence_number).collect::<Vec<_>>(),
        (1..=head).collect::<Vec<_>>()
    );
    assert_eq!(events[0].r#type, "workflow_submitted");
    let done = events.iter().find(|event| event.r#type == "task_completed").unwrap();
    let data: serde_json::Value = serde_json::from_slice(&done.data_json).unwrap();
    assert_eq!((done.task_id.as_str(), &data["result"]["x"]), ("a", &serde_json::json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_comes_in_pieces_from_any_offset() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    let large = format!("\"{}\"", "0123456789".repeat(100_000));
    scene.complete("a", &large).await;
    for offset in [0, 700_000] {
        let request = GetTaskResultStreamRequest {
            workflow_id: id.clone(),
            task_id: "a".to_owned(),
            offset_bytes: offset,
        };
        let stream = client(&scene).get_task_result_stream(request).await.unwrap().into_inner();
        let chunks: Vec<_> = stream.map(|chunk| chunk.unwrap().data).collect().await;
        assert!(chunks.len() > 1);
        assert!(chunks.concat() == large.as_bytes()[offset as usize..]);
    }
    let request =
        GetTaskResultStreamRequest { workflow_id: id, task_id: "a".to_owned(), offset_bytes: 9_000_000 };
    let beyond = client(&scene).get_task_result_stream(request).await.unwrap_err();
    assert_eq!((beyond.code(), reason(&beyond).0.as_str()), (Code::OutOfRange, "OFFSET_OUT_OF_RANGE"));
}
