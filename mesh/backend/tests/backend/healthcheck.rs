//! What a container's health check learns.

use crate::fixture::{Mesh, SOON, alone, gated};
use crate::pki::Pki;
use std::time::Duration;
use switchboard_backend::{Backend, Unhealthy};
use switchboard_testkit::{eventually, free_port};

#[tokio::test]
async fn whoever_serves_is_healthy_and_needs_to_be_shown_nothing() {
    let clear = alone(gated().0).await;
    Backend::agent("any").listen(clear.addr()).healthcheck().await.unwrap();

    let pki = Pki::new();
    let secure = alone(gated().0.tls(pki.server())).await;
    Backend::agent("any").listen(secure.addr()).tls(pki.server()).healthcheck().await.unwrap();
}

#[tokio::test]
async fn nobody_is_not_healthy_and_neither_is_who_leaves() {
    let nobody = ([127, 0, 0, 1], free_port()).into();
    let error = Backend::agent("any").listen(nobody).healthcheck().await.unwrap_err();
    assert!(error.to_string().contains(&nobody.to_string()), "{error}");

    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0.drain(Duration::from_secs(3), SOON)).await;
    let addr = running.addr();
    let shutdown = tokio::spawn(running.shutdown());
    let leaving = async || match Backend::agent("any").listen(addr).healthcheck().await {
        Err(Unhealthy::NotServing { state: "NOT_SERVING", .. }) => Ok(()),
        other => Err(other),
    };
    eventually(SOON, leaving).await.unwrap();
    shutdown.abort();
}
