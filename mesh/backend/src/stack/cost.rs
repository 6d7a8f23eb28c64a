//! What the stack costs a call: `cargo test --release -p switchboard-backend --lib cost -- --ignored --nocapture`.

use super::{Gate, Metrics, Shared, layer};
use crate::connection::ConnectionInfo;
use std::sync::Arc;
use std::time::{Duration, Instant};
use switchboard_policy::{Mode, Settings};
use switchboard_transport::PeerIdentity;
use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::service::Routes;
use tonic::transport::server::{Connected, TcpConnectInfo};
use tower::{Layer, Service};

const CALLS: u32 = 100_000;

fn request(connection: &ConnectionInfo) -> Request<Body> {
    let mut request = Request::post("/agentplatform.AgentService/ExecuteTask")
        .header("content-type", "application/grpc")
        .header("x-request-id", "0123456789abcdef")
        .header("x-switchboard-principal", "spiffe://switchboard/user/ann")
        .header("x-switchboard-roles", "caller")
        .body(Body::empty())
        .unwrap();
    request.extensions_mut().insert(connection.clone());
    request
}

async fn per_call<S>(mut service: S, connection: &ConnectionInfo) -> Duration
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: std::fmt::Debug,
{
    let begun = Instant::now();
    for _ in 0..CALLS {
        service.call(request(connection)).await.unwrap();
    }
    begun.elapsed() / CALLS
}

#[tokio::test]
#[ignore = "prints times, which differ from machine to machine"]
async fn cost() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let tcp: TcpConnectInfo = near.connect_info();
    let router = PeerIdentity { dns: vec!["router".to_owned()], not_after: i64::MAX, ..Default::default() };
    let connection = ConnectionInfo { peer: Some(Arc::new(router)), tcp };
    let settings = Settings { mode: Mode::Any, ..Settings::default() };
    let gate = Gate::watch(settings, Duration::from_secs(1 << 20)).unwrap();
    let shared = Shared { id: "echo-agent".to_owned(), gate, metrics: Arc::new(Metrics::default()) };
    let routes = Routes::default();
    let stack = layer(Arc::new(shared)).layer(routes.clone());
    for _ in 0..3 {
        let bare = per_call(routes.clone(), &connection).await;
        let whole = per_call(stack.clone(), &connection).await;
        {
            println!("bare {bare:?}, with the stack {whole:?}: {:?} more", whole.saturating_sub(bare));
        }
    }
}
