//! SagaService.

use std::collections::BTreeMap;

use switchboard_proto::goclaw::v1::{
    CompensateSagaRequest, Compensation, GetSagaStatusRequest, ListSagasRequest, SagaCompensationPolicy,
    SagaState, SagaStepDefinition, SubmitSagaRequest, TaskDefinition, WatchSagaRequest,
    saga_service_client::SagaServiceClient,
};
use switchboard_testkit::eventually;
use tokio_stream::StreamExt;
use tonic::{Code, transport::Channel};

use crate::scene::{PATIENCE, Scene, call, noop, reason, workflow};

fn client(scene: &Scene) -> SagaServiceClient<Channel> {
    SagaServiceClient::new(scene.channel.clone())
}

/// A step that can be undone.
fn step(id: &str, after: &[&str], operation: &str) -> SagaStepDefinition {
    let undo = Compensation { r#type: "noop".to_owned(), ..Compensation::default() };
    let task = TaskDefinition { compensate: Some(undo), ..call("", operation, &[]) };
    SagaStepDefinition {
        id: id.to_owned(),
        depends_on: after.iter().map(|&id| id.to_owned()).collect(),
        task: Some(task),
        ..SagaStepDefinition::default()
    }
}

fn saga(policy: SagaCompensationPolicy, last: &str) -> SubmitSagaRequest {
    SubmitSagaRequest {
        name: "booking".to_owned(),
        policy: policy.into(),
        metadata: BTreeMap::new(),
        steps: vec![step("flight", &[], ""), step("hotel", &["flight"], ""), step("pay", &["hotel"], last)],
        ..SubmitSagaRequest::default()
    }
}

async fn until(
    scene: &Scene,
    id: &str,
    state: SagaState,
) -> switchboard_proto::goclaw::v1::GetSagaStatusResponse {
    let look = async || {
        let request = GetSagaStatusRequest { saga_id: id.to_owned() };
        let now = client(scene).get_saga_status(request).await.unwrap().into_inner();
        if now.state() == state { Ok(now) } else { Err(now.state()) }
    };
    eventually(PATIENCE, look).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_saga_is_undone_in_reverse_and_says_so() {
    let scene = Scene::start().await;
    let request = saga(SagaCompensationPolicy::Auto, "fail");
    let id = client(&scene).submit_saga(request).await.unwrap().into_inner().saga_id;
    let undone = until(&scene, &id, SagaState::Compensated).await;
    assert_eq!(undone.completed_steps, ["flight", "hotel"]);
    assert_eq!(undone.compensated_steps, ["hotel", "flight"]);
    assert_eq!((undone.failed_step.as_str(), undone.failure_reason.as_str()), ("pay", "it is broken"));
    let well = client(&scene).submit_saga(saga(SagaCompensationPolicy::Auto, "")).await.unwrap().into_inner();
    until(&scene, &well.saga_id, SagaState::Completed).await;
    for (state, wanted) in [(SagaState::Compensated, vec![&id]), (SagaState::Completed, vec![&well.saga_id])]
    {
        let request = ListSagasRequest { state_filter: state.into(), ..ListSagasRequest::default() };
        let list = client(&scene).list_sagas(request).await.unwrap().into_inner();
        assert_eq!(list.sagas.iter().map(|one| &one.saga_id).collect::<Vec<_>>(), wanted);
        assert!(list.sagas.iter().all(|one| one.state() == state));
        assert_eq!(list.pagination.unwrap().total_count, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_saga_waits_to_be_undone_and_is_watched() {
    let scene = Scene::start().await;
    let request = saga(SagaCompensationPolicy::Manual, "hold");
    let id = client(&scene).submit_saga(request).await.unwrap().into_inner().saga_id;
    scene.held("pay").await;
    let watch = WatchSagaRequest { saga_id: id.clone(), ..WatchSagaRequest::default() };
    let stream = client(&scene).watch_saga(watch).await.unwrap().into_inner();
    let error = workflow_machine::TaskError::permanent("DECLINED", "no money");
    scene.report("pay", workflow_worker::attempt::Report::Failed { error }).await;
    until(&scene, &id, SagaState::PendingCompensation).await;
    let request = CompensateSagaRequest { saga_id: id.clone(), reason: "no money".to_owned() };
    client(&scene).compensate_saga(request).await.unwrap();
    until(&scene, &id, SagaState::Compensated).await;
    let states: Vec<_> = stream.map(|event| event.unwrap().state()).collect().await;
    let wanted =
        [SagaState::Running, SagaState::PendingCompensation, SagaState::Compensating, SagaState::Compensated];
    assert_eq!(states, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_is_no_saga() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([noop("a")])).await;
    for saga_id in [id, "none".to_owned()] {
        let missing = client(&scene).get_saga_status(GetSagaStatusRequest { saga_id }).await.unwrap_err();
        assert_eq!((missing.code(), reason(&missing).0.as_str()), (Code::NotFound, "SAGA_NOT_FOUND"));
    }
}
