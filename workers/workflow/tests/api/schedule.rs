//! ScheduleService.

use std::sync::Arc;

use crate::{
    owners::{Locked, by},
    scene::*,
};
use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{
    CreateScheduleRequest, DeleteScheduleRequest, GetScheduleRequest, GetWorkflowStatusRequest,
    ListSchedulesRequest, OverlapPolicy, PaginationRequest, PauseScheduleRequest, ResumeScheduleRequest,
    Schedule, ScheduleSpec, SubmitWorkflowRequest, TriggerScheduleRequest, WorkflowStatus,
    schedule_service_client::ScheduleServiceClient, workflow_service_client::WorkflowServiceClient,
};
use tonic::{Code, Request, transport::Channel};
use workflow_store::MemoryStore;
use workflow_worker::api::Settings;

fn client(scene: &Scene) -> ScheduleServiceClient<Channel> {
    ScheduleServiceClient::new(scene.channel.clone())
}

/// Once a day, in Rome.
fn daily(id: &str) -> CreateScheduleRequest {
    CreateScheduleRequest {
        schedule_id: id.to_owned(),
        spec: Some(ScheduleSpec {
            cron: "0 8 * * *".to_owned(),
            time_zone: "Europe/Rome".to_owned(),
            workflow: Some(workflow([call("a", "echo", &[])])),
            ..ScheduleSpec::default()
        }),
        ..CreateScheduleRequest::default()
    }
}

fn keyed<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
    request
}

async fn get(scene: &Scene, id: &str) -> Schedule {
    let request = GetScheduleRequest { schedule_id: id.to_owned() };
    client(scene).get_schedule(request).await.unwrap().into_inner()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_made_shown_paused_triggered_and_deleted() {
    let scene = Scene::start().await;
    let mut client = client(&scene);
    let made = client.create_schedule(daily("d")).await.unwrap().into_inner();
    assert_eq!((made.schedule_id.as_str(), &made.spec), ("d", &daily("d").spec), "as it was sent");
    let next = made.next_run_at.unwrap();
    // Six or seven o'clock, by season.
    assert!(
        [21_600, 25_200].contains(&(next.seconds % 86_400))
            && next.seconds > made.created_at.unwrap().seconds
    );
    assert_eq!((made.last_run_at, made.runs_total, made.paused), (None, 0, false));
    assert_eq!(get(&scene, "d").await, made);

    let pause = PauseScheduleRequest { schedule_id: "d".to_owned(), note: "holidays".to_owned() };
    let paused = client.pause_schedule(pause).await.unwrap().into_inner();
    assert_eq!((paused.paused, paused.note.as_str(), paused.next_run_at), (true, "holidays", None));

    let trigger = || TriggerScheduleRequest { schedule_id: "d".to_owned() };
    let first = client.trigger_schedule(keyed(trigger(), "k")).await.unwrap();
    let again = client.trigger_schedule(keyed(trigger(), "k")).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    let run = first.into_inner().workflow_id;
    assert_eq!(run, again.into_inner().workflow_id);
    assert!(run.starts_with("d:20") && run.ends_with('Z'), "{run}");
    let done = scene.until(&run, WorkflowStatus::Completed).await;
    assert_eq!(done.attributes["schedule"], "d");

    let resumed = client.resume_schedule(ResumeScheduleRequest { schedule_id: "d".to_owned() }).await;
    let resumed = resumed.unwrap().into_inner();
    assert_eq!((resumed.next_run_at, resumed.runs_total, resumed.last_workflow_id), (Some(next), 1, run));
    assert!(resumed.last_run_at.is_some() && resumed.note.is_empty());

    client.delete_schedule(DeleteScheduleRequest { schedule_id: "d".to_owned() }).await.unwrap();
    let gone = client.get_schedule(GetScheduleRequest { schedule_id: "d".to_owned() }).await.unwrap_err();
    assert_eq!((gone.code(), reason(&gone).0.as_str()), (Code::NotFound, "SCHEDULE_NOT_FOUND"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_it_submits() {
    let scene = Scene::start().await;
    let mut request = daily("tick");
    request.spec = Some(ScheduleSpec {
        interval_ms: 1_000,
        overlap_policy: OverlapPolicy::Allow.into(),
        cron: String::new(),
        ..request.spec.unwrap()
    });
    let made = client(&scene).create_schedule(request).await.unwrap().into_inner();
    assert_eq!(made.next_run_at.unwrap().seconds, made.created_at.unwrap().seconds + 1);
    let look = async || {
        let now = get(&scene, "tick").await;
        if now.runs_total > 0 { Ok(now) } else { Err(now) }
    };
    let ran = switchboard_testkit::eventually(PATIENCE, look).await.unwrap();
    scene.until(&ran.last_workflow_id, WorkflowStatus::Completed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_is_said_at_once() {
    let scene = Scene::start().await;
    let refused = async |request: CreateScheduleRequest| {
        let refused = client(&scene).create_schedule(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(reason(&refused).0, "VALIDATION_FAILED");
        refused
    };
    let at = |seconds, nanos| Some(Timestamp { seconds, nanos });
    let wrong = CreateScheduleRequest {
        schedule_id: "no spaces".to_owned(),
        note: "x".repeat(1_025),
        spec: Some(ScheduleSpec {
            cron: "61 * * * *".to_owned(),
            interval_ms: 999,
            time_zone: "Europe/Atlantis".to_owned(),
            jitter_ms: -1,
            start_at: at(-1, 0),
            end_at: at(1, 2_000_000_000),
            overlap_policy: 9,
            catch_up_ms: -1,
            workflow: Some(SubmitWorkflowRequest {
                workflow_id: "mine".to_owned(),
                priority: 5_000,
                ..workflow([call("a", "echo", &["b"])])
            }),
        }),
        ..CreateScheduleRequest::default()
    };
    let fields = wrong_fields(&refused(wrong).await);
    for field in [
        "schedule_id",
        "note",
        "spec.cron",
        "spec.interval_ms",
        "spec.time_zone",
        "spec.jitter_ms",
        "spec.start_at",
        "spec.end_at",
        "spec.overlap_policy",
        "spec.catch_up_ms",
        "spec.workflow.workflow_id",
        "spec.workflow.tasks[0].dependencies[0]",
        "spec.workflow.priority",
    ] {
        assert!(fields.iter().any(|wrong| wrong == field), "{field} of {fields:?}");
    }
    let with = |change: fn(&mut ScheduleSpec)| {
        let mut request = daily("d");
        change(request.spec.as_mut().unwrap());
        request
    };
    for (request, field, says) in [
        (with(|spec| spec.cron = "0 0 30 2 *".to_owned()), "spec.cron", "never fires"),
        (with(|spec| spec.cron.clear()), "spec", "says not when"),
        (
            with(|spec| spec.end_at = Some(Timestamp { seconds: 1_000, nanos: 0 })),
            "spec.end_at",
            "no time is left",
        ),
        (with(|spec| spec.workflow = None), "spec.workflow", "is missing"),
        (with(|spec| spec.workflow.as_mut().unwrap().tasks.clear()), "spec.workflow.tasks", ""),
        (CreateScheduleRequest { spec: None, ..daily("d") }, "spec", "is missing"),
        (daily(&"x".repeat(65)), "schedule_id", "1 to 64"),
    ] {
        let refused = refused(request).await;
        assert_eq!(wrong_fields(&refused), [field], "{refused:?}");
        assert!(refused.message().contains(says), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_makes_one_schedule_and_a_name_is_taken_once() {
    let scene = Scene::start().await;
    let mut client = client(&scene);
    let first = client.create_schedule(keyed(daily(""), "k")).await.unwrap();
    assert!(first.metadata().get("idempotent-replayed").is_none());
    let again = client.create_schedule(keyed(daily(""), "k")).await.unwrap();
    assert_eq!(again.metadata().get("idempotent-replayed").unwrap(), "true");
    assert_eq!(again.into_inner(), first.into_inner());
    let other = client.create_schedule(keyed(daily("x"), "k")).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).0.as_str()), (Code::AlreadyExists, "IDEMPOTENCY_KEY_REUSED"));

    client.create_schedule(daily("d")).await.unwrap();
    let taken = client.create_schedule(daily("d")).await.unwrap_err();
    assert_eq!((taken.code(), reason(&taken).0.as_str()), (Code::AlreadyExists, "SCHEDULE_EXISTS"));
    let nameless = client.get_schedule(GetScheduleRequest::default()).await.unwrap_err();
    assert_eq!(wrong_fields(&nameless), ["schedule_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_by_name_page_by_page() {
    let scene = Scene::start().await;
    let mut client = client(&scene);
    for id in ["c", "a", "e", "b", "d"] {
        client.create_schedule(daily(id)).await.unwrap();
    }
    let (mut token, mut names) = (String::new(), Vec::new());
    loop {
        let pagination = Some(PaginationRequest { page_size: 2, page_token: token });
        let page = client.list_schedules(ListSchedulesRequest { pagination }).await.unwrap().into_inner();
        names.extend(page.schedules.into_iter().map(|schedule| schedule.schedule_id));
        let pagination = page.pagination.unwrap();
        assert_eq!(pagination.total_count, 5);
        token = pagination.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names.concat(), "abcde");
    let pagination = Some(PaginationRequest { page_size: 2, page_token: "x".to_owned() });
    let refused = client.list_schedules(ListSchedulesRequest { pagination }).await.unwrap_err();
    assert_eq!(wrong_fields(&refused), ["pagination.page_token"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_and_its_runs_are_their_owners_and_hidden_from_others() {
    let locked = Locked::start(Arc::new(MemoryStore::default()), Settings::default()).await;
    let mut client = ScheduleServiceClient::new(locked.channel.clone());
    let made = client.create_schedule(by("ben", daily("d"))).await.unwrap().into_inner();
    assert_eq!(made.owner, "ben");
    client.create_schedule(by("eve", daily("e"))).await.unwrap();

    let id = |id: &str| id.to_owned();
    for (name, schedule_id) in [("eve", "d"), ("eve", "none"), ("ben", "e")] {
        let refused = [
            client
                .get_schedule(by(name, GetScheduleRequest { schedule_id: id(schedule_id) }))
                .await
                .map(drop),
            client
                .pause_schedule(by(name, PauseScheduleRequest { schedule_id: id(schedule_id), note: id("") }))
                .await
                .map(drop),
            client
                .resume_schedule(by(name, ResumeScheduleRequest { schedule_id: id(schedule_id) }))
                .await
                .map(drop),
            client
                .trigger_schedule(by(name, TriggerScheduleRequest { schedule_id: id(schedule_id) }))
                .await
                .map(drop),
            client
                .delete_schedule(by(name, DeleteScheduleRequest { schedule_id: id(schedule_id) }))
                .await
                .map(drop),
        ];
        for refused in refused {
            let refused = refused.unwrap_err();
            assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::NotFound, "SCHEDULE_NOT_FOUND"));
        }
    }
    for (name, seen) in [("ben", "d"), ("eve", "e"), ("ann", "de")] {
        let list =
            client.list_schedules(by(name, ListSchedulesRequest::default())).await.unwrap().into_inner();
        let names: Vec<String> = list.schedules.into_iter().map(|schedule| schedule.schedule_id).collect();
        assert_eq!((names.concat(), list.pagination.unwrap().total_count), (id(seen), seen.len() as i32));
    }
    // Whoever triggers it, the run is the owner's.
    let trigger = by("ann", TriggerScheduleRequest { schedule_id: id("d") });
    let run = client.trigger_schedule(trigger).await.unwrap().into_inner().workflow_id;
    let ask = || GetWorkflowStatusRequest { workflow_id: run.clone(), include_input: false };
    let mut workflows = WorkflowServiceClient::new(locked.channel.clone());
    assert_eq!(workflows.get_workflow_status(by("ben", ask())).await.unwrap().into_inner().owner, "ben");
    assert_eq!(workflows.get_workflow_status(by("eve", ask())).await.unwrap_err().code(), Code::NotFound);
}
