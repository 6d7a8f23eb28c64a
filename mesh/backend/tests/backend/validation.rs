//! What is no call of gRPC is refused before a service sees it.

use crate::fixture::{alone, channel, gated};
use crate::pki::ask;
use switchboard_backend::Stage;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request};

#[tokio::test]
async fn a_timeout_that_cannot_be_read_is_refused() {
    let running = alone(gated().0).await;
    for bad in ["soon", "123456789S", "-1S"] {
        let refused = ask(channel(running.addr()), "hello", &[("grpc-timeout", bad)]).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{bad}");
    }
    ask(channel(running.addr()), "hello", &[("grpc-timeout", "10S")]).await.unwrap();
    assert_eq!(running.metrics().refused_by(Stage::Validation), 3);
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unimplemented_and_makes_no_counter() {
    let running = alone(gated().0).await;
    for path in ["/no.Service/Method", "/agentplatform.AgentService/No", "/a/b/c"] {
        let mut client = tonic::client::Grpc::new(channel(running.addr()));
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        let path = PathAndQuery::try_from(path).unwrap();
        let refused = client.unary(Request::new(()), path, codec).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unimplemented);
    }
    let text = running.metrics().render();
    assert!(!text.contains("no.Service") && !text.contains("AgentService/No"), "{text}");
    assert!(text.contains("switchboard_backend_calls_total{method=\"unknown\",code=\"12\"} 2"), "{text}");
}
