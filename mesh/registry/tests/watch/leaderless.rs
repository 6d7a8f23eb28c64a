//! A cluster without a leader (complaints rows 8 and 11): servers still answer `stale` reads, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use switchboard_registry::{Client, Config, Lease, LeaseState, Query, Registration};

use crate::fake::{Answer, Asked, Fake, instances};

/// Whether the request may be answered by a server that knows no leader.
fn is_stale_read(asked: &Asked) -> bool {
    asked.query.split('&').any(|pair| pair.split('=').next() == Some("stale"))
}

/// A cluster that is led from term to term: an even term has no leader, and the data is of the term.
struct Cluster {
    fake: Fake,
    term: Arc<AtomicU64>,
}

impl Cluster {
    async fn start() -> Self {
        let term = Arc::new(AtomicU64::new(1));
        let now = term.clone();
        let fake = Fake::start(move |_, asked| {
            let term = now.load(Ordering::SeqCst);
            // Instances change with a leader only.
            let led = term.div_ceil(2);
            if term.is_multiple_of(2) && !is_stale_read(asked) {
                return Answer::With(500, 0, "No cluster leader".to_owned());
            }
            if asked.path.starts_with("/v1/agent/") {
                return Answer::With(200, 0, String::new());
            }
            let ports: Vec<u16> = (1..=u16::try_from(led).unwrap()).collect();
            Answer::With(200, led, instances(&ports))
        })
        .await;
        Self { fake, term }
    }

    fn client(&self) -> Client {
        let config = Config { request_timeout: Duration::from_secs(5), ..self.fake.config() };
        Client::new(config).unwrap()
    }

    fn next_term(&self) {
        self.term.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn without_a_leader_what_is_registered_is_read_as_before_and_a_lease_waits() {
    let cluster = Cluster::start().await;
    let client = cluster.client();
    let mut watch = client.watch("s");
    assert_eq!(watch.loaded().await.instances.len(), 1);

    cluster.next_term();
    let lease = Lease::keep(client.clone(), Registration::new("agent-new", "127.0.0.1", 1));
    let mut state = lease.state();
    let refused = |state: &LeaseState| matches!(state, LeaseState::Registering { failures: 2.., .. });
    state.wait_for(refused).await.unwrap();
    assert_eq!((watch.latest().instances.len(), &watch.latest().stale), (1, &None));
    // One that was never asked for is found, too; a consistent read is what would fail.
    assert_eq!(client.health("s", &Query::default()).await.unwrap().value.len(), 1);
    let consistent = client.health("s", &Query { stale: false, ..Query::default() }).await.unwrap_err();
    assert!(consistent.to_string().contains("No cluster leader"), "{consistent}");

    cluster.next_term();
    let mut receiver = watch.receiver();
    let followed = receiver.wait_for(|snapshot| {
        assert!(snapshot.stale.is_none() && !snapshot.instances.is_empty(), "{snapshot:?}");
        snapshot.instances.len() == 2
    });
    tokio::time::timeout(Duration::from_secs(10), followed).await.expect("the new leader's change").unwrap();
    tokio::time::timeout(Duration::from_secs(10), lease.registered()).await.expect("registered");
}
