//! A registry whose answers are scripted, and which remembers what it was asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use switchboard_registry::{Client, Config};
use tokio::net::TcpListener;

/// What it does with one request.
pub(crate) enum Answer {
    /// Answers at once: status, index, body.
    With(u16, u64, String),
    /// Takes the request and never answers.
    Never,
}

/// One request that was received.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) token: Option<String>,
}

impl Asked {
    /// Gives the index that it waits for; 0 if it does not wait.
    pub(crate) fn index(&self) -> u64 {
        let index = self.query.split('&').find_map(|pair| pair.strip_prefix("index="));
        index.map_or(0, |index| index.parse().unwrap())
    }
}

type Script = dyn Fn(usize, &Asked) -> Answer + Send + Sync;

pub(crate) struct Fake {
    pub(crate) addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    most_open: Arc<AtomicUsize>,
}

/// Counts a request for as long as its connection waits for the answer.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Fake {
    /// Starts it; `script` gets the number of the request, from 0, and the request.
    pub(crate) async fn start(script: impl Fn(usize, &Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (open, most_open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let script: Arc<Script> = Arc::new(script);
        let (log, most) = (asked.clone(), most_open.clone());
        let handler = move |request: Request| {
            let no_acls = request.uri().path() == "/v1/acl/token/self";
            let (log, most, open, script) = (log.clone(), most.clone(), open.clone(), script.clone());
            async move {
                if no_acls {
                    return (StatusCode::UNAUTHORIZED, "ACL support disabled").into_response();
                }
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let _open = Open(open);
                answer(&log, &*script, request).await
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await });
        Self { addr, asked, most_open }
    }

    /// Makes a client with short times: blocking reads wait 300 ms and time out after 620 ms.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.config()).unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config {
            wait: Duration::from_millis(300),
            request_timeout: Duration::from_millis(300),
            ..Config::at(&self.addr.to_string()).unwrap()
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Gives the most requests that were open at the same time.
    pub(crate) fn most_open(&self) -> usize {
        self.most_open.load(Ordering::SeqCst)
    }
}

async fn answer(log: &Mutex<Vec<Asked>>, script: &Script, request: Request) -> Response {
    let header = request.headers().get("X-Consul-Token");
    let asked = Asked {
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        token: header.map(|token| token.to_str().unwrap().to_owned()),
    };
    drop(request);
    let number = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    match script(number, &asked) {
        Answer::With(status, index, body) => {
            let status = StatusCode::from_u16(status).unwrap();
            (status, [("X-Consul-Index", index.to_string())], body).into_response()
        }
        Answer::Never => std::future::pending().await,
    }
}

/// One instance of `/v1/health/service/<name>` with this port.
pub(crate) fn instances(ports: &[u16]) -> String {
    let one = |port: &u16| {
        format!(
            r#"{{"Node":{{"Node":"n","Address":"10.0.0.1"}},"Service":{{"ID":"i-{port}","Service":"s","Port":{port}}},"Checks":[]}}"#
        )
    };
    format!("[{}]", ports.iter().map(one).collect::<Vec<_>>().join(","))
}
