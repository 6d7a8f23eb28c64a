//! WorkflowService.

use std::{collections::HashSet, sync::Arc};

use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, GetTaskResultRequest, GetWorkflowStatusRequest, ListWorkflowsRequest,
    PaginationRequest, SubmitWorkflowRequest, TaskStatus, WorkflowFilter, WorkflowStatus,
    submit_workflow_request::Payload,
};
use tonic::{Code, Request};
use workflow_store::MemoryStore;
use workflow_worker::api::Settings;

use crate::scene::{Scene, call, noop, reason, workflow, wrong_fields};

fn keyed(request: SubmitWorkflowRequest, key: &str) -> Request<SubmitWorkflowRequest> {
    let mut request = Request::new(request);
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_submitted_is_seen_and_runs_to_its_end() {
    let scene = Scene::start().await;
    let request = SubmitWorkflowRequest {
        attributes: [("team".to_owned(), "north".to_owned())].into(),
        payload: Some(Payload::InputJson(b"{\"n\":9007199254740993}".to_vec())),
        ..workflow([call("a", "hold", &[]), call("b", "", &["a"])])
    };
    let id = scene.submit(request).await;
    let seen = scene.status(&id).await;
    assert_eq!((seen.name.as_str(), seen.tasks.len(), seen.progress_percent), ("trip", 2, 0));
    assert_eq!(seen.input_json, b"{\"n\":9007199254740993}");
    assert_eq!(seen.attributes["team"], "north");
    assert_eq!(seen.tasks[1].dependencies, ["a"]);
    assert_eq!((seen.tasks[0].r#type.as_str(), seen.tasks[0].target.as_str()), ("agent", "echo-agent"));
    scene.complete("a", "{\"ok\":true}").await;
    let done = scene.until(&id, WorkflowStatus::Completed).await;
    assert_eq!((done.progress_percent, done.tasks[1].status()), (100, TaskStatus::Completed));
    assert!(done.finished_at.is_some() && done.sequence_number > seen.sequence_number);
    let result = GetTaskResultRequest { workflow_id: id, task_id: "a".to_owned() };
    let result = scene.workflows().get_task_result(result).await.unwrap().into_inner();
    assert_eq!(
        (result.status(), result.result_data.as_slice()),
        (TaskStatus::Completed, &b"{\"ok\":true}"[..])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_2_a_key_gives_the_same_answer_also_to_64_at_once_and_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let scene = Scene::with(store.clone(), Settings::default()).await;
    let calls = (0..64).map(|_| {
        let mut client = scene.workflows();
        tokio::spawn(async move {
            let answer = client.submit_workflow(keyed(workflow([noop("a")]), "key")).await.unwrap();
            (answer.metadata().get("idempotent-replayed").is_some(), answer.into_inner())
        })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    assert_eq!(answers.iter().filter(|(replayed, _)| !replayed).count(), 1);
    let different: HashSet<_> = answers.iter().map(|(_, answer)| format!("{answer:?}")).collect();
    assert_eq!(different.len(), 1);

    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    let scene = Scene::with(store, Settings::default()).await;
    let again = scene.workflows().submit_workflow(keyed(workflow([noop("a")]), "key")).await.unwrap();
    assert!(again.metadata().get("idempotent-replayed").is_some());
    assert_eq!(again.into_inner(), answers[0].1);
    let other = scene.workflows().submit_workflow(keyed(workflow([noop("b")]), "key")).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).0.as_str()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));
    let list = scene.workflows().list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.workflows.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_7_the_total_count_is_that_of_all_pages_and_tokens_cannot_be_edited() {
    let scene = Scene::start().await;
    let mut ids = Vec::new();
    for n in 0..7 {
        let request = SubmitWorkflowRequest { name: format!("w{}", n % 2), ..workflow([noop("a")]) };
        ids.push(scene.submit(request).await);
    }
    ids.reverse();
    let ask = async |page_size, page_token: &str, name: &str| {
        let request = ListWorkflowsRequest {
            pagination: Some(PaginationRequest { page_size, page_token: page_token.to_owned() }),
            filter: Some(WorkflowFilter { name_prefix: name.to_owned(), ..WorkflowFilter::default() }),
            ..ListWorkflowsRequest::default()
        };
        let answer = scene.workflows().list_workflows(request).await?.into_inner();
        let ids: Vec<_> = answer.workflows.into_iter().map(|one| one.workflow_id).collect();
        Ok::<_, tonic::Status>((ids, answer.pagination.unwrap()))
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (page, pagination) = ask(3, &token, "").await.unwrap();
        assert_eq!(pagination.total_count, 7);
        seen.extend(page);
        token = pagination.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ids, "newest first");
    let (page, pagination) = ask(0, "", "w1").await.unwrap();
    assert_eq!((page.len(), pagination.total_count), (3, 3));

    let token = ask(3, "", "").await.unwrap().1.next_page_token;
    for (token, name) in [(format!("{token}A"), ""), (token.replace(&token[10..11], "-"), ""), (token, "w")] {
        let refused = ask(3, &token, name).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{token}");
        assert_eq!(wrong_fields(&refused), ["pagination.page_token"]);
    }
    let negative = ask(-1, "", "").await.unwrap_err();
    assert_eq!(wrong_fields(&negative), ["pagination.page_size"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_8_failures_are_statuses_with_reasons_and_never_ok() {
    let scene = Scene::start().await;
    let mut client = scene.workflows();
    let invalid = client.submit_workflow(workflow([call("a", "", &["b"])])).await.unwrap_err();
    assert_eq!((invalid.code(), reason(&invalid).0.as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    assert_eq!(wrong_fields(&invalid), ["tasks[0].dependencies[0]"]);
    let unknown = GetWorkflowStatusRequest { workflow_id: "none".to_owned(), ..Default::default() };
    let unknown = client.get_workflow_status(unknown).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).0.as_str()), (Code::NotFound, "WORKFLOW_NOT_FOUND"));

    let id = scene.submit(workflow([noop("a")])).await;
    scene.until(&id, WorkflowStatus::Completed).await;
    let cancel = CancelWorkflowRequest { workflow_id: id.clone(), ..CancelWorkflowRequest::default() };
    let ended = client.cancel_workflow(cancel).await.unwrap_err();
    let (why, facts) = reason(&ended);
    assert_eq!((ended.code(), why.as_str()), (Code::FailedPrecondition, "ALREADY_TERMINAL"));
    assert_eq!(facts["status"], "COMPLETED");
    let no_task = GetTaskResultRequest { workflow_id: id.clone(), task_id: "z".to_owned() };
    let no_task = client.get_task_result(no_task).await.unwrap_err();
    assert_eq!((no_task.code(), reason(&no_task).0.as_str()), (Code::NotFound, "TASK_NOT_FOUND"));
    let taken = SubmitWorkflowRequest { workflow_id: "mine".to_owned(), ..workflow([noop("a")]) };
    client.submit_workflow(taken.clone()).await.unwrap();
    let taken = client.submit_workflow(taken).await.unwrap_err();
    assert_eq!((taken.code(), reason(&taken).0.as_str()), (Code::AlreadyExists, "WORKFLOW_EXISTS"));
    scene.engine.set_paused(true).await.unwrap();
    let paused = client.submit_workflow(workflow([noop("a")])).await.unwrap_err();
    assert_eq!((paused.code(), reason(&paused).0.as_str()), (Code::FailedPrecondition, "ENGINE_PAUSED"));
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_10_a_workflow_that_fails_is_found_and_says_why() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "fail", &[]), call("b", "", &["a"])])).await;
    let failed = scene.until(&id, WorkflowStatus::Failed).await;
    assert_eq!(failed.error_message, "it is broken");
    assert_eq!(
        (failed.tasks[0].status(), failed.tasks[0].error_code.as_str()),
        (TaskStatus::Failed, "BROKEN")
    );
    assert_eq!(failed.tasks[1].status(), TaskStatus::Cancelled);
    let list = scene.workflows().list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    assert_eq!(list.workflows[0].error_message, "it is broken");
    let result = GetTaskResultRequest { workflow_id: id, task_id: "a".to_owned() };
    let result = scene.workflows().get_task_result(result).await.unwrap().into_inner();
    assert_eq!((result.status(), result.error_message.as_str()), (TaskStatus::Failed, "it is broken"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_task_that_has_not_ended_is_its_status() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let request = GetTaskResultRequest { workflow_id: id, task_id: "a".to_owned() };
    let result = scene.workflows().get_task_result(request).await.unwrap().into_inner();
    assert_eq!((result.status(), result.result_data.len()), (TaskStatus::Running, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_twice_is_cancelling_once() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "stubborn", &[])])).await;
    scene.held("a").await;
    let cancel =
        |force| CancelWorkflowRequest { workflow_id: id.clone(), force, reason: "enough".to_owned() };
    let first = scene.workflows().cancel_workflow(cancel(false)).await.unwrap().into_inner();
    assert_eq!((first.success, first.status()), (true, WorkflowStatus::Running));
    for _ in 0..2 {
        let forced = scene.workflows().cancel_workflow(cancel(true)).await.unwrap().into_inner();
        assert_eq!((forced.success, forced.status()), (true, WorkflowStatus::Cancelled));
    }
}
