//! OperatorService.

use switchboard_proto::goclaw::v1::{
    CreateLaneRequest, DeleteLaneRequest, ForceGcRequest, Lane, ListLanesRequest, PauseLaneRequest,
    RequeueWorkflowsRequest, ResumeLaneRequest, TaskDefinition, UpdateLaneRequest, WorkflowStatus,
    operator_service_client::OperatorServiceClient,
};
use tokio_stream::StreamExt;
use tonic::{Code, transport::Channel};
use workflow_machine::TaskError;
use workflow_worker::attempt::Report;

use crate::scene::{Scene, call, reason, workflow, wrong_fields};

fn client(scene: &Scene) -> OperatorServiceClient<Channel> {
    OperatorServiceClient::new(scene.channel.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_11_lanes_are_made_changed_paused_and_deleted() {
    let scene = Scene::start().await;
    let lane = |workers| Lane { name: "gpu".to_owned(), workers, ..Lane::default() };
    let create = CreateLaneRequest { lane: Some(lane(2)) };
    let made = client(&scene).create_lane(create.clone()).await.unwrap().into_inner();
    assert_eq!((made.workers, made.capacity > 0, made.paused), (2, true, false));
    let twice = client(&scene).create_lane(create).await.unwrap_err();
    assert_eq!((twice.code(), reason(&twice).0.as_str()), (Code::AlreadyExists, "LANE_EXISTS"));
    let changed =
        client(&scene).update_lane(UpdateLaneRequest { lane: Some(lane(5)) }).await.unwrap().into_inner();
    assert_eq!((changed.workers, changed.capacity), (5, made.capacity));
    let bad = UpdateLaneRequest { lane: Some(Lane { rate_per_sec: f64::NAN, ..lane(1) }) };
    assert_eq!(wrong_fields(&client(&scene).update_lane(bad).await.unwrap_err()), ["lane.rate_per_sec"]);

    let name = || "gpu".to_owned();
    assert!(client(&scene).pause_lane(PauseLaneRequest { name: name() }).await.unwrap().into_inner().paused);
    let task = TaskDefinition { lane: name(), ..call("a", "hold", &[]) };
    let id = scene.submit(workflow([task])).await;
    let used = client(&scene).delete_lane(DeleteLaneRequest { name: name() }).await.unwrap_err();
    assert_eq!((used.code(), reason(&used).0.as_str()), (Code::FailedPrecondition, "LANE_IN_USE"));
    client(&scene).resume_lane(ResumeLaneRequest { name: name() }).await.unwrap();
    scene.complete("a", "1").await;
    scene.until(&id, WorkflowStatus::Completed).await;
    client(&scene).delete_lane(DeleteLaneRequest { name: name() }).await.unwrap();
    let lanes = client(&scene).list_lanes(ListLanesRequest {}).await.unwrap().into_inner().lanes;
    assert_eq!(lanes.iter().map(|lane| lane.name.as_str()).collect::<Vec<_>>(), ["default"]);
    let gone = client(&scene).pause_lane(PauseLaneRequest { name: name() }).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).0.as_str()), (Code::NotFound, "LANE_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_11_failed_workflows_are_requeued_by_filter() {
    let scene = Scene::start().await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let task = format!("t{n}");
        ids.push(scene.submit(workflow([call(&task, "hold", &[])])).await);
        let error = TaskError::permanent("BROKEN", "once");
        scene.report(&task, Report::Failed { error }).await;
    }
    for id in &ids {
        scene.until(id, WorkflowStatus::Failed).await;
    }
    let request = RequeueWorkflowsRequest { rate_per_sec: 1_000.0, ..RequeueWorkflowsRequest::default() };
    let unsure = client(&scene).requeue_workflows(request.clone()).await.unwrap_err();
    assert_eq!(reason(&unsure).0, "CONFIRMATION_REQUIRED");
    let ask = async |request| {
        let stream = client(&scene).requeue_workflows(request).await.unwrap().into_inner();
        let all: Vec<_> = stream.map(|progress| progress.unwrap()).collect().await;
        all.last().unwrap().clone()
    };
    let dry = ask(RequeueWorkflowsRequest { dry_run: true, ..request.clone() }).await;
    assert_eq!((dry.matched, dry.requeued), (3, 0));
    let done = ask(RequeueWorkflowsRequest { confirmation: true, ..request.clone() }).await;
    assert_eq!((done.matched, done.requeued, done.skipped), (3, 3, 0));
    for (n, id) in ids.iter().enumerate() {
        scene.complete(&format!("t{n}"), "1").await;
        scene.until(id, WorkflowStatus::Completed).await;
    }
    let none = ask(RequeueWorkflowsRequest { confirmation: true, ..request }).await;
    assert_eq!((none.matched, none.requeued), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_11_memory_is_told_where_nothing_can_be_collected() {
    let scene = Scene::start().await;
    let memory = client(&scene).force_gc(ForceGcRequest {}).await.unwrap().into_inner();
    assert!(memory.resident_bytes_before > 0 && memory.resident_bytes_after > 0);
}
