//! Which addresses are probed, and what answers count as.

use super::*;
use crate::{
    control::{
        discovery::ServiceView,
        instances::{Instances, Known},
    },
    directory::{Directory, Service, Strategy, Usage},
    link::Certificates,
};
use switchboard_registry::Instance;
use switchboard_transport::{
    ClientAuth, ClientTls, ServerTls,
    authority::{Authority, Subject},
};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tokio_rustls::TlsAcceptor;

fn known(number: usize, status: Status) -> Known {
    let port = u16::try_from(number).unwrap();
    let instance = Instance {
        id: format!("i{number}"),
        service: "agent-a".into(),
        node: "n".into(),
        address: "127.0.0.1".into(),
        port,
        tags: Vec::new(),
        meta: Default::default(),
        weight: 1,
        status,
        modify_index: 1,
        create_index: 1,
    };
    Known { instance, addr: Ok(([127, 0, 0, 1], port).into()) }
}

/// A view of services with their time of last use and their instances.
fn view(services: &[(&str, u64, Vec<Known>)]) -> View {
    let mut directory = Directory::default();
    let mut all = HashMap::new();
    for (name, last_ms, instances) in services {
        let name: Arc<str> = (*name).into();
        let usage = Arc::new(Usage::default());
        usage.touch(*last_ms);
        let service = Service {
            name: name.clone(),
            endpoints: Vec::new(),
            known: instances.len(),
            last_seen: None,
            fresh_until_ms: 0,
            uniform: true,
            strategy: Strategy::P2c,
            idempotent: false,
            hedge: None,
            limits: None,
            usage,
        };
        directory.services.insert(name.clone(), Arc::new(service));
        let instances = Instances::from(instances.clone());
        all.insert(name, ServiceView { instances, watched: true, ..ServiceView::default() });
    }
    View { directory: Arc::new(directory), services: all, ..View::default() }
}

fn probes() -> Probes {
    Probes::new(Clock::start(), Duration::from_secs(10), Dial::clear())
}

#[test]
fn only_what_does_not_pass_is_probed_and_forgotten_when_it_passes() {
    let probes = probes();
    let (bad, good) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
    probes.choose(&view(&[("agent-a", 1, vec![known(1, Status::Critical), known(2, Status::Passing)])]));
    assert_eq!((probes.at(bad), probes.at(good)), (Some((Found::Never, None)), None));
    probes.note(bad, Found::Serving);
    assert_eq!(probes.at(bad), Some((Found::Serving, Some(0))));
    // A new view of the same keeps what is known.
    probes.choose(&view(&[("agent-a", 1, vec![known(1, Status::Warning)])]));
    assert_eq!(probes.at(bad), Some((Found::Serving, Some(0))));
    probes.choose(&view(&[("agent-a", 1, vec![known(1, Status::Passing)])]));
    assert_eq!(probes.at(bad), None);
    probes.note(bad, Found::Serving);
    assert_eq!(probes.at(bad), None, "an answer that comes too late is nobody's");
}

#[test]
fn instances_of_one_address_share_a_probe() {
    let probes = probes();
    let other = Known { instance: known(7, Status::Critical).instance, ..known(1, Status::Critical) };
    probes.choose(&view(&[("agent-a", 1, vec![known(1, Status::Critical), other])]));
    assert_eq!(probes.count(), HashMap::from([("never", 1)]));
}

#[test]
fn of_too_many_those_of_services_called_last_are_probed() {
    let probes = probes();
    let critical = |numbers: std::ops::Range<usize>| numbers.map(|n| known(n, Status::Critical)).collect();
    let (old, new) = (critical(1..601), critical(1_001..1_601));
    probes.choose(&view(&[("agent-old", 1, old), ("agent-new", 2, new)]));
    assert_eq!(probes.count(), HashMap::from([("never", 1_000)]));
    assert_eq!(probes.left_out.load(Relaxed), 200);
    assert!((1_001..1_601).all(|port| probes.at(([127, 0, 0, 1], port).into()).is_some()));
}

#[test]
fn each_address_is_due_once_within_a_second_and_again_after_the_interval() {
    let probes = probes();
    probes.choose(&view(&[("agent-a", 1, vec![known(1, Status::Critical)])]));
    let addr = ([127, 0, 0, 1], 1).into();
    let due = || probes.locked()[&addr].due_ms;
    let take = || probes.take_due().map(|(addr, _)| addr);
    assert!(due().unwrap() <= probes.clock.now_ms() + FIRST_MS);
    probes.locked().get_mut(&addr).unwrap().due_ms = Some(0);
    assert_eq!((take(), take(), due()), (Some(addr), None, None));
    let before = probes.clock.now_ms();
    probes.note(addr, Found::Unreachable);
    let pause = due().unwrap() - before;
    assert!((8_000..12_500).contains(&pause), "{pause}");
}

#[tokio::test]
async fn peers_that_speak_no_grpc_are_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    // One reads and says nothing, one talks like a mail server, one closes at once.
    let peers = tokio::spawn(async move {
        let (mut silent, _) = listener.accept().await.unwrap();
        let (mut rude, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut rude, &[b'2'; 100_000]).await.ok();
        drop(listener.accept().await.unwrap());
        let mut bytes = [0; 1_024];
        while silent.read(&mut bytes).await.is_ok_and(|read| read > 0) {}
    });
    for _ in 0..3 {
        assert_eq!(ask(&Dial::clear(), addr, "agent-a").await, Found::Unreachable);
    }
    peers.await.unwrap();
    assert_eq!(ask(&Dial::clear(), addr, "agent-a").await, Found::Unreachable, "nobody listens any more");
}

#[tokio::test]
async fn an_instance_behind_tls_is_asked_by_tls_and_has_to_prove_its_service() {
    let authority = Authority::new("test", Duration::from_secs(3_600)).unwrap();
    let issued = authority.issue(&Subject::service("agent-a")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("ca"), &authority.issued().cert).unwrap();
    std::fs::write(path("cert"), issued.cert).unwrap();
    std::fs::write(path("key"), issued.key).unwrap();
    let files =
        ServerTls { cert: path("cert"), key: path("key"), client_ca: None, client_auth: ClientAuth::None };
    let acceptor = TlsAcceptor::from(Arc::new(files.server_config().unwrap().0));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let incoming = futures_util::stream::unfold(listener, move |listener| {
        let acceptor = acceptor.clone();
        async move {
            let (socket, _) = listener.accept().await.unwrap();
            Some((acceptor.accept(socket).await, listener))
        }
    });
    let (_, health) = tonic_health::server::health_reporter();
    let server =
        tokio::spawn(tonic::transport::Server::builder().add_service(health).serve_with_incoming(incoming));
    let client = ClientTls { ca: path("ca"), cert: None, key: None }.service_config().unwrap();
    let certificates = Certificates { server: None, client: Some(Arc::new(client)) };
    let (_sender, current) = watch::channel(certificates);
    let dial = Dial::new(Some(current));
    assert_eq!(ask(&dial, addr, "agent-a").await, Found::Serving);
    assert_eq!(ask(&dial, addr, "agent-b").await, Found::Unreachable, "it is of another service");
    assert_eq!(ask(&Dial::clear(), addr, "agent-a").await, Found::Unreachable, "it speaks TLS only");
    server.abort();
}
