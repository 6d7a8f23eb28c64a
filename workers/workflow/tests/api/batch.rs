//! BatchService.

use std::{collections::HashSet, sync::Arc};

use switchboard_proto::goclaw::v1::{
    CancelWorkflowsRequest, GetTaskResultsRequest, GetWorkflowStatusesRequest, ListWorkflowsRequest,
    PaginationRequest, SubmitWorkflowRequest, SubmitWorkflowsRequest, WorkflowStatus,
    batch_service_client::BatchServiceClient,
};
use tonic::{Code, transport::Channel};
use workflow_store::MemoryStore;
use workflow_worker::api::Settings;

use crate::scene::{Scene, call, noop, reason, workflow, wrong_fields};

fn client(scene: &Scene) -> BatchServiceClient<Channel> {
    BatchServiceClient::new(scene.channel.clone())
}

fn named(name: &str) -> SubmitWorkflowRequest {
    SubmitWorkflowRequest { name: name.to_owned(), ..workflow([noop("a")]) }
}

async fn listed(scene: &Scene) -> Vec<(String, WorkflowStatus)> {
    let list = scene.workflows().list_workflows(ListWorkflowsRequest::default()).await.unwrap().into_inner();
    list.workflows.into_iter().map(|one| (one.name.clone(), one.status())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_1_an_atomic_batch_with_a_bad_item_leaves_nothing_behind() {
    let scene = Scene::start().await;
    let bad = || workflow([call("a", "", &["nobody"])]);
    let workflows = vec![named("one"), bad(), named("three"), bad()];
    let request = SubmitWorkflowsRequest { workflows, atomic: true, ..SubmitWorkflowsRequest::default() };
    let refused = client(&scene).submit_workflows(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::InvalidArgument, "VALIDATION_FAILED"));
    let fields = ["workflows[1].tasks[0].dependencies[0]", "workflows[3].tasks[0].dependencies[0]"];
    assert_eq!(wrong_fields(&refused), fields);
    // What the request says wrongly, and what the graph has wrong, in one answer.
    let urgent = SubmitWorkflowRequest { priority: 5_000, ..named("urgent") };
    let request =
        SubmitWorkflowsRequest { workflows: vec![bad(), urgent], atomic: true, ..Default::default() };
    let refused = client(&scene).submit_workflows(request).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["workflows[0].tasks[0].dependencies[0]", "workflows[1].priority"]);
    assert_eq!(listed(&scene).await, [], "no cancelled leftovers");

    let taken = SubmitWorkflowRequest { workflow_id: "taken".to_owned(), ..named("first") };
    scene.submit(taken.clone()).await;
    let request =
        SubmitWorkflowsRequest { workflows: vec![named("one"), taken], atomic: true, ..Default::default() };
    let refused = client(&scene).submit_workflows(request).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::AlreadyExists, "WORKFLOW_EXISTS"));
    assert_eq!(listed(&scene).await.len(), 1);

    let workflows = (0..100).map(|n| named(&n.to_string())).collect();
    let request = SubmitWorkflowsRequest { workflows, atomic: true, ..SubmitWorkflowsRequest::default() };
    let all = client(&scene).submit_workflows(request).await.unwrap().into_inner().results;
    let ids: HashSet<_> = all.iter().map(|result| result.workflow_id.as_str()).collect();
    assert!(all.iter().all(|result| result.success) && ids.len() == 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn items_fail_alone_and_the_whole_answer_is_given_again() {
    let store = Arc::new(MemoryStore::default());
    let scene = Scene::with(store.clone(), Settings::default()).await;
    let taken = SubmitWorkflowRequest { workflow_id: "taken".to_owned(), ..named("first") };
    scene.submit(taken.clone()).await;
    let request = SubmitWorkflowsRequest {
        workflows: vec![
            named("zero"),
            workflow([call("a", "", &["nobody"])]),
            taken,
            workflow([]),
            named("four"),
        ],
        idempotency_key: "batch".to_owned(),
        ordered: true,
        ..SubmitWorkflowsRequest::default()
    };
    let first = client(&scene).submit_workflows(request.clone()).await.unwrap();
    assert!(first.metadata().get("idempotent-replayed").is_none());
    let first = first.into_inner();
    let codes = first.results.iter().map(|one| one.error.as_ref().map_or("", |error| error.code.as_str()));
    let codes: Vec<_> = codes.collect();
    assert_eq!(codes, ["", "VALIDATION_FAILED", "WORKFLOW_EXISTS", "VALIDATION_FAILED", ""]);
    assert_eq!(first.results.iter().map(|one| one.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();

    let scene = Scene::with(store, Settings::default()).await;
    let again = client(&scene).submit_workflows(request.clone()).await.unwrap();
    assert!(again.metadata().get("idempotent-replayed").is_some());
    assert_eq!(again.into_inner(), first);
    let other = SubmitWorkflowsRequest { workflows: vec![named("other")], ..request };
    let reused = client(&scene).submit_workflows(other).await.unwrap_err();
    assert_eq!(reason(&reused).0, "IDEMPOTENCY_KEY_REUSED");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_neither_empty_nor_endless() {
    let scene = Scene::start().await;
    let empty = client(&scene).submit_workflows(SubmitWorkflowsRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&empty), ["workflows"]);
    let workflow_ids = vec!["a".to_owned(); 101];
    let request = GetWorkflowStatusesRequest { workflow_ids, pagination: None };
    let large = client(&scene).get_workflow_statuses(request).await.unwrap_err();
    let (why, facts) = reason(&large);
    assert_eq!(
        (large.code(), why.as_str(), facts["max"].as_str()),
        (Code::InvalidArgument, "BATCH_TOO_LARGE", "100")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn statuses_come_in_the_order_of_the_request_page_by_page() {
    let scene = Scene::start().await;
    let (a, b) = (scene.submit(named("a")).await, scene.submit(named("b")).await);
    let workflow_ids = vec![b.clone(), "none".to_owned(), a, b];
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let pagination = Some(PaginationRequest { page_size: 3, page_token });
        let request = GetWorkflowStatusesRequest { workflow_ids: workflow_ids.clone(), pagination };
        let page = client(&scene).get_workflow_statuses(request).await.unwrap().into_inner();
        let pagination = page.pagination.unwrap();
        assert_eq!(pagination.total_count, 4);
        seen.extend(
            page.results
                .into_iter()
                .map(|one| (one.status.map(|status| status.name), one.error.map(|error| error.code))),
        );
        page_token = pagination.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let found = |name: &str| (Some(name.to_owned()), None);
    assert_eq!(seen, [found("b"), (None, Some("NOT_FOUND".to_owned())), found("a"), found("b")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancellations_wait_so_long_and_go_on() {
    let scene = Scene::start().await;
    let done = scene.submit(named("done")).await;
    scene.until(&done, WorkflowStatus::Completed).await;
    let quick = scene.submit(workflow([call("a", "hold", &[])])).await;
    let slow = scene.submit(workflow([call("b", "stubborn", &[])])).await;
    scene.held("a").await;
    scene.held("b").await;
    let request = CancelWorkflowsRequest {
        workflow_ids: vec![done, "none".to_owned(), quick.clone(), slow.clone()],
        timeout_seconds: 1,
        ..CancelWorkflowsRequest::default()
    };
    let results = client(&scene).cancel_workflows(request).await.unwrap().into_inner().results;
    let seen: Vec<_> = results
        .iter()
        .map(|one| {
            (one.success, one.already_terminal, one.error.as_ref().map_or("", |error| error.code.as_str()))
        })
        .collect();
    let wanted = [
        (true, true, ""),
        (false, false, "NOT_FOUND"),
        (true, false, ""),
        (false, false, "DEADLINE_EXCEEDED"),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(scene.status(&quick).await.status(), WorkflowStatus::Cancelled);
    let force =
        CancelWorkflowsRequest { workflow_ids: vec![slow.clone()], force: true, ..Default::default() };
    assert!(client(&scene).cancel_workflows(force).await.unwrap().into_inner().results[0].success);
    assert_eq!(scene.status(&slow).await.status(), WorkflowStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_fill_pages_that_clients_can_take() {
    let scene = Scene::start().await;
    let names: Vec<_> = (0..6).map(|n| format!("t{n}")).collect();
    let id = scene.submit(workflow(names.iter().map(|name| call(name, "hold", &[])))).await;
    let large = format!("\"{}\"", "x".repeat(1 << 20));
    for name in &names {
        scene.complete(name, &large).await;
    }
    let (mut seen, mut page_token, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let pagination = Some(PaginationRequest { page_size: 0, page_token });
        let request = GetTaskResultsRequest { workflow_id: id.clone(), task_ids: Vec::new(), pagination };
        let page = client(&scene).get_task_results(request).await.unwrap().into_inner();
        pages += 1;
        seen.extend(page.results.into_iter().map(|one| (one.task_id, one.result.unwrap().result_data.len())));
        page_token = page.pagination.unwrap().next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages, 2);
    assert_eq!(seen, names.iter().map(|name| (name.clone(), large.len())).collect::<Vec<_>>());
}
