//! What fails while a call has two attempts: the other one is waited for, and its client sees one end.

use super::*;

/// How one of two attempts fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Unavailable,
    /// Which may not be tried again, but the other attempt is under way already.
    Pushback,
    Trailers,
    Reset,
    Refused,
}

const WAYS: [Way; 5] = [Way::Unavailable, Way::Pushback, Way::Trailers, Way::Reset, Way::Refused];

async fn fail(call: &mut Incoming, way: Way) {
    match way {
        Way::Unavailable => call.trailers_only(UNAVAILABLE),
        Way::Pushback => call.trailers_only(&[("grpc-status", "14"), ("grpc-retry-pushback-ms", "-1")]),
        Way::Trailers => call.begin(&[]).finish(UNAVAILABLE),
        Way::Reset => call.reset(Reason::INTERNAL_ERROR),
        Way::Refused => call.reset(Reason::REFUSED_STREAM),
    }
}

#[test]
fn a_failure_of_one_attempt_waits_for_the_other() {
    run(async {
        for (way, hedge_fails) in WAYS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
            let hedge_came = Arc::new(tokio::sync::Semaphore::new(0));
            let failed = Arc::new(tokio::sync::Semaphore::new(0));
            let (came, fails) = (hedge_came.clone(), failed.clone());
            let first = move |mut call: Incoming| {
                let (came, fails) = (came.clone(), fails.clone());
                async move {
                    let _ = came.acquire().await;
                    match hedge_fails {
                        true => {
                            let _ = fails.acquire().await;
                            call.echo("answer").await;
                        }
                        false => fail(&mut call, way).await,
                    }
                    None
                }
            };
            let came = hedge_came.clone();
            let waiting = Arc::new(tokio::sync::Semaphore::new(0));
            let go = waiting.clone();
            let second = move |mut call: Incoming| {
                let (came, go) = (came.clone(), go.clone());
                async move {
                    came.add_permits(1);
                    match hedge_fails {
                        true => fail(&mut call, way).await,
                        false => {
                            let _ = go.acquire().await;
                            call.echo("answer").await;
                        }
                    }
                }
            };
            let pair = Pair::of(first, second).await;
            let (router, client) = pair.router(true, |_| {}).await;
            let request = task("echo", "x");
            let answer = client.unary(EXECUTE_TASK, &[], &request);
            let release = async {
                // The failure has arrived when the router counts one stream only.
                until(2, || pair.executions()).await;
                let open = || {
                    (0..2)
                        .map(|n| router.open_at(&format!("agent-echo-{n}"), pair.backends[n].addr))
                        .sum::<u32>()
                };
                until(1, open).await;
                failed.add_permits(1);
                waiting.add_permits(1);
            };
            let (answer, ()) = tokio::join!(answer, release);
            assert_eq!(answer.status(), 0, "{way:?} {hedge_fails} {answer:?}");
            assert_eq!(answer.decode::<TaskResponse>().output, "answer: x", "{way:?} {hedge_fails}");
            assert_eq!((pair.executions(), router.metric("switchboard_retries_total")), (2, 0));
            router.settled().await;
        }
    });
}

#[test]
fn a_lost_connection_of_one_attempt_waits_for_the_other() {
    run(async {
        let pair = Pair::of(
            async |mut call: Incoming| Some(call.reset_by_peer().await),
            async |call: Incoming| {
                tokio::time::sleep(Duration::from_millis(200)).await;
                call.echo("answer").await;
            },
        )
        .await;
        let (router, client) = pair.router(true, |_| {}).await;
        let request = task("echo", "x");
        let cut = async {
            until(1, || pair.executions()).await;
            let slow = usize::from(pair.backends[1].streams() == 1);
            until(1, || router.metric(HEDGES)).await;
            pair.backends[slow].cut();
        };
        let (answer, ()) = tokio::join!(client.unary(EXECUTE_TASK, &[], &request), cut);
        assert_eq!(answer.decode::<TaskResponse>().output, "answer: x");
        assert_eq!((pair.executions(), router.metric("switchboard_retries_total")), (2, 0));
        router.settled().await;
    });
}

#[test]
fn when_both_fail_there_is_one_error() {
    run(async {
        let (tell, wait) = tokio::sync::watch::channel(false);
        let slow = move |mut call: Incoming| {
            let mut wait = wait.clone();
            async move {
                let _ = wait.wait_for(|came| *came).await;
                call.trailers_only(UNAVAILABLE);
                None
            }
        };
        let tell = Arc::new(tell);
        let fast = move |mut call: Incoming| {
            let tell = tell.clone();
            async move {
                tell.send_replace(true);
                call.trailers_only(UNAVAILABLE);
            }
        };
        let pair = Pair::of(slow, fast).await;
        let (router, client) = pair.router(true, |_| {}).await;
        let answer = client.unary(EXECUTE_TASK, &[], &task("echo", "x")).await;
        assert_eq!((answer.status(), answer.message().as_str()), (14, "original"));
        router.settled().await;
        assert_eq!(pair.executions(), 2, "the hedge was the second attempt");
        let ended = "switchboard_calls_total{service=\"agent-echo\",method=\"/agentplatform.AgentService/ExecuteTask\",code=\"14\",origin=\"backend\"}";
        until(1, || router.metric(ended)).await;
    });
}

#[test]
fn a_hedge_that_reaches_nobody_costs_the_call_nothing() {
    run(async {
        let slow = Backend::start(async |call: Incoming| {
            tokio::time::sleep(Duration::from_millis(250)).await;
            call.echo("slow").await;
        })
        .await;
        let dead = nowhere().await;
        let router = TestRouter::start().await;
        router.set_hedge("agent-echo", SOON);
        router.set_idempotent("agent-echo");
        router.set("agent-echo", &[slow.addr]);
        let client = Client::connect(router.addr).await;
        let mut call = client.begin(EXECUTE_TASK, &[], &task("echo", "x")).await;
        until(1, || slow.open_streams()).await;
        router.set("agent-echo", &[slow.addr, dead]);
        call.half_close();
        assert_eq!(call.answer().await.unwrap().decode::<TaskResponse>().output, "slow: x");
        assert_eq!((router.metric(HEDGES), router.metric("switchboard_retries_total")), (0, 0));
        router.settled().await;
    });
}
