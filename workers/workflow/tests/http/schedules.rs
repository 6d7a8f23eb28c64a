//! Schedules over HTTP.

use reqwest::Method;
use serde_json::json;

use crate::support::{Scene, answer, one_call, test};

#[test]
fn a_schedule_over_http() {
    test(async {
        let mut scene = Scene::start().await;
        let request = json!({
            "schedule_id": "nightly",
            "spec": { "cron": "0 3 * * *", "time_zone": "Europe/Rome", "workflow": one_call() },
        });
        let made = scene.post("/api/v1/schedules", request).await.is(201);
        assert_eq!(made.at("/schedule_id"), "nightly");
        assert!(made.at("/next_run_at").as_str().unwrap().ends_with(":00:00Z"), "{made:?}");
        let shown = scene.get("/api/v1/schedules/nightly").await.is(200);
        assert_eq!(shown.body, made.body);

        let paused =
            scene.post("/api/v1/schedules/nightly/pause", json!({ "note": "holidays" })).await.is(200);
        assert_eq!((paused.at("/paused"), paused.at("/note")), (&json!(true), &json!("holidays")));
        let triggered = scene.post("/api/v1/schedules/nightly/trigger", json!({})).await.is(202);
        let run = scene.attempt().await;
        assert_eq!(triggered.at("/workflow_id"), run.workflow.as_str());
        // Bodies need not be there.
        let resume = scene.request(Method::POST, "/api/v1/schedules/nightly/resume");
        let resumed = answer(resume).await.is(200);
        assert_eq!(resumed.at("/last_workflow_id"), run.workflow.as_str());

        let listed = scene.get("/api/v1/schedules?limit=1").await.is(200);
        assert_eq!(
            (listed.at("/schedules/0/schedule_id"), listed.at("/pagination/total_count")),
            (&json!("nightly"), &json!(1))
        );
        answer(scene.request(Method::DELETE, "/api/v1/schedules/nightly")).await.is(200);
        let gone = scene.get("/api/v1/schedules/nightly").await.is(404);
        assert_eq!(gone.at("/error/details/reason"), "SCHEDULE_NOT_FOUND");

        let wrong = json!({ "spec": { "cron": "0 3 * *", "workflow": one_call() } });
        let refused = scene.post("/api/v1/schedules", wrong).await.is(400);
        assert_eq!(refused.at("/error/details/violations/0/field"), "spec.cron");
    });
}
