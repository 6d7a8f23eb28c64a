//! The process: its ports, and how it ends.

use std::{
    io::Read,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use reqwest::Client;
use serde_json::json;
use switchboard_proto::goclaw::v1::{ListWorkflowsRequest, workflow_service_client::WorkflowServiceClient};
use switchboard_testkit::{eventually, free_port};
use tonic::transport::Endpoint;

use crate::support::{PATIENCE, answer, test};

/// The process, killed when dropped.
struct Engine(Child);

impl Engine {
    fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_workflow-worker"));
        command.arg("--data").arg(folder).args(["--consul", "http://127.0.0.1:1", "--router", "127.0.0.1:1"]);
        let command = command.args(flags).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Its exit code, and what it said last.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap().code(), said)
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn client() -> Client {
    switchboard_backend::install_crypto();
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn ready(client: &Client, url: &str) {
    let probe = async || match client.get(url).send().await {
        Ok(answer) if answer.status() == 200 => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(PATIENCE, probe).await.unwrap();
}

#[test]
fn a_signal_ends_http_and_grpc_together_and_fails_no_call() {
    test(async {
        let folder = tempfile::tempdir().unwrap();
        let [grpc, http, metrics] = [(); 3].map(|()| free_port().to_string());
        let listen = format!("127.0.0.1:{grpc}");
        // Ports alone are at the address of gRPC.
        let engine =
            Engine::start(folder.path(), &["--listen", &listen, "--http", &http, "--metrics", &metrics]);
        let (client, base) = (client(), format!("http://127.0.0.1:{http}"));
        ready(&client, &format!("{base}/ready")).await;
        let submit = |time: &str| {
            let sleep = json!({ "id": "a", "type": "sleep", "parameters": { "duration": time } });
            let request = client.post(format!("{base}/api/v1/workflows"));
            tokio::spawn(answer(request.json(&json!({ "name": "x", "tasks": [sleep] }))))
        };
        // One ends while the process leaves, one is still waited for when it stops.
        let (short, long) = (submit("500ms"), submit("1h"));

        let leaving = Arc::new(AtomicBool::new(false));
        let channel = Endpoint::from_shared(format!("http://{listen}")).unwrap().connect_lazy();
        let (by_grpc, left) = (WorkflowServiceClient::new(channel), leaving.clone());
        let by_grpc = tokio::spawn(async move {
            let mut calls = 0;
            while !left.load(Relaxed) {
                by_grpc.clone().list_workflows(ListWorkflowsRequest::default()).await.expect("an answer");
                calls += 1;
            }
            calls
        });
        let (by_http, url, left) = (client.clone(), format!("{base}/api/v1/workflows"), leaving.clone());
        let by_http = tokio::spawn(async move {
            let mut calls = 0;
            while !left.load(Relaxed) {
                assert_eq!(by_http.get(&url).send().await.expect("an answer").status(), 200);
                calls += 1;
            }
            calls
        });
        // Both were taken.
        let submitted = "switchboard_backend_calls_total{method=\"/goclaw.v1.WorkflowService/SubmitWorkflow\",code=\"0\"} 2";
        let scraped = async || {
            let answer = client.get(format!("http://127.0.0.1:{metrics}/metrics")).send().await.unwrap();
            let text = answer.text().await.unwrap();
            if text.contains(submitted) { Ok(text) } else { Err(text) }
        };
        let text = eventually(PATIENCE, scraped).await.unwrap();
        for family in [
            "workflow_engine_live_workflows",
            "workflow_executor_in_flight",
            "workflow_committer_sync_seconds_bucket{le=\"+Inf\"}",
            "workflow_committer_queue_commits",
            "workflow_store_disk_bytes",
            "workflow_http_connections",
            "workflow_http_requests_total{route=\"/ready\",method=\"GET\",status=\"200\"}",
        ] {
            assert!(text.contains(family), "{family} in {text}");
        }
        ready(&client, &format!("http://127.0.0.1:{metrics}/ready")).await;

        engine.signal("TERM");
        let told = async || match client.get(format!("{base}/ready")).send().await {
            Ok(answer) if answer.status() == 503 => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(PATIENCE, told).await.unwrap();
        // Whoever sees that goes elsewhere; what is under way is answered.
        leaving.store(true, Relaxed);
        assert!(by_grpc.await.unwrap() > 0 && by_http.await.unwrap() > 0);
        let short = short.await.unwrap().is(201);
        assert_eq!(short.at("/status"), "WORKFLOW_STATUS_COMPLETED");
        assert_eq!(long.await.unwrap().is(202).at("/status"), "WORKFLOW_STATUS_RUNNING");
        let (code, said) = tokio::task::spawn_blocking(|| engine.ended()).await.unwrap();
        assert_eq!(code, Some(0), "{said}");
    });
}

#[test]
fn a_port_in_use_is_told_with_its_flag() {
    test(async {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = held.local_addr().unwrap().to_string();
        for flag in ["--http", "--metrics"] {
            let folder = tempfile::tempdir().unwrap();
            let other = if flag == "--http" { "--metrics" } else { "--http" };
            let engine =
                Engine::start(folder.path(), &["--listen", "127.0.0.1:0", flag, &busy, other, "127.0.0.1:0"]);
            let (code, said) = tokio::task::spawn_blocking(|| engine.ended()).await.unwrap();
            assert_ne!(code, Some(0));
            assert!(said.contains(&busy) && said.contains(&format!("{flag} off")), "{said}");
        }
    });
}

#[test]
fn without_grpc_there_is_http_alone() {
    test(async {
        let folder = tempfile::tempdir().unwrap();
        let [grpc, http] = [(); 2].map(|()| free_port());
        let listen = format!("127.0.0.1:{grpc}");
        let port = http.to_string();
        let flags = ["--listen", &listen, "--grpc", "off", "--http", &port, "--metrics", "off"];
        let engine = Engine::start(folder.path(), &flags);
        let client = client();
        ready(&client, &format!("http://127.0.0.1:{http}/ready")).await;
        answer(client.get(format!("http://127.0.0.1:{http}/api/v1/workflows"))).await.is(200);
        tokio::net::TcpStream::connect(&listen).await.unwrap_err();
        engine.signal("TERM");
        let (code, said) = tokio::task::spawn_blocking(|| engine.ended()).await.unwrap();
        assert_eq!(code, Some(0), "{said}");
    });
}
