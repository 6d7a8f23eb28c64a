//! The committer: few syncs, answers in order, and nothing after a failure.

#![expect(clippy::unwrap_used, reason = "tests")]

mod faulty;
mod subject;

use std::sync::{Arc, atomic::Ordering, mpsc};

use faulty::{Faulty, Outcome};
use subject::{id, workflow};
use workflow_store::{Commit, Committer, CommitterSettings, Refused, Rejection, Store, StoreError, Write};

type Answers = mpsc::Receiver<(u32, Result<(), Arc<StoreError>>)>;

struct Subject {
    store: Arc<Faulty>,
    committer: Committer,
    answer: mpsc::Sender<(u32, Result<(), Arc<StoreError>>)>,
    answers: Answers,
}

impl Subject {
    fn new(settings: CommitterSettings) -> Self {
        let store = Arc::new(Faulty::default());
        let committer = Committer::start(store.clone(), settings).unwrap();
        let (answer, answers) = mpsc::channel();
        Self { store, committer, answer, answers }
    }

    fn submitter(&self) -> Submitter<'_> {
        Submitter { committer: &self.committer, answer: self.answer.clone() }
    }

    fn submit(&self, number: u32, writes: Vec<Write>) -> Result<(), Refused> {
        self.submitter().submit(number, writes)
    }

    fn create(&self, number: u32) {
        self.submitter().create(number);
    }

    fn read(&self, number: u32) {
        self.submit(number, Vec::new()).unwrap();
    }

    fn next(&self) -> (u32, Result<(), Arc<StoreError>>) {
        self.answers.recv().unwrap()
    }

    fn expect_ok(&self, numbers: impl IntoIterator<Item = u32>) {
        for number in numbers {
            let (answered, outcome) = self.next();
            assert_eq!(answered, number);
            outcome.unwrap();
        }
    }
}

/// The half of a subject that goes to another thread.
struct Submitter<'a> {
    committer: &'a Committer,
    answer: mpsc::Sender<(u32, Result<(), Arc<StoreError>>)>,
}

impl Submitter<'_> {
    fn submit(&self, number: u32, writes: Vec<Write>) -> Result<(), Refused> {
        let answer = self.answer.clone();
        self.committer.submit(Commit::new(writes), move |outcome| answer.send((number, outcome)).unwrap())
    }

    fn create(&self, number: u32) {
        self.submit(number, vec![Write::Create(workflow(&number.to_string(), 1))]).unwrap();
    }
}

#[test]
fn what_arrives_during_a_sync_is_the_next_batch() {
    let subject = Subject::new(CommitterSettings::default());
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    (1..100).for_each(|number| subject.create(number));
    assert!(!subject.committer.is_idle());
    assert_eq!(subject.store.summary(&id("0")).unwrap(), None, "visible before it is durable");
    assert!(subject.answers.try_recv().is_err(), "answered before it is durable");
    hold.release();
    subject.expect_ok(0..100);
    assert_eq!(subject.store.groups(), [1, 99]);
    assert_eq!(subject.committer.gauges().commits.load(Ordering::Relaxed), 100);
    assert_eq!(subject.committer.gauges().batch_commits.sum(), 100);
}

#[test]
fn a_batch_is_bounded_in_commits_and_bytes() {
    let settings =
        CommitterSettings { max_batch_commits: 3, max_batch_bytes: 10_000, ..CommitterSettings::default() };
    let subject = Subject::new(settings);
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    (1..8).for_each(|number| subject.create(number));
    for number in 8..11 {
        let blob = Write::Setting { name: "x".to_owned(), value: Some(vec![0; 6_000].into()) };
        subject.submit(number, vec![blob]).unwrap();
    }
    hold.release();
    subject.expect_ok(0..11);
    assert_eq!(subject.store.groups(), [1, 3, 3, 2, 1, 1]);
}

#[test]
fn a_read_waits_for_what_was_before_it_and_costs_no_sync() {
    let subject = Subject::new(CommitterSettings::default());
    subject.read(0);
    subject.expect_ok([0]);
    assert_eq!(subject.store.groups(), []);

    let hold = subject.store.hold();
    subject.create(1);
    hold.wait_for_commit();
    subject.read(2);
    assert!(subject.answers.try_recv().is_err());
    hold.release();
    subject.expect_ok([1, 2]);
    assert_eq!(subject.store.groups(), [1], "the read caused a commit");
    assert_eq!(subject.committer.gauges().reads.load(Ordering::Relaxed), 2);
}

#[test]
fn a_rejected_commit_concerns_nobody_else() {
    let subject = Subject::new(CommitterSettings::default());
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    subject.create(1);
    subject.submit(2, vec![Write::Create(workflow("1", 1))]).unwrap();
    subject.submit(3, vec![Write::Update(workflow("none", 1))]).unwrap();
    subject.create(4);
    hold.release();
    subject.expect_ok([0, 1]);
    for (number, expected) in [(2, Rejection::Exists(id("1"))), (3, Rejection::Missing(id("none")))] {
        let (answered, outcome) = subject.next();
        assert_eq!(answered, number);
        let error = outcome.unwrap_err();
        assert!(matches!(&*error, StoreError::Rejected { reason, .. } if *reason == expected), "{error}");
    }
    subject.expect_ok([4]);
    assert_eq!(subject.committer.gauges().rejected.load(Ordering::Relaxed), 2);
}

#[test]
fn after_a_failed_sync_everything_fails() {
    let subject = Subject::new(CommitterSettings { max_batch_commits: 1, ..CommitterSettings::default() });
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    subject.create(1);
    subject.create(2);
    subject.read(3);
    subject.store.next(Outcome::Fail);
    hold.release();
    for number in 0..4 {
        let (answered, outcome) = subject.next();
        assert_eq!(answered, number);
        assert!(outcome.unwrap_err().is_fatal());
    }
    let refused = subject.submit(4, Vec::new()).unwrap_err();
    assert!(matches!(refused, Refused::Failed(_)), "{refused}");
    assert_eq!(subject.store.groups(), []);
}

#[test]
fn a_full_disk_is_waited_for() {
    let subject = Subject::new(CommitterSettings::default());
    (0..3).for_each(|_| subject.store.next(Outcome::Full));
    subject.create(0);
    subject.expect_ok([0]);
    assert_eq!(subject.committer.gauges().full.load(Ordering::Relaxed), 3);
}

#[test]
fn a_stop_does_not_wait_for_a_full_disk() {
    let subject = Subject::new(CommitterSettings::default());
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    subject.create(1);
    (0..1_000).for_each(|_| subject.store.next(Outcome::Full));
    hold.release();
    subject.committer.stop();
    for number in 0..2 {
        let (answered, outcome) = subject.answers.recv().unwrap();
        assert_eq!(answered, number);
        assert!(matches!(&*outcome.unwrap_err(), StoreError::Full { .. }));
    }
}

#[test]
fn a_stop_finishes_what_was_submitted() {
    let subject = Subject::new(CommitterSettings::default());
    (0..500).for_each(|number| subject.create(number));
    let Subject { store, committer, answer, answers } = subject;
    committer.stop();
    drop(answer);
    assert_eq!(answers.iter().filter(|(_, outcome)| outcome.is_ok()).count(), 500);
    assert_eq!(store.live().unwrap().len(), 500);
}

#[test]
fn a_full_queue_holds_back_those_who_submit() {
    let subject = Subject::new(CommitterSettings { max_queue_commits: 2, ..CommitterSettings::default() });
    let hold = subject.store.hold();
    subject.create(0);
    hold.wait_for_commit();
    assert!(subject.committer.has_room());
    subject.create(1);
    subject.create(2);
    assert!(!subject.committer.has_room());
    assert_eq!(subject.committer.gauges().queue_commits.load(Ordering::Relaxed), 2);
    let submitter = subject.submitter();
    std::thread::scope(|scope| {
        let blocked = scope.spawn(move || submitter.create(3));
        while subject.committer.gauges().blocked.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        assert!(!blocked.is_finished());
        hold.release();
    });
    subject.expect_ok(0..4);
}

#[test]
fn a_continuation_that_panics_ends_the_committer_and_nobody_waits() {
    let subject = Subject::new(CommitterSettings { max_queue_commits: 1, ..CommitterSettings::default() });
    let hold = subject.store.hold();
    let bad = subject
        .committer
        .submit(Commit::new(vec![Write::Create(workflow("x", 1))]), |_| panic!("as the test wants"));
    bad.unwrap();
    hold.wait_for_commit();
    subject.create(1);
    let submitter = subject.submitter();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let refused = submitter.submit(2, Vec::new()).unwrap_err();
            assert!(matches!(refused, Refused::Stopped), "{refused}");
        });
        hold.release();
    });
}
