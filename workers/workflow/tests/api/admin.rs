//! AdminService.

use std::sync::Arc;

use switchboard_backend::{Backend, Mode, PolicySettings, RegistryConfig};
use switchboard_proto::goclaw::v1::{
    ClusterOperation, DebugInfoType, EngineState, ExportMetricsRequest, GetDebugInfoRequest,
    GetEngineStatusRequest, GetLaneStatsRequest, ListLanesRequest, ListWorkflowsRequest,
    ManageClusterRequest, MetricsFormat, PauseWorkflowsRequest, PurgeWorkflowsRequest,
    ResumeWorkflowsRequest, SubmitWorkflowsRequest, UpdateConfigRequest,
    admin_service_client::AdminServiceClient, batch_service_client::BatchServiceClient,
    operator_service_client::OperatorServiceClient,
};
use tonic::{
    Code, Request,
    transport::{Channel, Endpoint},
};
use workflow_store::MemoryStore;
use workflow_worker::api::{Api, Services, Settings};

use crate::scene::{Scene, call, noop, reason, workflow, wrong_fields};

fn client(scene: &Scene) -> AdminServiceClient<Channel> {
    AdminServiceClient::new(scene.channel.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_says_what_it_does() {
    let scene = Scene::start().await;
    let idle = client(&scene).get_engine_status(GetEngineStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((idle.state(), idle.healthy, idle.paused), (EngineState::Idle, true, false));
    let metrics = idle.metrics.unwrap();
    assert!(metrics.memory_usage_bytes > 0 && metrics.goroutine_count > 0 && idle.uptime_since.is_some());
    scene.submit(workflow([call("a", "hold", &[])])).await;
    scene.held("a").await;
    let busy = client(&scene).get_engine_status(GetEngineStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((busy.state(), busy.metrics.unwrap().running_tasks), (EngineState::Running, 1));
    let prometheus = ExportMetricsRequest {
        format: MetricsFormat::Prometheus.into(),
        prefix_filter: "workflow_lane_running".to_owned(),
    };
    let text = client(&scene).export_metrics(prometheus).await.unwrap().into_inner().metrics_data;
    assert!(text.contains("workflow_lane_running_attempts{lane=\"default\"} 1\n"), "{text}");
    let json = client(&scene).export_metrics(ExportMetricsRequest::default()).await.unwrap().into_inner();
    let json: serde_json::Value = serde_json::from_str(&json.metrics_data).unwrap();
    assert_eq!(json["workflow_engine_submitted_total"], 1.0);
    let debug = |kind: DebugInfoType| GetDebugInfoRequest { r#type: kind.into(), duration_seconds: 0 };
    let threads = client(&scene).get_debug_info(debug(DebugInfoType::Goroutine)).await.unwrap().into_inner();
    assert!(String::from_utf8(threads.debug_data).unwrap().contains(" engine "));
    let second = GetDebugInfoRequest { duration_seconds: 1, ..debug(DebugInfoType::Cpu) };
    let profile = client(&scene).get_debug_info(second).await.unwrap().into_inner().debug_data;
    assert!(profile.windows(11).any(|part| part == b"nanoseconds"), "a profile in the format of pprof");
    let long = GetDebugInfoRequest { duration_seconds: 61, ..debug(DebugInfoType::Cpu) };
    let refused = client(&scene).get_debug_info(long).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["duration_seconds"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_needs_confirmation_and_survives_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let scene = Scene::with(store.clone(), Settings::default()).await;
    let unsure =
        client(&scene).pause_workflows(PauseWorkflowsRequest { confirmation: false }).await.unwrap_err();
    assert_eq!(
        (unsure.code(), reason(&unsure).0.as_str()),
        (Code::FailedPrecondition, "CONFIRMATION_REQUIRED")
    );
    client(&scene).pause_workflows(PauseWorkflowsRequest { confirmation: true }).await.unwrap();
    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
    let scene = Scene::with(store, Settings::default()).await;
    let refused = scene.workflows().submit_workflow(workflow([noop("a")])).await.unwrap_err();
    assert_eq!(reason(&refused).0, "ENGINE_PAUSED");
    for _ in 0..2 {
        assert!(
            client(&scene).resume_workflows(ResumeWorkflowsRequest {}).await.unwrap().into_inner().success
        );
    }
    scene.submit(workflow([noop("a")])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_together_or_not_at_all() {
    let store = Arc::new(MemoryStore::default());
    let scene = Scene::with(store.clone(), Settings::default()).await;
    let update = |updates: &[(&str, &str)], persist, dry_run| UpdateConfigRequest {
        config_updates: updates.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        persist,
        dry_run,
    };
    let too_many = SubmitWorkflowsRequest {
        workflows: vec![workflow([noop("a")]); 2],
        ..SubmitWorkflowsRequest::default()
    };
    let bad = update(&[("batch.max_size", "1"), ("lane.none.workers", "3"), ("x", "y")], true, false);
    let refused = client(&scene).update_config(bad).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["config_updates[\"lane.none.workers\"]", "config_updates[\"x\"]"]);
    let good = [("batch.max_size", "1"), ("lane.default.workers", "7"), ("history.retention_hours", "48")];
    let echoed = client(&scene).update_config(update(&good, true, true)).await.unwrap().into_inner();
    assert_eq!(echoed.applied_changes.len(), 3);
    let retention = async |scene: &Scene| {
        let request = ExportMetricsRequest {
            prefix_filter: "workflow_engine_retention_seconds".to_owned(),
            ..ExportMetricsRequest::default()
        };
        let json = client(scene).export_metrics(request).await.unwrap().into_inner().metrics_data;
        serde_json::from_str::<serde_json::Value>(&json).unwrap()["workflow_engine_retention_seconds"].clone()
    };
    assert_eq!(retention(&scene).await, 604_800.0, "a week, and nothing has changed yet");
    let mut batches = BatchServiceClient::new(scene.channel.clone());
    batches.submit_workflows(too_many.clone()).await.unwrap();
    client(&scene).update_config(update(&good, true, false)).await.unwrap();
    assert_eq!(reason(&batches.submit_workflows(too_many.clone()).await.unwrap_err()).0, "BATCH_TOO_LARGE");
    let engine = scene.engine.clone();
    tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();

    let scene = Scene::with(store, Settings::default()).await;
    let mut batches = BatchServiceClient::new(scene.channel.clone());
    assert_eq!(reason(&batches.submit_workflows(too_many).await.unwrap_err()).0, "BATCH_TOO_LARGE");
    assert_eq!(retention(&scene).await, 172_800.0);
    let lanes = GetLaneStatsRequest { lane_name: "default".to_owned() };
    let lanes = client(&scene).get_lane_stats(lanes).await.unwrap().into_inner().lanes;
    assert_eq!((lanes.len(), lanes[0].worker_count), (1, 7));
    let unknown = GetLaneStatsRequest { lane_name: "none".to_owned() };
    let unknown = client(&scene).get_lane_stats(unknown).await.unwrap_err();
    assert_eq!((unknown.code(), reason(&unknown).0.as_str()), (Code::NotFound, "LANE_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_is_asked_for_twice_and_takes_only_what_is_old() {
    let scene = Scene::start().await;
    let id = scene.submit(workflow([noop("a")])).await;
    let purge = |age_threshold_hours, confirmation, dry_run| PurgeWorkflowsRequest {
        age_threshold_hours,
        confirmation,
        dry_run,
    };
    let unsure = client(&scene).purge_workflows(purge(1, false, false)).await.unwrap_err();
    assert_eq!(reason(&unsure).0, "CONFIRMATION_REQUIRED");
    let zero = client(&scene).purge_workflows(purge(0, true, false)).await.unwrap_err();
    assert_eq!(wrong_fields(&zero), ["age_threshold_hours"]);
    let young = client(&scene).purge_workflows(purge(1, true, false)).await.unwrap().into_inner();
    assert_eq!(young.purged_count, 0);
    let at = scene.status(&id).await.finished_at.unwrap().seconds as u64 * 1_000 + 2_000;
    assert_eq!(scene.engine.purgeable(at).await.unwrap(), 1);
    let live = scene.submit(workflow([call("b", "hold", &[])])).await;
    assert_eq!(scene.engine.purge(at, 10).await.unwrap(), 1);
    let all = ListWorkflowsRequest::default();
    let list = scene.workflows().list_workflows(all).await.unwrap().into_inner().workflows;
    assert_eq!(list.iter().map(|one| &one.workflow_id).collect::<Vec<_>>(), [&live]);
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_11_a_node_that_is_alone_says_why_it_promotes_nobody() {
    let scene = Scene::start().await;
    let manage = |operation: ClusterOperation, confirmation| ManageClusterRequest {
        operation: operation.into(),
        node_id: "n2".to_owned(),
        confirmation,
        ..ManageClusterRequest::default()
    };
    let list =
        client(&scene).manage_cluster(manage(ClusterOperation::List, false)).await.unwrap().into_inner();
    assert_eq!((list.nodes.len(), list.nodes[0].healthy), (1, true));
    for (confirmation, why) in [(false, "CONFIRMATION_REQUIRED"), (true, "SINGLE_NODE")] {
        let promote = manage(ClusterOperation::Promote, confirmation);
        let refused = client(&scene).manage_cluster(promote).await.unwrap_err();
        assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::FailedPrecondition, why));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn defect_6_the_role_admin_opens_the_admin_api_and_nothing_else_does() {
    let scene = Scene::start().await;
    let directory = tempfile::tempdir().unwrap();
    let tokens = directory.path().join("tokens.toml");
    let (admin, user) = ("0123456789abcdef-admin", "0123456789abcdef-user");
    let entry = |token, name, role| {
        format!("[[tokens]]\ntoken = \"{token}\"\nname = \"{name}\"\nroles = [\"{role}\"]\n")
    };
    std::fs::write(&tokens, entry(admin, "ann", "admin") + &entry(user, "ben", "caller")).unwrap();
    let policy = PolicySettings { mode: Mode::Any, tokens: Some(tokens), ..PolicySettings::default() };
    let services = Services::new(Api::start(scene.engine.clone(), Settings::default()).await.unwrap());
    let backend = Backend::worker("workflow")
        .listen("127.0.0.1:0".parse().unwrap())
        .registry(RegistryConfig::at("127.0.0.1:9").unwrap())
        .policy(policy);
    let running = services.add_to(backend).start().await.unwrap();
    let addr = running.addr();
    let channel = Endpoint::from_shared(format!("http://{addr}")).unwrap().connect().await.unwrap();
    fn with<T>(message: T, token: &str) -> Request<T> {
        let mut request = Request::new(message);
        if !token.is_empty() {
            request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }
    let (mut engine, mut lanes) =
        (AdminServiceClient::new(channel.clone()), OperatorServiceClient::new(channel.clone()));
    for (token, code) in [
        ("", Code::Unauthenticated),
        ("0123456789abcdef-wrong", Code::Unauthenticated),
        (user, Code::PermissionDenied),
    ] {
        assert_eq!(
            engine.get_engine_status(with(GetEngineStatusRequest {}, token)).await.unwrap_err().code(),
            code
        );
        assert_eq!(lanes.list_lanes(with(ListLanesRequest {}, token)).await.unwrap_err().code(), code);
    }
    engine.get_engine_status(with(GetEngineStatusRequest {}, admin)).await.unwrap();
    lanes.list_lanes(with(ListLanesRequest {}, admin)).await.unwrap();

    let mut workflows =
        switchboard_proto::goclaw::v1::workflow_service_client::WorkflowServiceClient::new(channel);
    let id =
        workflows.submit_workflow(with(workflow([noop("a")]), user)).await.unwrap().into_inner().workflow_id;
    assert_eq!(scene.status(&id).await.owner, "ben");
}
