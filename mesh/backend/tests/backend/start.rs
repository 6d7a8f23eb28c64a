//! Starting, and the errors that say why not.

use crate::fixture::{Mesh, call, gated};
use switchboard_backend::{Backend, Error, Options};

#[tokio::test]
async fn port_0_becomes_a_free_port() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;
    assert_ne!(running.addr().port(), 0);
    assert_eq!(call(running.addr()).await.unwrap(), "hello");
}

#[tokio::test]
async fn a_taken_address_is_named_with_the_way_out() {
    let mesh = Mesh::start().await;
    let running = mesh.run(gated().0).await;
    let again = gated().0.registry(mesh.config()).listen(running.addr()).start().await.unwrap_err();
    assert!(matches!(again, Error::Listen { addr, .. } if addr == running.addr()), "{again:?}");
    assert!(again.to_string().contains("--listen"), "{again}");
}

#[tokio::test]
async fn a_name_that_makes_no_id_is_refused() {
    for name in ["", "Echo", "echo agent", "-echo"] {
        let error = Backend::agent(name).start().await.unwrap_err();
        assert!(matches!(error, Error::Name { .. }), "{name:?}: {error:?}");
    }
}

#[tokio::test]
async fn flags_stand_above_the_builder() {
    let mesh = Mesh::start().await;
    let options = Options {
        consul: Some(mesh.config().address),
        listen: "127.0.0.1:0".parse().ok(),
        ..Options::default()
    };
    let elsewhere = switchboard_backend::RegistryConfig::at("127.0.0.1:1").unwrap();
    let taken = mesh.registry.addr();
    let running = gated().0.registry(elsewhere).listen(taken).options(options).start().await.unwrap();
    running.registered().await;
    assert_eq!(mesh.instances().await, [running.instance()]);
}
