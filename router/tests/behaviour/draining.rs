//! An instance that leaves the registry keeps its streams for as long as it was given, and each then ends with a status
//! and a hint to call again, never with a bare reset (complaint 21).

use crate::support::*;
use bytes::Bytes;
use h2::{Reason, SendStream};
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use switchboard_router::directory::Limits;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// Echoes messages of streams, and notes how each of them ended.
struct Echo {
    backend: Backend,
    ends: Arc<Mutex<Vec<Gone>>>,
}

impl Echo {
    async fn start() -> Self {
        let ends = Arc::<Mutex<Vec<Gone>>>::default();
        let noted = ends.clone();
        let backend = Backend::start(move |mut call: Incoming| {
            let noted = noted.clone();
            async move {
                let mut out = call.begin(&[]);
                loop {
                    match call.messages.next().await {
                        Ok(Some(message)) => drop(out.send(&message).await),
                        Ok(None) => return out.finish(&[("grpc-status", "0")]),
                        Err(gone) => return noted.lock().expect("no handler panics").push(gone),
                    }
                }
            }
        })
        .await;
        Echo { backend, ends }
    }

    fn instance(&self, id: &str) -> Instance {
        Instance::new(id, self.backend.addr)
    }
}

/// A stream that has echoed a message.
struct Stream {
    request: SendStream<Bytes>,
    response: Response,
}

impl Stream {
    async fn open(client: &Client) -> Self {
        let mut call = client.open(BIDI, &[]).await.expect("the connection takes calls");
        call.send(b"hello").await.expect("the stream is open");
        let (request, response) = call.response().await.expect("a response");
        let mut stream = Stream { request, response };
        assert_eq!(stream.response.messages.next().await, Ok(Some("hello".into())));
        stream
    }

    async fn echoes(&mut self) {
        self.request.send_data(frame(b"on"), false).expect("the stream is open");
        assert_eq!(self.response.messages.next().await, Ok(Some("on".into())));
    }

    /// Waits for the status of a stream whose instance's time is over.
    async fn drained(self) {
        let answer = self.response.finish().await.expect("a status, no reset");
        assert_eq!((answer.status(), answer.reason().as_str()), (14, "INSTANCE_DRAINED"), "{answer:?}");
        assert_eq!((answer.fact("service").as_str(), answer.fact("instance").as_str()), ("agent-x", "a"));
        assert_eq!(answer.details().retry_after(), Some(ms(100)));
    }

    async fn finish(mut self) {
        self.request.send_data(Bytes::new(), true).expect("the stream is open");
        assert_eq!(self.response.finish().await.expect("a status").status(), 0);
    }
}

/// A router with `agent-x` at instance `a`.
async fn router(after: Duration) -> (TestRouter, Client, Echo) {
    let (a, router) = (Echo::start().await, TestRouter::with(|c| c.drain_streams_after = after).await);
    router.set_instances("agent-x", vec![a.instance("a")]);
    router.set_grpc("demo.Echo", "agent-x");
    let client = Client::connect(router.addr).await;
    (router, client, a)
}

#[test]
fn streams_of_an_instance_that_left_end_with_a_status_after_their_time() {
    run(async {
        let (router, client, a) = router(ms(300)).await;
        let b = Echo::start().await;
        let mut streams = Vec::new();
        for _ in 0..10 {
            streams.push(Stream::open(&client).await);
        }
        let began = Instant::now();
        router.set_instances("agent-x", vec![b.instance("b")]);
        let new = Stream::open(&client).await;
        for mut stream in streams {
            if began.elapsed() < ms(250) {
                stream.echoes().await;
            }
            stream.drained().await;
            assert!(began.elapsed() >= ms(299), "{:?}", began.elapsed());
        }
        // The instance is told, and its connection goes.
        until(0, || a.backend.open_connections()).await;
        assert!(a.ends.lock().unwrap().iter().all(|end| *end == Gone(Some(Reason::CANCEL))));
        assert_eq!(b.backend.open_streams(), 1);
        new.finish().await;
        router.settled().await;
    });
}

#[test]
fn an_instance_that_comes_back_in_time_keeps_its_streams_and_the_next_leave_begins_anew() {
    run(async {
        let (router, client, a) = router(ms(400)).await;
        let mut stream = Stream::open(&client).await;
        let began = Instant::now();
        // It flaps for twice its time, without ever being away for long.
        while began.elapsed() < ms(800) {
            router.set_instances("agent-x", vec![]);
            stream.echoes().await;
            router.set_instances("agent-x", vec![a.instance("a")]);
            stream.echoes().await;
        }
        let left = Instant::now();
        router.set_instances("agent-x", vec![]);
        stream.drained().await;
        assert!(left.elapsed() >= ms(399), "{:?}", left.elapsed());
        // A call after that finds it as it was.
        router.set_instances("agent-x", vec![a.instance("a")]);
        Stream::open(&client).await.finish().await;
        router.settled().await;
    });
}

#[test]
fn the_service_decides_for_itself() {
    run(async {
        let (router, client, _a) = router(LONG).await;
        let mut stream = Stream::open(&client).await;
        router.set_limits("agent-x", Limits { drain_streams_after: Some(ms(50)), ..Limits::default() });
        stream.echoes().await;
        router.set_instances("agent-x", vec![]);
        stream.drained().await;
        // And the other way round: for ever.
        let (router, client, _a) = router_that_keeps().await;
        let mut stream = Stream::open(&client).await;
        router.set_instances("agent-x", vec![]);
        let deaf = tokio::time::timeout(ms(300), stream.response.messages.next()).await;
        assert!(deaf.is_err(), "{deaf:?}");
        stream.finish().await;
    });
}

/// A service that keeps its streams for ever, on a router that does not.
async fn router_that_keeps() -> (TestRouter, Client, Echo) {
    let started = router(ms(50)).await;
    started
        .0
        .set_limits("agent-x", Limits { drain_streams_after: Some(Duration::ZERO), ..Limits::default() });
    started
}

#[test]
fn connections_that_announced_their_end_make_no_difference() {
    run(async {
        let (router, client, a) = router(ms(200)).await;
        let mut stream = Stream::open(&client).await;
        a.backend.go_away();
        // A new call opens another connection: the router has seen the GOAWAY.
        while a.backend.connections() < 2 {
            Stream::open(&client).await.finish().await;
        }
        router.set_instances("agent-x", vec![]);
        stream.echoes().await;
        router.set_instances("agent-x", vec![a.instance("a")]);
        stream.echoes().await;
        router.set_instances("agent-x", vec![]);
        stream.drained().await;
        router.settled().await;
    });
}

#[test]
fn a_service_that_the_directory_drops_keeps_its_streams() {
    run(async {
        let (router, client, _a) = router(ms(50)).await;
        let mut stream = Stream::open(&client).await;
        router.remove("agent-x");
        let deaf = tokio::time::timeout(ms(300), stream.response.messages.next()).await;
        assert!(deaf.is_err(), "{deaf:?}");
        stream.finish().await;
        router.settled().await;
    });
}

#[test]
fn a_call_that_waits_for_an_instance_that_left_goes_to_another() {
    run(async {
        // It accepts, and says nothing.
        let (mute, live) = (Peer::start().await, Echo::start().await);
        let router = TestRouter::with(|config| {
            config.drain_streams_after = ms(50);
            config.connect_timeout = Duration::from_secs(30);
        })
        .await;
        router.set_instances("agent-x", vec![Instance::new("a", mute.addr)]);
        router.set_grpc("demo.Echo", "agent-x");
        let client = Client::connect(router.addr).await;
        let call = client.open(BIDI, &[]).await.unwrap();
        until(1, || router.metric("switchboard_calls_queued")).await;
        router.set_instances("agent-x", vec![live.instance("live")]);
        let (request, response) = call.response().await.unwrap();
        Stream { request, response }.finish().await;
        assert_eq!(live.backend.streams(), 1);
        router.settled().await;
    });
}
