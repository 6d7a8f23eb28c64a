//! The page: what it shows, that nothing from outside becomes more than text, what its forms do, and who may send them.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use axum::http::{HeaderMap, HeaderValue, Request, Response};
use reqwest::{Method, header::HeaderMap as Headers, redirect::Policy};
use serde_json::json;
use tonic::body::Body;
use workflow_worker::http::{Calls, Settings};

use crate::support::{Answer, Scene, answer, noop, one_call, test};

impl Scene {
    /// A page, with the status it must have.
    async fn page(&self, path: &str, status: u16) -> String {
        let Answer { headers, body, .. } = self.get(path).await.is(status);
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        is_guarded(&headers);
        body.as_str().unwrap().to_owned()
    }

    /// Sends a form as a browser on this page does, and follows it no further.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> reqwest::Response {
        let origin = format!("http://{}", self.addr);
        filled(browser().post(format!("{origin}{path}")), fields)
            .header("origin", origin)
            .send()
            .await
            .unwrap()
    }
}

/// A client that follows nothing.
fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

/// With the fields of a form, all bytes of which are encoded.
fn filled(request: reqwest::RequestBuilder, fields: &[(&str, &str)]) -> reqwest::RequestBuilder {
    let encoded = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    request.header("content-type", "application/x-www-form-urlencoded").body(fields.join("&"))
}

fn is_guarded(headers: &Headers) {
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{policy}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
}

fn went_to(response: &reqwest::Response) -> &str {
    assert_eq!(response.status(), 303);
    response.headers()["location"].to_str().unwrap()
}

#[test]
fn workflows_are_listed_by_status_name_and_label() {
    test(async {
        let mut scene = Scene::start().await;
        assert!(scene.page("/ui", 200).await.contains("No workflows yet"));
        let trip =
            scene.submit(json!({ "name": "trip", "tasks": [{ "id": "a", "target": "echo-agent" }] })).await;
        scene.attempt().await;
        let mut done = noop();
        done["attributes"] = json!({ "team": "blue" });
        let done = scene
            .post("/api/v1/workflows", done)
            .await
            .is(201)
            .at("/workflow_id")
            .as_str()
            .unwrap()
            .to_owned();

        let all = scene.page("/ui", 200).await;
        assert!(all.contains(&format!("href=\"/ui/workflows/{trip}\"")) && all.contains(&done));
        assert!(all.contains("Running</span> <span class=\"number\">1</span>"), "{all}");
        assert!(all.contains("2 workflows") && all.contains("team=blue"));
        for (query, shown, hidden) in [
            ("status=running", &trip, &done),
            ("status=completed", &done, &trip),
            ("name=tr", &trip, &done),
            ("label=team%3Dblue&since=1h", &done, &trip),
        ] {
            let page = scene.page(&format!("/ui?{query}"), 200).await;
            assert!(page.contains(shown.as_str()) && !page.contains(hidden.as_str()), "{query}: {page}");
        }
        // Why one failed stands in the list.
        let doomed = json!({ "name": "doomed", "steps": [{ "id": "a", "should_fail": true }] });
        let doomed = scene.post("/api/v1/sagas", doomed).await.is(201).at("/saga_id").clone();
        let events = format!("/api/v1/workflows/{}/events", doomed.as_str().unwrap());
        scene.request(Method::GET, &events).send().await.unwrap().text().await.unwrap();
        assert!(scene.page("/ui?status=failed", 200).await.contains("<span class=\"more why\">"));
        assert!(scene.page("/ui?name=none", 200).await.contains("No workflow matches"));
        assert!(scene.page("/ui?label=none", 200).await.contains("write name=value"));
        // A page of which nobody gave us the token.
        assert!(scene.page("/ui?page=none", 400).await.contains("Not understood"));
    });
}

#[test]
fn a_long_list_has_pages() {
    test(async {
        let scene = Scene::start().await;
        for _ in 0..51 {
            scene.submit(noop()).await;
        }
        let first = scene.page("/ui?name=noth", 200).await;
        let older = first.split("<a href=\"").find(|link| link.contains("rel=\"next\"")).unwrap();
        let older = older.split('"').next().unwrap().replace("&amp;", "&");
        assert!(older.starts_with("/ui?name=noth&page="), "{older}");
        assert_eq!(scene.page(&older, 200).await.matches("<tr id=\"row-").count(), 1);
    });
}

#[test]
fn a_workflow_shows_its_graph_and_the_same_in_words() {
    test(async {
        let mut scene = Scene::start().await;
        let tasks = json!([
            { "id": "a", "name": "Fetch it", "target": "echo-agent" },
            { "id": "b", "dependencies": ["a"], "target": "echo-agent", "retry": { "max_attempts": 3 } },
            { "id": "c", "dependencies": ["a"] },
        ]);
        let id = scene.submit(json!({ "name": "trip", "tasks": tasks })).await;
        scene.complete("{\"answer\":42}").await;
        scene.attempt().await;
        let page = scene.page(&format!("/ui/workflows/{id}"), 200).await;
        assert!(page.contains("aria-label=\"Fetch it: Completed\""), "{page}");
        assert!(page.contains("aria-label=\"b: Running\""));
        assert_eq!(page.matches("class=\"line").count() - page.matches("class=\"lines").count(), 2);
        assert!(page.contains("3 tasks: 1 running, 2 completed"));
        assert!(page.contains("<tr id=\"task-b\">") && page.contains("1 of 3"));
        // What the script follows: from where the page stands on.
        assert!(page.contains(&format!("data-follow=\"/api/v1/workflows/{id}/events?last_event_id=")));

        let task = scene.page(&format!("/ui/workflows/{id}/tasks/a"), 200).await;
        assert!(task.contains("&quot;answer&quot;: 42") && task.contains("agent echo-agent"), "{task}");
        assert!(task.contains("task completed") && task.contains("id=\"attempts\""));
        let history = scene.page(&format!("/ui/workflows/{id}/history"), 200).await;
        assert!(history.contains("workflow submitted") && history.contains("task started"));
        assert!(scene.page(&format!("/ui/workflows/{id}/log"), 200).await.contains("workflow submitted"));

        assert!(scene.page("/ui/workflows/none", 404).await.contains("Not found"));
        assert!(scene.page(&format!("/ui/workflows/{id}/tasks/none"), 404).await.contains("no task none"));
        scene.page("/ui/none/of/this", 404).await;
    });
}

#[test]
fn items_have_pages_of_their_own() {
    test(async {
        let mut scene = Scene::start().await;
        let task = json!({ "id": "each", "target": "echo-agent", "input": "{{item}}", "for_each": { "items": ["x", "y"] } });
        let id = scene.submit(json!({ "name": "many", "tasks": [task] })).await;
        scene.complete("\"one\"").await;
        let attempt = scene.attempt().await;
        let task = scene.page(&format!("/ui/workflows/{id}/tasks/each"), 200).await;
        assert!(task.contains("2 items, 1 completed"), "{task}");
        let item = format!("/ui/workflows/{id}/tasks/each%5B0%5D");
        assert!(task.contains(&format!("href=\"{item}\"")));
        let done = if attempt.run.task == "each[1]" { item } else { item.replace("%5B0", "%5B1") };
        assert!(scene.page(&done, 200).await.contains("&quot;one&quot;"));
        scene.page(&format!("/ui/workflows/{id}/tasks/each%5B7%5D"), 404).await;
    });
}

#[test]
fn a_thousand_tasks_are_folded() {
    test(async {
        let scene = Scene::start().await;
        let tasks: Vec<_> = (0..1_000)
            .map(|n| match n {
                0 => json!({ "id": "gate", "type": "wait_signal", "target": "go" }),
                n => json!({ "id": format!("part-{n}"), "dependencies": ["gate"] }),
            })
            .collect();
        let id = scene.submit(json!({ "name": "wide", "tasks": tasks })).await;
        let page = scene.page(&format!("/ui/workflows/{id}"), 200).await;
        assert!(page.contains("999 × part-…") && page.contains("999 pending"));
        assert_eq!(page.matches("<a class=\"box ").count(), 2);
        assert_eq!(page.matches("<tr id=\"task-").count(), 200);
        let last = scene.page(&format!("/ui/workflows/{id}?task=part-99&from=0"), 200).await;
        assert_eq!(last.matches("<tr id=\"task-").count(), 11);
    });
}

#[test]
fn nothing_from_outside_becomes_more_than_text() {
    test(async {
        let mut scene = Scene::start().await;
        let evil = "<img src=x onerror=alert(1)>\"'";
        let task = json!({ "id": "a", "name": evil, "target": "echo-agent" });
        let mut metadata = serde_json::Map::new();
        metadata.insert(evil.to_owned(), evil.into());
        let id = scene
            .submit(
                json!({ "name": evil, "tasks": [task], "attributes": { evil: evil }, "metadata": metadata }),
            )
            .await;
        scene.complete(&json!({ evil: evil }).to_string()).await;
        let within = [
            "/ui".to_owned(),
            format!("/ui?name=%3Cimg&label={}", "%3Cimg%20src=x%20onerror=alert(1)%3E"),
            "/ui?label=%22%3E%3Cimg%20onerror".to_owned(),
            format!("/ui/workflows/{id}"),
            format!("/ui/workflows/{id}?task=%22%3E%3Cimg%20x&done=%3Cimg&state=%3Cimg"),
            format!("/ui/workflows/{id}/tasks/a"),
            format!("/ui/workflows/{id}/history"),
            format!("/ui/workflows/{id}/log"),
            "/ui/sign-in?next=%22%3E%3Cimg".to_owned(),
        ];
        for path in within {
            let page = scene.page(&path, 200).await;
            assert!(!page.contains("<img"), "{path}: {page}");
        }
        assert!(!scene.page("/ui/workflows/%3Cimg%20src=x%3E", 404).await.contains("<img"));
        assert!(
            scene
                .page(&format!("/ui/workflows/{id}"), 200)
                .await
                .contains("&lt;img src=x onerror=alert(1)&gt;")
        );
    });
}

#[test]
fn forms_act_and_lead_back() {
    test(async {
        let mut scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        scene.attempt().await;
        let path = format!("/ui/workflows/{id}");
        assert_eq!(went_to(&scene.form(&path, &[("do", "pause")]).await), format!("{path}?done=pause"));
        assert!(scene.page(&path, 200).await.contains("value=\"resume\""));
        scene.form(&path, &[("do", "resume")]).await;
        let cancelled =
            scene.form(&path, &[("do", "cancel"), ("force", "true"), ("reason", "no more")]).await;
        let page = scene.page(went_to(&cancelled), 200).await;
        assert!(page.contains("Cancelled at once.") && page.contains("value=\"retry\""), "{page}");
        assert!(!page.contains("value=\"cancel\"") && !page.contains("data-follow"));
        let retried = scene.form(&path, &[("do", "retry")]).await;
        assert!(scene.page(went_to(&retried), 200).await.contains("Retried"));
        // Too late, or nothing that is known.
        assert_eq!(scene.form(&path, &[("do", "retry")]).await.status(), 409);
        assert_eq!(scene.form(&path, &[("do", "dance")]).await.status(), 400);

        let wait =
            json!({ "name": "waits", "tasks": [{ "id": "w", "type": "wait_signal", "target": "go" }] });
        let waits = scene.submit(wait).await;
        let task = format!("/ui/workflows/{waits}/tasks/w");
        assert!(scene.page(&task, 200).await.contains("Send signal"));
        scene.form(&task, &[("do", "signal"), ("signal", "go"), ("payload", "{\"n\":7}")]).await;
        assert!(scene.page(&task, 200).await.contains("&quot;n&quot;: 7"));

        went_to(&scene.form("/ui/engine", &[("do", "pause")]).await);
        assert!(scene.page("/ui/engine", 200).await.contains("Engine paused"));
        went_to(&scene.form("/ui/engine", &[("do", "resume")]).await);
        assert!(scene.page("/ui/engine", 200).await.contains("Engine ready"));
    });
}

#[test]
fn schedules_are_shown_and_steered() {
    test(async {
        let scene = Scene::start().await;
        assert!(scene.page("/ui/schedules", 200).await.contains("No schedules yet"));
        let spec = json!({ "cron": "0 8 * * 1-5", "time_zone": "Europe/Rome", "workflow": noop() });
        scene.post("/api/v1/schedules", json!({ "schedule_id": "mornings", "spec": spec })).await.is(201);
        let path = "/ui/schedules";
        let shown = scene.page(path, 200).await;
        assert!(shown.contains("0 8 * * 1-5</code> Europe/Rome") && shown.contains(">in "), "{shown}");
        let form = async |act: &str| scene.form(path, &[("do", act), ("schedule", "mornings")]).await;
        assert_eq!(went_to(&form("pause").await), "/ui/schedules?done=pause");
        assert!(scene.page(path, 200).await.contains("aria-label=\"Resume mornings\""));
        assert_eq!(went_to(&form("resume").await), "/ui/schedules?done=resume");
        // Its run is what one wants to see next.
        let run = form("trigger").await;
        assert!(scene.page(went_to(&run), 200).await.contains("<bdi>nothing</bdi>"));
        let shown = scene.page(path, 200).await;
        assert!(shown.contains("href=\"/ui/workflows/mornings:"), "{shown}");
        assert_eq!(went_to(&form("delete").await), "/ui/schedules?done=delete");
        assert!(scene.page(path, 200).await.contains("No schedules yet"));
        assert_eq!(form("pause").await.status(), 404);
    });
}

#[test]
fn only_forms_of_this_page_are_obeyed() {
    test(async {
        let scene = Scene::start().await;
        let id = scene.submit(one_call()).await;
        let here = format!("http://{}", scene.addr);
        let send = async |headers: &[(&'static str, &str)]| {
            let request = scene.request(Method::POST, &format!("/ui/workflows/{id}"));
            let mut request = filled(request, &[("do", "cancel")]);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            answer(request).await.status.as_u16()
        };
        assert_eq!(send(&[]).await, 403);
        assert_eq!(send(&[("origin", "http://elsewhere")]).await, 403);
        assert_eq!(send(&[("origin", "null")]).await, 403);
        assert_eq!(send(&[("origin", &here), ("sec-fetch-site", "same-site")]).await, 403);
        assert_eq!(send(&[("sec-fetch-site", "none")]).await, 403);
        let shown = scene.get(&format!("/api/v1/workflows/{id}")).await.is(200);
        assert_ne!(shown.at("/status"), "WORKFLOW_STATUS_CANCELLED");
        assert_eq!(send(&[("sec-fetch-site", "same-origin"), ("origin", &here)]).await, 200);
    });
}

/// Services that know one token, and remember with what they were called.
async fn asking() -> (Scene, Arc<Mutex<HeaderMap>>) {
    let told: Arc<Mutex<HeaderMap>> = Arc::default();
    let keep = told.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        *keep.lock().unwrap() = request.headers().clone();
        let known = request.headers().get("authorization").is_some_and(|token| token == "Bearer let-me-in");
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(if known { "7" } else { "16" }));
        headers.insert(
            "grpc-message",
            HeaderValue::from_static(if known { "not yours" } else { "who are you" }),
        );
        std::future::ready(Ok::<_, Infallible>(response))
    });
    (Scene::serving(Settings::default(), Some(Calls::new(service))).await, told)
}

#[test]
fn whoever_is_asked_for_a_token_signs_in() {
    test(async {
        let (scene, told) = asking().await;
        let asked = scene.page("/ui/workflows/a?task=b", 401).await;
        assert!(
            asked.contains("name=\"token\"") && asked.contains("value=\"/ui/workflows/a?task=b\""),
            "{asked}"
        );
        // Who comes by a link of another site may be signed in: the browser tells at the second look.
        let led =
            answer(scene.request(Method::GET, "/ui").header("sec-fetch-site", "cross-site")).await.is(401);
        assert_eq!(led.header("refresh"), "0");
        let looked = answer(scene.request(Method::GET, "/ui").header("sec-fetch-site", "same-origin")).await;
        assert_eq!(looked.is(401).headers.get("refresh"), None);
        let wrong = scene.form("/ui/sign-in", &[("token", "guess"), ("next", "/ui")]).await;
        assert_eq!((wrong.status().as_u16(), wrong.headers().get("set-cookie")), (401, None));
        let body = wrong.text().await.unwrap();
        assert!(body.contains("who are you") && !body.contains("guess"));

        let fields = [("token", " let-me-in "), ("next", "/ui/workflows/a?task=b")];
        let right = scene.form("/ui/sign-in", &fields).await;
        assert_eq!(went_to(&right), "/ui/workflows/a?task=b");
        let cookie = right.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie, "switchboard_token=let-me-in; Path=/; HttpOnly; SameSite=Strict");
        let elsewhere = [("token", "let-me-in"), ("next", "//elsewhere")];
        assert_eq!(went_to(&scene.form("/ui/sign-in", &elsewhere).await), "/ui");

        let request = scene.request(Method::GET, "/ui").header("cookie", "a=b; switchboard_token=let-me-in");
        let page = answer(request).await.is(403);
        let page = page.body.as_str().unwrap();
        assert!(page.contains("not yours") && page.contains("Sign out"), "{page}");
        assert_eq!(told.lock().unwrap()["authorization"], "Bearer let-me-in");
        assert!(!told.lock().unwrap().contains_key("cookie"));
        let out = scene.form("/ui/sign-in", &[("do", "sign-out")]).await;
        assert!(out.headers()["set-cookie"].to_str().unwrap().starts_with("switchboard_token=; Max-Age=0"));
        // Cookies end at a semicolon: nothing gets in behind it.
        let split = scene.form("/ui/sign-in", &[("token", "let-me-in; Domain=x")]).await;
        assert_eq!((split.status().as_u16(), split.headers().get("set-cookie")), (401, None));
    });
}

#[test]
fn over_tls_the_cookie_stays_there() {
    test(async {
        let (scene, _) = asking().await;
        // What ends TLS stands before us.
        let origin = format!("https://{}", scene.addr);
        let request = browser().post(format!("http://{}/ui/sign-in", scene.addr)).header("origin", origin);
        let response = filled(request, &[("token", "let-me-in")]).send().await.unwrap();
        assert!(response.headers()["set-cookie"].to_str().unwrap().ends_with("; SameSite=Strict; Secure"));
    });
}

#[test]
fn files_may_be_kept_for_as_long_as_they_are_the_same() {
    test(async {
        let scene = Scene::start().await;
        let page = scene.page("/ui", 200).await;
        for (attribute, file, kind) in [
            ("href", "/ui/style.css", "text/css; charset=utf-8"),
            ("src", "/ui/script.js", "text/javascript; charset=utf-8"),
            ("href", "/ui/icon.svg", "image/svg+xml"),
        ] {
            let begin = format!("{attribute}=\"{file}?");
            let version = page.split_once(&begin).unwrap().1.split('"').next().unwrap();
            let kept = scene.get(&format!("{file}?{version}")).await.is(200);
            assert_eq!(
                (kept.header("content-type"), kept.header("cache-control").contains("immutable")),
                (kind, true)
            );
            assert_eq!(scene.get(file).await.is(200).header("cache-control"), "no-cache");
        }
        let home = browser().get(format!("http://{}/", scene.addr)).send().await.unwrap();
        assert_eq!(home.headers()["location"], "/ui");
    });
}
