//! SignalService.

use switchboard_proto::goclaw::v1::{
    SignalTaskRequest, SignalType, WorkflowStatus, signal_service_client::SignalServiceClient,
};
use tonic::{Code, transport::Channel};

use crate::scene::{Scene, call, reason, workflow, wrong_fields};

fn client(scene: &Scene) -> SignalServiceClient<Channel> {
    SignalServiceClient::new(scene.channel.clone())
}

fn signal(kind: SignalType, workflow_id: &str, tasks: &[&str]) -> SignalTaskRequest {
    SignalTaskRequest {
        r#type: kind.into(),
        workflow_id: workflow_id.to_owned(),
        task_ids: tasks.iter().map(|&task| task.to_owned()).collect(),
        ..SignalTaskRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_collected_when_they_are_there() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[]), call("b", "hold", &[])])).await;
    scene.complete("a", "1").await;
    scene.held("b").await;
    let both = SignalTaskRequest { timeout_ms: 200, ..signal(SignalType::Collect, &id, &["a", "b"]) };
    let some = client(&scene).signal_task(both.clone()).await.unwrap().into_inner();
    assert!(!some.success && some.results[0].result_data == b"1");
    assert!(some.results[1].error_message.starts_with("DEADLINE_EXCEEDED"), "{:?}", some.results[1]);
    let mut waiting = client(&scene);
    let waiting = tokio::spawn(async move {
        waiting.signal_task(SignalTaskRequest { timeout_ms: 20_000, ..both }).await.unwrap().into_inner()
    });
    scene.complete("b", "2").await;
    let all = waiting.await.unwrap();
    assert!(all.success && all.results[1].result_data == b"2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_task_is_steered_and_interrupted() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let named = format!("{id}/a");
    let steer = SignalTaskRequest {
        parameters: [("left".to_owned(), "a bit".to_owned())].into(),
        ..signal(SignalType::Steer, "", &[&named])
    };
    assert!(client(&scene).signal_task(steer).await.unwrap().into_inner().success);
    let interrupt = signal(SignalType::Interrupt, &id, &["a"]);
    assert!(client(&scene).signal_task(interrupt.clone()).await.unwrap().into_inner().success);
    let failed = scene.until(&id, WorkflowStatus::Failed).await;
    assert_eq!(failed.tasks[0].error_code, "INTERRUPTED");
    let late = client(&scene).signal_task(interrupt).await.unwrap_err();
    assert_eq!((late.code(), reason(&late).0.as_str()), (Code::FailedPrecondition, "ALREADY_TERMINAL"));
    let nobody = client(&scene).signal_task(signal(SignalType::Steer, "", &["a"])).await.unwrap_err();
    assert_eq!(wrong_fields(&nobody), ["task_id"]);
}
