//! The rules of a watch under a stopped clock, against a scripted registry. Time moves only while every task waits.

use std::sync::Mutex;

use super::*;
use crate::instance::Status;

type Read = Indexed<Vec<Instance>>;

/// What the scripted registry does with one read.
enum Answer {
    At(Duration, Result<Read, Error>),
    Never,
}

impl Answer {
    fn now(index: u64, value: Vec<Instance>) -> Self {
        Self::after(Duration::ZERO, index, value)
    }

    fn after(delay: Duration, index: u64, value: Vec<Instance>) -> Self {
        Self::At(delay, Ok(Indexed { value, index }))
    }

    fn status(delay: Duration, status: u16) -> Self {
        let (address, path, body) = ("registry".to_owned(), "/".to_owned(), String::new());
        Self::At(delay, Err(Error::Status { address, path, status, body }))
    }
}

#[derive(Clone)]
struct Script {
    /// Given the read's number from 0 and the index it asks for.
    answer: Arc<dyn Fn(usize, u64) -> Answer + Send + Sync>,
    reads: Arc<Mutex<Vec<(Instant, u64)>>>,
    slots: Arc<Semaphore>,
}

impl Script {
    fn new(answer: impl Fn(usize, u64) -> Answer + Send + Sync + 'static) -> Self {
        Self { answer: Arc::new(answer), reads: Arc::default(), slots: Arc::new(Semaphore::new(100)) }
    }

    fn watch(&self) -> WatchHandle {
        start(self.clone(), StdRng::seed_from_u64(7))
    }

    fn indexes(&self) -> Vec<u64> {
        self.reads.lock().unwrap().iter().map(|(_, index)| *index).collect()
    }

    fn reads_since(&self, since: Instant) -> usize {
        self.reads.lock().unwrap().iter().filter(|(at, _)| *at >= since).count()
    }
}

impl Source for Script {
    type View = Snapshot;

    fn name(&self) -> &str {
        "scripted"
    }

    fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    async fn read(&self, index: u64) -> Result<Read, Error> {
        let number = {
            let mut reads = self.reads.lock().unwrap();
            reads.push((Instant::now(), index));
            reads.len() - 1
        };
        match (self.answer)(number, index) {
            Answer::At(delay, result) => {
                tokio::time::sleep(delay).await;
                result
            }
            Answer::Never => std::future::pending().await,
        }
    }
}

fn instance(id: &str, status: Status) -> Instance {
    Instance {
        id: id.to_owned(),
        service: "s".to_owned(),
        node: "n".to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 1,
        tags: Vec::new(),
        meta: BTreeMap::new(),
        status,
        weight: 1,
        modify_index: 1,
        create_index: 1,
    }
}

fn some(ids: &[&str]) -> Vec<Instance> {
    ids.iter().map(|id| instance(id, Status::Passing)).collect()
}

fn ids(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.instances.iter().map(|instance| instance.id.as_str()).collect()
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Waits until the snapshot is as wanted and gives how long that took.
async fn until(watch: &WatchHandle, wanted: impl FnMut(&Arc<Snapshot>) -> bool) -> Duration {
    let started = Instant::now();
    let mut receiver = watch.receiver();
    let seen = receiver.wait_for(wanted);
    tokio::time::timeout(seconds(600), seen).await.expect("it never became so").unwrap();
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn an_index_of_zero_is_asked_for_as_one_and_does_not_spin() {
    let script =
        Script::new(|number, _| Answer::now(0, if number < 50 { some(&["a"]) } else { some(&["b"]) }));
    let watch = script.watch();
    until(&watch, |snapshot| ids(snapshot) == ["b"]).await;
    let started = script.reads.lock().unwrap()[0].0;
    let per_ten = script.reads_since(started);
    assert!(
        started.elapsed() >= Duration::from_millis(100) * (u32::try_from(per_ten).unwrap() - 2),
        "{per_ten}"
    );
    assert_eq!(script.indexes()[..4], [0, 1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_lower_index_is_read_anew_from_zero_and_not_believed_before() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(9, some(&["a"])),
        // A server that is behind: its list is of the past.
        1 => Answer::after(seconds(1), 5, some(&["past"])),
        2 => Answer::now(10, some(&["a", "b"])),
        _ => Answer::Never,
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let next = watch.changed().await;
    assert_eq!((ids(&next), next.index), (vec!["a", "b"], 10));
    assert_eq!(script.indexes()[..3], [0, 9, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_lost_its_state_is_followed_at_its_lower_index() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(900, some(&["a"])),
        1 | 2 => Answer::now(3, some(&["b"])),
        _ => Answer::Never,
    });
    let watch = script.watch();
    until(&watch, |snapshot| ids(snapshot) == ["b"] && snapshot.index == 3).await;
    tokio::time::sleep(seconds(1)).await;
    assert_eq!(script.indexes(), [0, 900, 0, 3]);
}

#[tokio::test(start_paused = true)]
async fn instant_answers_are_read_at_most_ten_times_a_second_and_the_next_change_is_seen() {
    let script =
        Script::new(|number, _| Answer::now(7, if number < 30 { some(&["a"]) } else { some(&["b"]) }));
    let mut watch = script.watch();
    watch.loaded().await;
    let started = Instant::now();
    tokio::time::sleep(seconds(1)).await;
    assert!(script.reads_since(started) <= 12, "{}", script.reads_since(started));
    let took = until(&watch, |snapshot| ids(snapshot) == ["b"]).await;
    assert!(took < seconds(3), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flapping_service_costs_ten_reads_and_at_most_twenty_updates_a_second() {
    // It changes 100 times a second: each read finds another index and another state.
    let script = Script::new(|number, _| {
        let status = if number % 2 == 0 { Status::Passing } else { Status::Warning };
        Answer::now(100 + number as u64, vec![instance("a", status), instance("b", Status::Passing)])
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let started = Instant::now();
    let mut updates = Vec::new();
    while started.elapsed() < seconds(2) {
        watch.changed().await;
        updates.push(Instant::now());
    }
    assert!(script.reads_since(started) <= 22, "{}", script.reads_since(started));
    assert!(updates.len() > 10, "every change that was read is published: {}", updates.len());
    for pair in updates.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_millis(50), "{:?}", pair[1] - pair[0]);
    }
}

/// A catalogue of `names` names that is another one at each read.
struct Catalogue {
    names: usize,
    reads: Arc<Mutex<Vec<u64>>>,
    slots: Arc<Semaphore>,
}

impl Source for Catalogue {
    type View = CatalogSnapshot;

    fn name(&self) -> &str {
        "catalogue"
    }

    fn slots(&self) -> &Arc<Semaphore> {
        &self.slots
    }

    async fn read(&self, index: u64) -> Result<Indexed<BTreeMap<String, Vec<String>>>, Error> {
        let mut reads = self.reads.lock().unwrap();
        reads.push(index);
        let first = reads.len();
        let value = (first..first + self.names).map(|n| (format!("agent-{n:06}"), Vec::new())).collect();
        Ok(Indexed { value, index: first as u64 })
    }
}

#[tokio::test(start_paused = true)]
async fn a_catalogue_that_always_changes_is_read_ten_times_a_second_or_once_for_100_000_names() {
    for (names, at_least, at_most) in [(10, 48, 52), (5_000, 48, 52), (100_000, 5, 6)] {
        let reads: Arc<Mutex<Vec<u64>>> = Arc::default();
        let slots = Arc::new(Semaphore::new(1));
        let watch = start(Catalogue { names, reads: reads.clone(), slots }, StdRng::seed_from_u64(7));
        tokio::time::sleep(seconds(5)).await;
        let count = reads.lock().unwrap().len();
        assert!((at_least..=at_most).contains(&count), "{names} names: {count} reads in 5 s");
        assert_eq!(watch.latest().services.len(), names);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lone_change_is_published_at_once() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(1, some(&["a"])),
        1 => Answer::after(seconds(3), 2, some(&["a", "b"])),
        _ => Answer::Never,
    });
    let watch = script.watch();
    assert_eq!(until(&watch, |snapshot| ids(snapshot) == ["a", "b"]).await, seconds(3));
}

#[tokio::test(start_paused = true)]
async fn readers_hear_of_a_registry_that_fails_from_the_start_once() {
    let script = Script::new(|_, _| Answer::status(Duration::ZERO, 500));
    let mut watch = script.watch();
    let failed = watch.changed().await;
    assert!(matches!(failed.stale, Some(Stale::Failed(_))) && failed.index == 0, "{failed:?}");
    assert!(tokio::time::timeout(seconds(300), watch.changed()).await.is_err(), "and not of each failure");
}

#[tokio::test(start_paused = true)]
async fn errors_slow_reading_down_to_once_in_thirty_seconds_and_keep_the_table() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(1, some(&["a"])),
        _ => Answer::status(Duration::ZERO, 500),
    });
    let watch = script.watch();
    until(&watch, |snapshot| matches!(snapshot.stale, Some(Stale::Failed(_)))).await;
    tokio::time::sleep(seconds(120)).await;
    let later = Instant::now();
    tokio::time::sleep(seconds(300)).await;
    assert!(script.reads_since(later) <= 10, "{} in 300 s", script.reads_since(later));
    let snapshot = watch.latest();
    assert_eq!(ids(&snapshot), ["a"]);
    assert!(snapshot.stale.as_ref().unwrap().to_string().contains("500"), "{:?}", snapshot.stale);
    assert!(snapshot.read_at <= (Instant::now() - seconds(420)).into_std(), "its age is the last success's");
}

/// Whether two reads would meet at the registry.
fn meet(a: Instant, b: Instant) -> bool {
    a.max(b) - a.min(b) < Duration::from_millis(100)
}

/// Times of the reads of eight routers whose registry answers every read with an error.
async fn eight_failing_routers(during: Duration) -> Vec<Vec<Instant>> {
    let scripts: Vec<_> = (0..8).map(|_| Script::new(|_, _| Answer::status(Duration::ZERO, 500))).collect();
    let seeded =
        scripts.iter().zip(1..).map(|(script, seed)| start(script.clone(), StdRng::seed_from_u64(seed)));
    let _watches: Vec<_> = seeded.collect();
    tokio::time::sleep(during).await;
    scripts.iter().map(|script| script.reads.lock().unwrap().iter().map(|(at, _)| *at).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn eight_routers_never_ask_a_failing_registry_all_together_twice_running() {
    let reads = eight_failing_routers(seconds(600)).await;
    let together: Vec<bool> = reads[0]
        .iter()
        .map(|at| reads.iter().all(|other| other.iter().any(|other| meet(*at, *other))))
        .collect();
    assert!(together[0], "the first read of all is: {together:?}");
    assert!(!together[1..].contains(&true), "{together:?}");
}

#[tokio::test(start_paused = true)]
async fn two_of_eight_routers_meet_twice_running_less_than_once_in_a_thousand_reads() {
    let reads = eight_failing_routers(seconds(24 * 3_600)).await;
    let (mut all, mut met, mut twice, mut three) = (0, 0, 0, 0);
    for (router, own) in reads.iter().enumerate() {
        let settled = own.partition_point(|at| *at < own[0] + seconds(120));
        for pair in own[settled..].windows(2) {
            let with = |at: Instant| {
                let others = reads.iter().enumerate().filter(move |(other, _)| *other != router);
                others.filter(move |(_, theirs)| {
                    let next = theirs.partition_point(|their| *their < at);
                    theirs[next.saturating_sub(1)..].iter().take(2).any(|their| meet(at, *their))
                })
            };
            all += 1;
            met += usize::from(with(pair[0]).next().is_some());
            three += usize::from(with(pair[0]).count() > 1);
            twice += usize::from(with(pair[0]).any(|(one, _)| with(pair[1]).any(|(again, _)| one == again)));
        }
    }
    assert!(all > 8 * 24 * 60 && all < 8 * 24 * 120, "one read in 30 to 60 s: {all}");
    assert!(met * 20 < all && three * 500 < all && twice * 1_000 < all, "{met}, {three}, {twice} of {all}");
}

#[tokio::test(start_paused = true)]
async fn an_error_ends_and_the_next_read_starts_from_zero() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(50, some(&["a"])),
        1 => Answer::status(Duration::ZERO, 500),
        2 => Answer::now(4, some(&["a", "b"])),
        _ => Answer::Never,
    });
    let watch = script.watch();
    until(&watch, |snapshot| matches!(snapshot.stale, Some(Stale::Failed(_)))).await;
    let took = until(&watch, |snapshot| ids(snapshot) == ["a", "b"] && snapshot.stale.is_none()).await;
    assert!(took <= seconds(1), "{took:?}");
    assert_eq!(script.indexes()[..3], [0, 50, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_cut_on_the_way_is_repeated_at_once_and_is_no_error() {
    let script = Script::new(|number, index| match (number, index) {
        (_, 0) => Answer::now(5, some(&["a"])),
        _ => Answer::status(seconds(50), 504),
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let mut changes = watch.receiver();
    changes.mark_unchanged();
    tokio::time::sleep(seconds(500)).await;
    assert!(!changes.has_changed().unwrap(), "no reader was woken: {:?}", watch.latest());
    assert_eq!((ids(&watch.latest()), &watch.latest().stale), (vec!["a"], &None));
    assert!(watch.latest().read_at >= (Instant::now() - seconds(51)).into_std(), "it is as fresh as can be");
}

#[tokio::test(start_paused = true)]
async fn what_vanished_at_once_is_kept_for_five_seconds() {
    for empty in [Vec::new(), vec![instance("a", Status::Critical)]] {
        let left = empty.clone();
        let script = Script::new(move |number, _| match number {
            0 => Answer::now(1, some(&["a"])),
            1 => Answer::after(seconds(1), 2, left.clone()),
            _ => Answer::Never,
        });
        let watch = script.watch();
        until(&watch, |snapshot| snapshot.stale == Some(Stale::Emptied)).await;
        assert_eq!(watch.latest().passing().count(), 1, "what was known is still there");
        let took = until(&watch, |snapshot| snapshot.instances == empty).await;
        assert_eq!(took, seconds(5));
        assert_eq!(watch.latest().stale, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_within_five_seconds_had_never_gone() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(1, some(&["a"])),
        1 => Answer::after(seconds(1), 2, Vec::new()),
        2 => Answer::after(seconds(3), 3, Vec::new()),
        3 => Answer::after(seconds(1), 4, some(&["a"])),
        _ => Answer::Never,
    });
    let mut watch = script.watch();
    watch.loaded().await;
    until(&watch, |snapshot| {
        assert_eq!(ids(snapshot), ["a"]);
        snapshot.index == 4
    })
    .await;
    tokio::time::sleep(seconds(10)).await;
    assert_eq!((ids(&watch.latest()), &watch.latest().stale), (vec!["a"], &None));
}

#[tokio::test(start_paused = true)]
async fn a_failed_connection_ends_the_keeping() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(1, some(&["a"])),
        1 => Answer::after(seconds(1), 2, Vec::new()),
        _ => Answer::Never,
    });
    let watch = script.watch();
    until(&watch, |snapshot| snapshot.stale == Some(Stale::Emptied)).await;
    watch.report_failure();
    assert_eq!(until(&watch, |snapshot| snapshot.instances.is_empty()).await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_service_is_empty_at_once() {
    let script = Script::new(|number, _| match number {
        0 => Answer::now(1, Vec::new()),
        1 => Answer::after(seconds(1), 2, vec![instance("a", Status::Critical)]),
        _ => Answer::Never,
    });
    let watch = script.watch();
    assert_eq!(until(&watch, |snapshot| snapshot.index == 1).await, Duration::ZERO);
    assert_eq!(until(&watch, |snapshot| snapshot.index == 2).await, seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_came_back_empty_before_any_read_failed_is_noticed_within_three_seconds() {
    // The read on its way to the old registry reached the new one, which has never seen so high an index.
    for (index, instances) in [(3, some(&["b"])), (900, some(&["b"]))] {
        let script = Script::new(move |number, asked| match (number, asked) {
            (0, _) => Answer::now(900, some(&["a"])),
            (_, 0) => Answer::now(index, instances.clone()),
            _ => Answer::Never,
        });
        let watch = script.watch();
        let took = until(&watch, |snapshot| ids(snapshot) == ["b"] && snapshot.index == index).await;
        assert!((seconds(1)..=seconds(3)).contains(&took), "{took:?}");
        tokio::time::sleep(seconds(1)).await;
        assert_eq!(script.indexes(), [0, 900, 0, index][..script.indexes().len()]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiting_read_is_checked_once_and_one_that_is_answered_never() {
    let named = |number: usize| vec![instance(&number.to_string(), Status::Passing)];
    let script = Script::new(move |number, index| match (number, index) {
        (0, _) => Answer::now(1, named(0)),
        (1..=20, _) => Answer::after(Duration::from_millis(900), 1 + number as u64, named(number)),
        (_, 0) => Answer::now(21, named(20)),
        _ => Answer::Never,
    });
    let watch = script.watch();
    until(&watch, |snapshot| snapshot.index == 21).await;
    assert!(script.indexes()[1..].iter().all(|index| *index > 0), "{:?}", script.indexes());
    tokio::time::sleep(seconds(50)).await;
    assert_eq!(script.indexes()[20..], [20, 21, 0], "one look beside the waiting read");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_watch_missed_is_repaired_within_seventy_seconds_and_counted() {
    let script = Script::new(|number, index| match (number, index) {
        (0, _) | (2, 0) => Answer::now(5, some(&["a"])),
        (_, 0) => Answer::now(5, some(&["a", "b"])),
        // The connection is dead and nobody says so.
        _ => Answer::Never,
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let took = until(&watch, |snapshot| ids(snapshot) == ["a", "b"]).await;
    assert!((seconds(60)..=seconds(70)).contains(&took), "{took:?}");
    assert_eq!(watch.repairs(), 1);
    tokio::time::sleep(seconds(300)).await;
    assert_eq!(watch.repairs(), 1, "what is equal is not repaired");
}

#[tokio::test(start_paused = true)]
async fn the_full_read_keeps_the_age_below_seventy_seconds_and_wakes_nobody() {
    let script = Script::new(|_, index| match index {
        0 => Answer::now(5, some(&["a"])),
        _ => Answer::Never,
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let mut changes = watch.receiver();
    changes.mark_unchanged();
    for _ in 0..10 {
        tokio::time::sleep(seconds(70)).await;
        assert!(watch.latest().read_at >= (Instant::now() - seconds(70)).into_std());
    }
    assert!(!changes.has_changed().unwrap());
    // The blocking read was never given up for it.
    assert_eq!(script.indexes().iter().filter(|index| **index != 0).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_a_slot_asks_every_five_seconds() {
    let mut script = Script::new(|number, _| Answer::now(5, some(if number < 3 { &["a"] } else { &["b"] })));
    script.slots = Arc::new(Semaphore::new(0));
    let mut watch = script.watch();
    watch.loaded().await;
    let took = until(&watch, |snapshot| ids(snapshot) == ["b"]).await;
    assert_eq!(took, seconds(15));
    assert_eq!(script.indexes(), [0, 0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_with_its_handle() {
    let script = Script::new(|_, index| match index {
        0 => Answer::now(5, some(&["a"])),
        _ => Answer::after(seconds(1), 5, some(&["a"])),
    });
    let mut watch = script.watch();
    watch.loaded().await;
    let receiver = watch.receiver();
    drop(watch);
    let before = script.indexes().len();
    tokio::time::sleep(seconds(10)).await;
    assert!(script.indexes().len() > before, "a receiver keeps it going");
    drop(receiver);
    tokio::task::yield_now().await;
    let after = script.indexes().len();
    tokio::time::sleep(seconds(100)).await;
    assert_eq!(script.indexes().len(), after);
}
