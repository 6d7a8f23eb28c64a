//! Schedules, by a clock that the test sets.

use crate::{store_failure::Failing, support::*};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};
use workflow_machine::{Millis, Status};
use workflow_store::{EmbeddedSettings, EmbeddedStore, Filter, MemoryStore, Store};
use workflow_worker::engine::{
    EngineError, Key, NewSchedule, Overlap, Reach, ScheduleState, Settings, Timing,
};

const MINUTE: Millis = 60_000;
/// 2026-11-22T08:00:00Z.
const EIGHT: Millis = 1_795_334_400_000;

/// A clock of this test, at half past seven.
macro_rules! clock {
    () => {{
        static NOW: AtomicU64 = AtomicU64::new(EIGHT - 30 * MINUTE);
        (&NOW, || NOW.load(Relaxed))
    }};
}

/// Every minute, one call.
fn minutely(id: &str) -> NewSchedule {
    NewSchedule {
        id: Some(id.to_owned()),
        timing: Timing { cron: "* * * * *".to_owned(), ..Timing::default() },
        overlap: Overlap::Skip,
        catch_up_ms: MINUTE,
        workflow: workflow(vec![call("a", &[])]),
        shown: "as it came".into(),
        paused: false,
        note: String::new(),
    }
}

fn daily(id: &str) -> NewSchedule {
    NewSchedule { timing: Timing { cron: "0 8 * * *".to_owned(), ..Timing::default() }, ..minutely(id) }
}

async fn make(engine: &Scripted, schedule: NewSchedule) -> ScheduleState {
    engine.engine.create_schedule(schedule, None).await.unwrap().0
}

/// Lets the engine see what time it is, and gives the schedule as it stands then.
async fn look(engine: &Scripted, id: &str) -> ScheduleState {
    // The first wakes it up, and what is due fires behind it.
    engine.engine.lanes().await.unwrap();
    engine.engine.schedule(id).await.unwrap()
}

/// All workflows that the store has, oldest first.
fn runs(store: &dyn Store) -> Vec<String> {
    let page = store.list(&Filter::default(), None, 1_000).unwrap();
    page.summaries.into_iter().rev().map(|summary| summary.id.to_string()).collect()
}

#[test]
fn each_time_fires_once_whatever_restarts_are_between() {
    test(async {
        let (now, clock) = clock!();
        let mut engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        let made = make(&engine, minutely("m")).await;
        assert_eq!(made.next_run_at, Some(EIGHT - 29 * MINUTE));
        for minute in 1..=10_u64 {
            let at = EIGHT - (30 - minute) * MINUTE;
            now.store(at - 1, Relaxed);
            assert_eq!(look(&engine, "m").await.runs, minute - 1, "not before its time");
            now.store(at, Relaxed);
            let run = engine.attempt().await;
            engine.complete(&run, "1").await.unwrap();
            let state = look(&engine, "m").await;
            assert_eq!((state.runs, state.skipped, state.last_run_at), (minute, 0, at));
            assert_eq!(state.last_workflow, run.workflow.as_str());
            if minute % 3 == 0 {
                engine = Scripted::by(clock, engine.stop().await).await;
                assert_eq!(look(&engine, "m").await, state, "the same after a restart");
            }
        }
        let made: Vec<String> = (31..=40).map(|minute| format!("m:2026-11-22T07:{minute}:00Z")).collect();
        assert_eq!(runs(&*engine.store), made);
        assert_eq!(engine.store.fired("m", 100).unwrap().len(), 10);
    });
}

#[test]
fn a_disk_keeps_schedules_marks_and_the_end_of_both() {
    test(async {
        let (now, clock) = clock!();
        let directory = tempfile::tempdir().unwrap();
        let open = async || {
            let store = EmbeddedStore::open(directory.path(), &EmbeddedSettings::default()).unwrap();
            Scripted::by(clock, Arc::new(store)).await
        };
        let mut engine = open().await;
        make(&engine, minutely("m")).await;
        make(&engine, daily("d")).await;
        for minute in [29, 28] {
            now.store(EIGHT - minute * MINUTE, Relaxed);
            let run = engine.attempt().await;
            engine.complete(&run, "1").await.unwrap();
            let state = look(&engine, "m").await;
            drop(engine.stop().await);
            engine = open().await;
            assert_eq!(look(&engine, "m").await, state);
        }
        assert_eq!(runs(&*engine.store), ["m:2026-11-22T07:31:00Z", "m:2026-11-22T07:32:00Z"]);
        assert_eq!(engine.store.fired("m", 9).unwrap().len(), 2);
        engine.engine.delete_schedule("m").await.unwrap();
        drop(engine.stop().await);
        let engine = open().await;
        let left = engine.engine.schedules(String::new(), 9).await.unwrap();
        assert_eq!((left.total, left.schedules[0].id.as_str()), (1, "d"));
        assert!(engine.store.fired("m", 9).unwrap().is_empty());
    });
}

#[test]
fn a_crash_before_the_commit_leaves_the_time_to_the_next_start() {
    test(async {
        let (now, clock) = clock!();
        let kept = Arc::new(MemoryStore::default());
        let fails: Arc<AtomicBool> = Arc::default();
        let mut engine =
            Scripted::by(clock, Arc::new(Failing { store: kept.clone(), fails: fails.clone() })).await;
        make(&engine, daily("d")).await;
        fails.store(true, Relaxed);
        now.store(EIGHT, Relaxed);
        let refused = engine.engine.schedule("d").await;
        engine.engine.failed().await;
        assert!(engine.nothing_asked(), "{refused:?}");
        engine.stop().await;
        assert!(runs(&*kept).is_empty() && kept.fired("d", 1).unwrap().is_empty());

        now.store(EIGHT + 1_000, Relaxed);
        let mut engine = Scripted::by(clock, kept).await;
        assert_eq!(engine.attempt().await.workflow.as_str(), "d:2026-11-22T08:00:00Z");
        let state = look(&engine, "d").await;
        assert_eq!((state.runs, state.next_run_at), (1, Some(EIGHT + 24 * 60 * MINUTE)));
        // And once more: what is durable is done with.
        let mut engine = Scripted::by(clock, engine.stop().await).await;
        assert_eq!(engine.attempt().await.workflow.as_str(), "d:2026-11-22T08:00:00Z");
        assert_eq!((look(&engine, "d").await.runs, runs(&*engine.store).len()), (1, 1));
    });
}

#[test]
fn of_times_that_were_missed_the_last_one_is_made_up_for_if_it_is_not_too_old() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, minutely("m")).await;
        make(&engine, daily("late")).await;
        make(&engine, NewSchedule { catch_up_ms: 10 * MINUTE, ..daily("patient") }).await;
        let store = engine.stop().await;
        now.store(EIGHT + 5 * MINUTE + 10_000, Relaxed);
        let engine = Scripted::by(clock, store).await;
        look(&engine, "m").await;
        assert_eq!(runs(&*engine.store), ["m:2026-11-22T08:05:00Z", "patient:2026-11-22T08:00:00Z"]);
        let state = look(&engine, "m").await;
        assert_eq!((state.runs, state.skipped), (1, 34));
        let state = look(&engine, "late").await;
        assert_eq!((state.runs, state.skipped, state.next_run_at), (0, 1, Some(EIGHT + 24 * 60 * MINUTE)));
    });
}

#[test]
fn a_clock_that_jumps_fires_each_time_once() {
    test(async {
        let (now, clock) = clock!();
        let mut engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, daily("d")).await;
        for jump in [EIGHT, EIGHT - 60 * MINUTE, EIGHT, EIGHT + 30_000, EIGHT - 1, EIGHT + 60_000] {
            now.store(jump, Relaxed);
            assert_eq!(look(&engine, "d").await.runs, 1, "{jump}");
        }
        // Also if the process ends while the clock is behind.
        now.store(EIGHT - 60 * MINUTE, Relaxed);
        engine = Scripted::by(clock, engine.stop().await).await;
        now.store(EIGHT, Relaxed);
        assert_eq!(look(&engine, "d").await.runs, 1);
        assert_eq!(runs(&*engine.store).len(), 1);
    });
}

#[test]
fn a_run_that_goes_on_is_left_alone_joined_or_cancelled() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        for (id, overlap) in
            [("skip", Overlap::Skip), ("allow", Overlap::Allow), ("cancel", Overlap::CancelOther)]
        {
            make(&engine, NewSchedule { overlap, ..minutely(id) }).await;
        }
        for minute in [29, 28] {
            now.store(EIGHT - minute * MINUTE, Relaxed);
            look(&engine, "skip").await;
        }
        let counted = async |id| {
            let state = look(&engine, id).await;
            (state.runs, state.skipped)
        };
        assert_eq!(
            (counted("skip").await, counted("allow").await, counted("cancel").await),
            ((1, 1), (2, 0), (2, 0))
        );
        let detail = async |id: &str| {
            engine.engine.read(&id.into(), |workflow| workflow.detail().to_string()).await.unwrap()
        };
        assert_eq!(detail("allow:2026-11-22T07:31:00Z").await, "RUNNING");
        assert_eq!(detail("cancel:2026-11-22T07:31:00Z").await, "CANCELLING");
        assert_eq!(detail("cancel:2026-11-22T07:32:00Z").await, "RUNNING");
    });
}

#[test]
fn a_schedule_fires_again_when_its_run_has_ended() {
    test(async {
        let (now, clock) = clock!();
        let mut engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, minutely("m")).await;
        now.store(EIGHT, Relaxed);
        let run = engine.attempt().await;
        // The last run is known after a restart, too.
        engine = Scripted::by(clock, engine.stop().await).await;
        engine.attempt().await;
        now.store(EIGHT + MINUTE, Relaxed);
        assert_eq!(look(&engine, "m").await.skipped, 30);
        engine.complete(&run, "1").await.unwrap();
        now.store(EIGHT + 2 * MINUTE, Relaxed);
        assert_eq!(engine.attempt().await.workflow.as_str(), "m:2026-11-22T08:02:00Z");
    });
}

#[test]
fn a_paused_schedule_leaves_out_what_passes_meanwhile() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, minutely("m")).await;
        let paused = engine.engine.pause_schedule("m", "holidays".to_owned()).await.unwrap();
        assert_eq!((paused.paused, paused.note.as_str(), paused.next_run_at), (true, "holidays", None));
        now.store(EIGHT, Relaxed);
        assert_eq!(look(&engine, "m").await.runs, 0);
        let engine = Scripted::by(clock, engine.stop().await).await;
        assert_eq!(look(&engine, "m").await, paused);
        let resumed = engine.engine.resume_schedule("m").await.unwrap();
        assert_eq!((resumed.paused, resumed.note.as_str(), resumed.skipped), (false, "", 0));
        assert_eq!(resumed.next_run_at, Some(EIGHT + MINUTE));
        // Of one that is not paused nothing changes.
        now.store(EIGHT + MINUTE - 1, Relaxed);
        assert_eq!(engine.engine.resume_schedule("m").await.unwrap().next_run_at, Some(EIGHT + MINUTE));
        now.store(EIGHT + MINUTE, Relaxed);
        assert_eq!(look(&engine, "m").await.runs, 1);
    });
}

#[test]
fn a_paused_engine_holds_its_schedules() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, minutely("m")).await;
        engine.engine.set_paused(true).await.unwrap();
        now.store(EIGHT + 30_000, Relaxed);
        assert_eq!(look(&engine, "m").await.runs, 0);
        engine.engine.set_paused(false).await.unwrap();
        let state = look(&engine, "m").await;
        assert_eq!((state.runs, state.skipped), (1, 29));
        assert_eq!(state.last_workflow, "m:2026-11-22T08:00:00Z");
    });
}

#[test]
fn a_run_for_which_there_is_no_room_waits_until_it_is_too_late() {
    test(async {
        let (now, clock) = clock!();
        let settings = Settings { max_live: 1, ..Settings::default() };
        let mut engine = Scripted::start_by(clock, Arc::new(MemoryStore::default()), settings).await;
        make(&engine, daily("d")).await;
        make(&engine, daily("e")).await;
        now.store(EIGHT, Relaxed);
        let first = engine.attempt().await;
        assert_eq!(first.workflow.as_str(), "d:2026-11-22T08:00:00Z");
        let waits = look(&engine, "e").await;
        assert_eq!((waits.runs, waits.skipped, waits.next_run_at), (0, 0, Some(EIGHT + 1_000)));
        engine.complete(&first, "1").await.unwrap();
        // It leaves memory.
        look(&engine, "d").await;
        now.store(EIGHT + 1_000, Relaxed);
        assert_eq!(engine.attempt().await.workflow.as_str(), "e:2026-11-22T08:00:00Z");
        // The next day nothing ends in time.
        now.store(EIGHT + 24 * 60 * MINUTE, Relaxed);
        look(&engine, "d").await;
        now.store(EIGHT + (24 * 60 + 1) * MINUTE + 1, Relaxed);
        let late = look(&engine, "d").await;
        assert_eq!((late.runs, late.skipped), (1, 1));
    });
}

#[test]
fn a_trigger_submits_at_once_and_once_per_key() {
    test(async {
        let (_, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, NewSchedule { paused: true, ..daily("d") }).await;
        let key = |name: &str| Some(Key { scope: "me".into(), key: name.to_owned(), hash: [1; 32] });
        let first = engine.engine.trigger_schedule("d", key("k")).await.unwrap();
        assert_eq!((first.id.as_str(), first.replayed), ("d:2026-11-22T07:30:00Z", false));
        let again = engine.engine.trigger_schedule("d", key("k")).await.unwrap();
        assert_eq!((&again.id, again.replayed), (&first.id, true));
        // In the same millisecond, though the first goes on.
        let second = engine.engine.trigger_schedule("d", None).await.unwrap();
        assert_eq!(second.id.as_str(), "d:2026-11-22T07:30:00Z:2");
        let engine = Scripted::by(clock, engine.stop().await).await;
        let again = engine.engine.trigger_schedule("d", key("k")).await.unwrap();
        assert_eq!((&again.id, again.replayed), (&first.id, true));
        let state = look(&engine, "d").await;
        assert_eq!((state.runs, state.last_workflow.as_str()), (2, second.id.as_str()));
        assert_eq!(engine.status(&first.id).await, Status::Running);
    });
}

#[test]
fn a_schedule_is_made_once_per_key_and_name() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        let key = || Some(Key { scope: "me".into(), key: "k".to_owned(), hash: [1; 32] });
        let nameless = || NewSchedule { id: None, ..daily("") };
        let (made, replayed) = engine.engine.create_schedule(nameless(), key()).await.unwrap();
        assert!(!replayed && made.id.len() == 36, "{made:?}");
        now.store(EIGHT, Relaxed);
        assert_eq!(look(&engine, &made.id).await.runs, 1);
        let engine = Scripted::by(clock, engine.stop().await).await;
        let again = engine.engine.create_schedule(nameless(), key()).await.unwrap();
        assert_eq!(again, (made, true), "as it was then");
        make(&engine, daily("d")).await;
        let taken = engine.engine.create_schedule(daily("d"), None).await;
        assert!(matches!(&taken, Err(EngineError::ScheduleExists(id)) if id == "d"), "{taken:?}");
    });
}

#[test]
fn a_deleted_schedule_is_gone_and_its_runs_go_on() {
    test(async {
        let (now, clock) = clock!();
        let mut engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        make(&engine, daily("d")).await;
        make(&engine, daily("d-e")).await;
        now.store(EIGHT, Relaxed);
        let run = engine.attempt().await;
        engine.engine.delete_schedule("d").await.unwrap();
        assert!(matches!(engine.engine.delete_schedule("d").await, Err(EngineError::NoSchedule)));
        let engine = Scripted::by(clock, engine.stop().await).await;
        assert!(matches!(engine.engine.schedule("d").await, Err(EngineError::NoSchedule)));
        assert!(engine.store.fired("d", 1).unwrap().is_empty());
        assert_eq!(engine.store.schedules().unwrap().len(), 2, "definition and state of the other");
        engine.complete(&run, "1").await.unwrap();
        assert_eq!(engine.status(&run.workflow).await, Status::Completed);
        // The name is free.
        make(&engine, daily("d")).await;
    });
}

#[test]
fn schedules_are_bounded_listed_by_name_and_seen_by_their_owner() {
    test(async {
        let (_, clock) = clock!();
        let settings = Settings { max_schedules: 5, ..Settings::default() };
        let engine = Scripted::start_by(clock, Arc::new(MemoryStore::default()), settings).await;
        for (id, owner) in [("c", "ann"), ("a", "bob"), ("b", "ann"), ("d", "ann"), ("e", "bob")] {
            let mut schedule = daily(id);
            schedule.workflow.owner = owner.to_owned();
            make(&engine, schedule).await;
        }
        let full = engine.engine.create_schedule(daily("f"), None).await;
        assert!(matches!(full, Err(EngineError::Overloaded { current: 6, max: 5, .. })), "{full:?}");
        let ann = || Reach::Of("ann".into());
        let list = async |of: Reach, after: &str| {
            let page = engine.engine.within(of).schedules(after.to_owned(), 2).await.unwrap();
            let ids: Vec<String> = page.schedules.into_iter().map(|schedule| schedule.id).collect();
            (ids.concat(), page.more, page.total)
        };
        assert_eq!(list(Reach::All, "").await, ("ab".to_owned(), true, 5));
        assert_eq!(list(Reach::All, "d").await, ("e".to_owned(), false, 5));
        assert_eq!(list(ann(), "").await, ("bc".to_owned(), true, 3));
        assert_eq!(list(ann(), "c").await, ("d".to_owned(), false, 3));
        let theirs = engine.engine.within(ann());
        assert!(theirs.schedule("b").await.is_ok());
        for refused in [
            theirs.schedule("a").await.map(drop),
            theirs.pause_schedule("a", String::new()).await.map(drop),
            theirs.resume_schedule("a").await.map(drop),
            theirs.trigger_schedule("a", None).await.map(drop),
            theirs.delete_schedule("a").await,
        ] {
            assert!(matches!(refused, Err(EngineError::NoSchedule)), "{refused:?}");
        }
        let run = theirs.trigger_schedule("b", None).await.unwrap();
        let owner = engine.engine.read(&run.id, |workflow| workflow.spec().owner.clone()).await.unwrap();
        assert_eq!(owner, "ann");
    });
}

#[test]
fn a_thousand_schedules_of_one_minute_all_fire_and_are_found_again() {
    test(async {
        let (now, clock) = clock!();
        let engine = Scripted::by(clock, Arc::new(MemoryStore::default())).await;
        for n in 0..1_000 {
            let timing = Timing { jitter_ms: 30_000, ..daily("").timing };
            make(&engine, NewSchedule { timing, ..daily(&format!("s{n}")) }).await;
        }
        now.store(EIGHT + 15_000, Relaxed);
        let half = async || {
            // 256 in a round.
            for _ in 0..8 {
                engine.engine.lanes().await.unwrap();
            }
            runs(&*engine.store).len()
        };
        let fired = half().await;
        assert!((300..700).contains(&fired), "{fired} of 1000 within half of the delay");
        now.store(EIGHT + 30_000, Relaxed);
        half().await;
        let found =
            Filter { attributes: vec![("schedule".to_owned(), "s7".to_owned())], ..Filter::default() };
        let engine = Scripted::by(clock, engine.stop().await).await;
        assert_eq!(engine.store.list(&Filter::default(), None, 1_000).unwrap().summaries.len(), 1_000);
        assert_eq!(engine.store.list(&found, None, 10).unwrap().summaries.len(), 1);
    });
}
