//! Calls with a key go to the key's owner: those about a task wait for it, those with a header of the service's choice go
//! to the next while it is full.

use crate::support::*;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use switchboard_proto::agentplatform::{TaskRequest, TaskStatusRequest};
use tokio::{sync::Semaphore, task::JoinHandle};

/// Which backend got which task, in the order of their coming.
type Seen = Arc<Mutex<Vec<(usize, String)>>>;

/// Workers that run a task until it is let go, and answer questions at once.
struct Workers {
    backends: Vec<Backend>,
    gates: Vec<Arc<Semaphore>>,
    seen: Seen,
}

impl Workers {
    async fn start(count: usize) -> Self {
        let (mut backends, mut gates, seen) = (Vec::new(), Vec::new(), Seen::default());
        for number in 0..count {
            let gate = Arc::new(Semaphore::new(0));
            gates.push(gate.clone());
            let seen = seen.clone();
            backends.push(
                Backend::start(move |mut call: Incoming| {
                    let (gate, seen) = (gate.clone(), seen.clone());
                    async move {
                        let note =
                            |what: String| seen.lock().expect("no handler panics").push((number, what));
                        if call.head.uri.path() == TASK_STATUS {
                            let question: TaskStatusRequest = call.decode().await;
                            note(format!("status of {}", question.task_id));
                            return call.reply(&question).await;
                        }
                        let task: TaskRequest = call.decode().await;
                        note(task.task_id.clone());
                        tokio::select! {
                            permit = gate.acquire() => permit.expect("it is not closed").forget(),
                            _ = call.reset_by_peer() => return,
                        }
                        call.reply(&task).await;
                    }
                })
                .await,
            );
        }
        Workers { backends, gates, seen }
    }

    fn instances(&self, capacity: u32) -> Vec<Instance> {
        let one = |(at, backend): (usize, &Backend)| Instance::new(&format!("w{at}"), backend.addr);
        self.backends.iter().enumerate().map(one).map(|instance| instance.capacity(capacity)).collect()
    }

    fn seen(&self) -> Vec<(usize, String)> {
        self.seen.lock().expect("no handler panics").clone()
    }

    /// Who got the task or question.
    async fn owner(&self, what: &str) -> usize {
        until(true, || self.seen().iter().any(|(_, seen)| seen == what)).await;
        self.seen().iter().find(|(_, seen)| seen == what).expect("it was there").0
    }

    fn let_go(&self, worker: usize, calls: usize) {
        self.gates[worker].add_permits(calls);
    }
}

fn run_task(client: &Arc<Client>, id: &str) -> JoinHandle<Answer> {
    let client = client.clone();
    let task = TaskRequest { task_id: id.to_owned(), ..task("plan-worker", "x") };
    tokio::spawn(async move { client.unary(PROCESS_TASK, &[], &task).await })
}

async fn ask(client: &Client, id: &str) -> Answer {
    let question = TaskStatusRequest { task_id: id.to_owned(), worker_id: "plan".to_owned() };
    client.unary(TASK_STATUS, &[], &question).await
}

fn parked(router: &TestRouter) -> u64 {
    router.metric("switchboard_calls_parked")
}

/// Task IDs by the worker that owns them, some of each, as questions tell it.
async fn tasks_by_owner(workers: &Workers, client: &Client) -> BTreeMap<usize, Vec<String>> {
    let mut tasks: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for number in 0..40 {
        let id = format!("task-{number}");
        ask(client, &id).await;
        tasks.entry(workers.owner(&format!("status of {id}")).await).or_default().push(id);
    }
    tasks
}

#[test]
fn a_task_waits_for_its_owner_and_holds_up_nobody_elses() {
    run(async {
        let workers = Workers::start(2).await;
        let router = TestRouter::start().await;
        router.set_instances("worker-plan", workers.instances(1));
        let client = Arc::new(Client::connect(router.addr).await);
        let tasks = tasks_by_owner(&workers, &client).await;
        let (mine, others) = (&tasks[&0], &tasks[&1]);
        let running = run_task(&client, &mine[0]);
        assert_eq!(workers.owner(&mine[0]).await, 0);
        // The owner is full, the other idle: the next tasks of the owner wait all the same, in their order.
        let mut waiting = Vec::new();
        for (at, id) in mine[1..4].iter().enumerate() {
            waiting.push(run_task(&client, id));
            until(at as u64 + 1, || parked(&router)).await;
        }
        // Questions go through, also about what waits; tasks of the other are not held up.
        let asked = tokio::time::timeout(Duration::from_secs(5), ask(&client, &mine[0])).await;
        assert_eq!(asked.expect("it does not wait").status(), 0);
        let other = run_task(&client, &others[0]);
        assert_eq!(workers.owner(&others[0]).await, 1);
        assert_eq!(parked(&router), 3);
        workers.let_go(1, 1);
        assert_eq!(other.await.unwrap().status(), 0);
        assert_eq!(parked(&router), 3, "the other's room is not theirs");
        workers.let_go(0, 4);
        assert_eq!(running.await.unwrap().status(), 0);
        for call in waiting {
            assert_eq!(call.await.unwrap().status(), 0);
        }
        let order: Vec<String> =
            workers.seen().into_iter().filter(|(at, _)| *at == 0).map(|seen| seen.1).collect();
        let tasks: Vec<_> = order.iter().filter(|what| !what.starts_with("status")).collect();
        assert_eq!(tasks, mine[..4].iter().collect::<Vec<_>>());
        router.settled().await;
    });
}

#[test]
fn a_task_whose_full_owner_leaves_goes_to_the_next() {
    run(async {
        let workers = Workers::start(2).await;
        let router = TestRouter::start().await;
        router.set_instances("worker-plan", workers.instances(1));
        let client = Arc::new(Client::connect(router.addr).await);
        let tasks = tasks_by_owner(&workers, &client).await;
        let running = run_task(&client, &tasks[&0][0]);
        workers.owner(&tasks[&0][0]).await;
        let waiting = run_task(&client, &tasks[&0][1]);
        until(1, || parked(&router)).await;
        router.set_instances("worker-plan", workers.instances(1).split_off(1));
        assert_eq!(workers.owner(&tasks[&0][1]).await, 1);
        workers.let_go(0, 1);
        workers.let_go(1, 1);
        assert_eq!((running.await.unwrap().status(), waiting.await.unwrap().status()), (0, 0));
        router.settled().await;
    });
}

#[test]
fn a_full_queue_for_one_owner_says_so() {
    run(async {
        let workers = Workers::start(2).await;
        let router = TestRouter::with(|config| config.queue_per_service = 1).await;
        router.set_instances("worker-plan", workers.instances(1));
        let client = Arc::new(Client::connect(router.addr).await);
        let tasks = tasks_by_owner(&workers, &client).await;
        let mut calls = vec![run_task(&client, &tasks[&0][0])];
        workers.owner(&tasks[&0][0]).await;
        calls.push(run_task(&client, &tasks[&0][1]));
        until(1, || parked(&router)).await;
        let refused = run_task(&client, &tasks[&0][2]).await.unwrap();
        assert_eq!((refused.status(), refused.reason().as_str()), (8, "QUEUE_FULL"), "{refused:?}");
        assert!(refused.message().contains("w0"), "{}", refused.message());
        // The other's is another.
        calls.push(run_task(&client, &tasks[&1][0]));
        assert_eq!(workers.owner(&tasks[&1][0]).await, 1);
        calls.iter().for_each(JoinHandle::abort);
        router.settled().await;
    });
}

#[test]
fn a_header_of_the_services_choice_gives_way_to_capacity() {
    run(async {
        let workers = Workers::start(3).await;
        let router = TestRouter::start().await;
        router.set_balance("agent-echo", "affinity:x-user");
        router.set_instances("agent-echo", workers.instances(1));
        let client = Arc::new(Client::connect(router.addr).await);
        let spawn = |id: &str| {
            let (client, id) = (client.clone(), id.to_owned());
            let task = TaskRequest { task_id: id, ..task("echo", "x") };
            tokio::spawn(async move { client.unary(EXECUTE_TASK, &[("x-user", "anna")], &task).await })
        };
        let mut calls = vec![spawn("first")];
        let owner = workers.owner("first").await;
        calls.push(spawn("second"));
        let next = workers.owner("second").await;
        calls.push(spawn("third"));
        let last = workers.owner("third").await;
        let mut all = [owner, next, last];
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        // Full as a whole: the first place that is free is taken, wherever it is.
        calls.push(spawn("fourth"));
        until(1, || parked(&router)).await;
        workers.let_go(last, 1);
        assert_eq!(workers.owner("fourth").await, last);
        workers.let_go(owner, 1);
        until(2, || workers.backends.iter().map(Backend::open_streams).sum::<usize>()).await;
        until(0, || router.open_at(&format!("w{owner}"), workers.backends[owner].addr)).await;
        calls.push(spawn("fifth"));
        assert_eq!(workers.owner("fifth").await, owner);
        (0..3).for_each(|worker| workers.let_go(worker, 1));
        for call in calls {
            assert_eq!(call.await.unwrap().status(), 0);
        }
        router.settled().await;
    });
}
