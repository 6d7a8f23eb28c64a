//! The tasks of this instance: what runs, and for a while what became of the rest.
//!
//! ```text
//! begin ─► running ──► completed    (kept, and answered again to the same task)
//!             └──────► failed       (kept, and run anew if asked again)
//! ```
//!
//! In memory only: a restart forgets. Finished tasks go when they are an hour old, or when there are more
//! than a thousand or more than 64 MiB of them, oldest first.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use switchboard_proto::agentplatform::{TaskResponse, TaskStatusResponse};

use crate::request::Request;

/// Long enough to fetch a result after a lost connection; the design's order of magnitude for idempotency.
const KEPT_FOR: Duration = Duration::from_secs(3600);
const MAX_FINISHED: usize = 1_000;
const MAX_FINISHED_BYTES: usize = 64 << 20;

/// Tasks that may run at once: each holds a few KiB and at most one call to the weather tool.
pub(crate) const MAX_RUNNING: usize = 256;

/// What a client hears of a task whose caller left.
const ABANDONED: &str = "cancelled: the caller went away before the plan was finished";

#[derive(Clone, Debug, Default)]
pub(crate) struct History(Arc<Mutex<Tasks>>);

#[derive(Debug, Default)]
struct Tasks {
    by_id: HashMap<String, Entry>,
    /// Finished tasks, oldest first; an entry that was replaced meanwhile has another number.
    finished: VecDeque<(u64, String)>,
    finished_bytes: usize,
    running: usize,
    next_number: u64,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Running { day: u32, days: u32 },
    Finished { request: Option<Request>, response: Box<TaskResponse>, at: Instant },
}

/// What becomes of a task that is to begin.
#[derive(Debug)]
pub(crate) enum Begin {
    /// It runs now.
    Run(Running),
    /// It ran before, with the same parameters: here is its answer.
    Answered(Box<TaskResponse>),
    /// It runs already.
    AlreadyRunning,
    /// Its ID belongs to a completed task with other parameters.
    OtherParameters,
    /// Too many tasks run.
    Full,
}

impl History {
    /// Begins a task, unless its ID is taken.
    pub(crate) fn begin(&self, id: &str, request: &Request, now: Instant) -> Begin {
        let mut tasks = self.lock();
        tasks.evict(now);
        match tasks.by_id.get(id).map(|entry| &entry.state) {
            Some(State::Running { .. }) => return Begin::AlreadyRunning,
            Some(State::Finished { request: before, response, .. }) if response.success => {
                return match before {
                    Some(before) if before == request => Begin::Answered(response.clone()),
                    _ => Begin::OtherParameters,
                };
            }
            // A failed task may be tried again.
            Some(State::Finished { .. }) | None => {}
        }
        if tasks.running >= MAX_RUNNING {
            return Begin::Full;
        }
        tasks.forget(id);
        tasks.running += 1;
        tasks.insert(id, State::Running { day: 0, days: request.days });
        Begin::Run(Running { history: self.clone(), id: id.to_owned(), request: Some(request.clone()) })
    }

    /// Notes a task that failed before it began. Does not touch a task of that ID that runs or succeeded.
    pub(crate) fn refused(&self, response: &TaskResponse, now: Instant) {
        let mut tasks = self.lock();
        let taken = tasks.by_id.get(&response.task_id).is_some_and(|entry| match &entry.state {
            State::Running { .. } => true,
            State::Finished { response, .. } => response.success,
        });
        if !taken {
            tasks.finish(&response.task_id, None, response.clone(), now);
        }
    }

    /// The state of a task, or `None` if it is not known.
    pub(crate) fn status(&self, id: &str, now: Instant) -> Option<TaskStatusResponse> {
        let mut tasks = self.lock();
        tasks.evict(now);
        let (status, progress, result) = match &tasks.by_id.get(id)?.state {
            State::Running { day: 0, .. } => ("running", "asking for the weather".to_owned(), String::new()),
            State::Running { day, days } => ("running", format!("day {day} of {days}"), String::new()),
            State::Finished { response, .. } if response.success => {
                ("completed", "done".to_owned(), response.output.clone())
            }
            State::Finished { response, .. } => ("failed", String::new(), response.error.clone()),
        };
        Some(TaskStatusResponse { task_id: id.to_owned(), status: status.to_owned(), progress, result })
    }

    /// No code that runs under the lock can leave the tasks half changed, so poison is not passed on.
    fn lock(&self) -> MutexGuard<'_, Tasks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tasks {
    fn insert(&mut self, id: &str, state: State) -> u64 {
        self.next_number += 1;
        self.by_id.insert(id.to_owned(), Entry { number: self.next_number, state });
        self.next_number
    }

    /// Puts a result in the place of whatever the ID had, then makes room.
    fn finish(&mut self, id: &str, request: Option<Request>, response: TaskResponse, now: Instant) {
        self.forget(id);
        self.finished_bytes += bytes(&response);
        let number = self.insert(id, State::Finished { request, response: Box::new(response), at: now });
        self.finished.push_back((number, id.to_owned()));
        self.evict(now);
    }

    fn forget(&mut self, id: &str) {
        match self.by_id.remove(id).map(|entry| entry.state) {
            Some(State::Running { .. }) => self.running -= 1,
            Some(State::Finished { response, .. }) => self.finished_bytes -= bytes(&response),
            None => {}
        }
    }

    /// Drops what is too old or too much.
    fn evict(&mut self, now: Instant) {
        while let Some((number, id)) = self.finished.front() {
            let current = self.by_id.get(id).filter(|entry| entry.number == *number);
            let old = current.is_none_or(|entry| match &entry.state {
                State::Finished { at, .. } => now.saturating_duration_since(*at) >= KEPT_FOR,
                State::Running { .. } => false,
            });
            let full = self.finished.len() > MAX_FINISHED || self.finished_bytes > MAX_FINISHED_BYTES;
            if !(old || full) {
                break;
            }
            let forget = current.is_some();
            if let (Some((_, id)), true) = (self.finished.pop_front(), forget) {
                self.forget(&id);
            }
        }
    }
}

/// What a result weighs: its texts, which are all of it that can be large.
fn bytes(response: &TaskResponse) -> usize {
    let metadata: usize = response.metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    response.task_id.len() + response.output.len() + response.error.len() + metadata
}

/// A task that runs. Dropping it without [`Running::finish`] makes the task failed, which happens when its
/// caller cancels the call.
#[derive(Debug)]
pub(crate) struct Running {
    history: History,
    id: String,
    request: Option<Request>,
}

impl Running {
    /// Says which day is being planned, from 1.
    pub(crate) fn progress(&self, day: u32) {
        if let Some(Entry { state: State::Running { day: current, .. }, .. }) =
            self.history.lock().by_id.get_mut(&self.id)
        {
            *current = day;
        }
    }

    /// Keeps the answer for those who ask later.
    pub(crate) fn finish(mut self, response: &TaskResponse, now: Instant) {
        let request = self.request.take();
        self.history.lock().finish(&self.id, request, response.clone(), now);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.request.take().is_some() {
            let response = TaskResponse {
                task_id: self.id.clone(),
                error: ABANDONED.to_owned(),
                ..TaskResponse::default()
            };
            self.history.lock().finish(&self.id, None, response, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(destination: &str) -> Request {
        let parameters = HashMap::from([("destination".to_owned(), destination.to_owned())]);
        Request::read(&parameters).unwrap()
    }

    fn response(id: &str, output: &str) -> TaskResponse {
        TaskResponse { task_id: id.into(), output: output.into(), success: true, ..Default::default() }
    }

    fn run(history: &History, id: &str, now: Instant) -> Running {
        match history.begin(id, &request("Rome"), now) {
            Begin::Run(running) => running,
            other => panic!("{id}: {other:?}"),
        }
    }

    fn status(history: &History, id: &str, now: Instant) -> Option<String> {
        history.status(id, now).map(|status| format!("{} {}", status.status, status.progress))
    }

    #[test]
    fn task_goes_from_running_to_completed() {
        let (history, now) = (History::default(), Instant::now());
        assert_eq!(status(&history, "t", now), None);
        let running = run(&history, "t", now);
        running.progress(2);
        assert_eq!(status(&history, "t", now).unwrap(), "running day 2 of 3");
        running.finish(&response("t", "plan"), now);
        let done = history.status("t", now).unwrap();
        assert_eq!((done.status.as_str(), done.result.as_str()), ("completed", "plan"));
    }

    #[test]
    fn running_id_is_taken_and_completed_id_is_answered() {
        let (history, now) = (History::default(), Instant::now());
        let running = run(&history, "t", now);
        assert!(matches!(history.begin("t", &request("Rome"), now), Begin::AlreadyRunning));
        running.finish(&response("t", "plan"), now);
        match history.begin("t", &request("Rome"), now) {
            Begin::Answered(answer) => assert_eq!(answer.output, "plan"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(history.begin("t", &request("Oslo"), now), Begin::OtherParameters));
    }

    #[test]
    fn abandoned_task_is_failed_and_may_run_again() {
        let (history, now) = (History::default(), Instant::now());
        drop(run(&history, "t", now));
        assert_eq!(history.status("t", now).unwrap().result, ABANDONED);
        run(&history, "t", now).finish(&response("t", "plan"), now);
        assert_eq!(history.status("t", now).unwrap().status, "completed");
    }

    #[test]
    fn refusal_is_kept_but_never_replaces_a_success() {
        let (history, now) = (History::default(), Instant::now());
        let refusal = TaskResponse { task_id: "t".into(), error: "no".into(), ..Default::default() };
        history.refused(&refusal, now);
        assert_eq!(history.status("t", now).unwrap().status, "failed");
        run(&history, "t", now).finish(&response("t", "plan"), now);
        history.refused(&refusal, now);
        assert_eq!(history.status("t", now).unwrap().status, "completed");
    }

    #[test]
    fn finished_tasks_go_after_an_hour() {
        let (history, now) = (History::default(), Instant::now());
        run(&history, "t", now).finish(&response("t", "plan"), now);
        assert!(history.status("t", now + KEPT_FOR - Duration::from_secs(1)).is_some());
        assert!(history.status("t", now + KEPT_FOR).is_none());
        assert_eq!(history.lock().finished_bytes, 0);
    }

    #[test]
    fn oldest_finished_tasks_make_room_and_running_ones_stay() {
        let (history, now) = (History::default(), Instant::now());
        let _running = run(&history, "runs", now);
        for i in 0..=MAX_FINISHED {
            run(&history, &i.to_string(), now).finish(&response(&i.to_string(), "plan"), now);
        }
        assert!(history.status("0", now).is_none());
        assert!(history.status("1", now).is_some());
        assert!(history.status("runs", now).is_some());
        let half = "x".repeat(MAX_FINISHED_BYTES / 2);
        for id in ["a", "b"] {
            run(&history, id, now).finish(&response(id, &half), now);
        }
        assert!(history.status("a", now).is_none() && history.status("b", now).is_some());
        assert!(history.lock().finished_bytes <= MAX_FINISHED_BYTES);
    }

    #[test]
    fn repeated_refusals_of_one_id_do_not_pile_up() {
        let (history, now) = (History::default(), Instant::now());
        let refusal = TaskResponse { task_id: "t".into(), error: "no".into(), ..Default::default() };
        for _ in 0..3 * MAX_FINISHED {
            history.refused(&refusal, now);
        }
        let tasks = history.lock();
        assert!(tasks.finished.len() <= MAX_FINISHED && tasks.by_id.len() <= 1);
        assert_eq!(tasks.finished_bytes, tasks.by_id.len() * bytes(&refusal));
    }

    #[test]
    fn running_tasks_are_bounded() {
        let (history, now) = (History::default(), Instant::now());
        let running: Vec<_> = (0..MAX_RUNNING).map(|i| run(&history, &i.to_string(), now)).collect();
        assert!(matches!(history.begin("one more", &request("Rome"), now), Begin::Full));
        drop(running);
        drop(run(&history, "one more", now));
        assert_eq!(history.lock().running, 0);
    }
}
