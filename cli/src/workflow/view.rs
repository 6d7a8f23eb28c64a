//! What is known of a workflow while it is followed: one state, then what updates make of it.

use std::collections::{BTreeMap, HashMap};

use switchboard_proto::goclaw::v1::{
    GetWorkflowStatusResponse, TaskProgressUpdate, TaskStatus, TaskStatusDetail, WorkflowStatusUpdate,
};

use super::words;

/// A workflow with its tasks.
#[derive(Debug)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) message: String,
    /// Milliseconds since 1970; what times are shown since.
    pub(super) begin: i64,
    pub(super) tasks: Vec<Task>,
    positions: HashMap<String, usize>,
}

/// A task, or one item of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) status: TaskStatus,
    pub(super) state: String,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
    pub(super) progress_percent: i32,
    pub(super) message: String,
    pub(super) error_code: String,
    pub(super) started: Option<i64>,
    pub(super) ended: Option<i64>,
    /// Tasks on the longest way to it.
    pub(super) depth: usize,
    pub(super) items_total: usize,
    pub(super) items_completed: usize,
    /// Items that have been heard of, by their index.
    pub(super) items: BTreeMap<usize, Task>,
}

impl View {
    pub(super) fn of(status: &GetWorkflowStatusResponse) -> Self {
        let positions: HashMap<_, _> =
            status.tasks.iter().enumerate().map(|(at, task)| (task.task_id.clone(), at)).collect();
        let depths = depths(&status.tasks, &positions);
        Self {
            id: status.workflow_id.clone(),
            name: status.name.clone(),
            state: words::state(words::status(status.status), words::detail(status.detail)),
            message: status.error_message.clone(),
            begin: status.created_at.as_ref().map_or(0, words::millis),
            tasks: status.tasks.iter().zip(depths).map(|(task, depth)| Task::of(task, depth)).collect(),
            positions,
        }
    }

    /// Takes the workflow's own update.
    pub(super) fn workflow(&mut self, update: &WorkflowStatusUpdate) {
        self.state = words::state(words::status(update.status), words::detail(update.detail));
        self.message.clone_from(&update.message);
    }

    /// Takes an update of a task or of an item; gives what it is now. Nothing of a task that it has not.
    pub(super) fn task(&mut self, update: &TaskProgressUpdate) -> Option<&Task> {
        if let Some(&at) = self.positions.get(&update.task_id) {
            self.tasks[at].apply(update);
            return Some(&self.tasks[at]);
        }
        let (parent, index) = item(&update.task_id)?;
        let parent = &mut self.tasks[*self.positions.get(parent)?];
        parent.items_total = parent.items_total.max(index + 1);
        let (id, max_attempts, depth) = (update.task_id.clone(), parent.max_attempts, parent.depth + 1);
        let child =
            parent.items.entry(index).or_insert_with(|| Task { id, max_attempts, depth, ..Task::default() });
        let before = child.status;
        child.apply(update);
        let completed = |status| usize::from(status == TaskStatus::Completed);
        let change = (completed(before), completed(child.status));
        parent.items_completed = (parent.items_completed + change.1).saturating_sub(change.0);
        parent.items.get(&index)
    }

    /// Tasks that have ended, of all.
    pub(super) fn ended(&self) -> (usize, usize) {
        (self.tasks.iter().filter(|task| task.is_over()).count(), self.tasks.len())
    }
}

impl Task {
    fn of(task: &TaskStatusDetail, depth: usize) -> Self {
        let count = |count: i32| usize::try_from(count).unwrap_or_default();
        Self {
            id: task.task_id.clone(),
            status: task.status(),
            state: words::state(words::task_status(task.status), words::task_detail(task.detail)),
            attempt: task.attempt,
            max_attempts: task.max_attempts,
            progress_percent: task.progress_percent,
            message: match task.error_message.as_str() {
                "" => task.progress_message.clone(),
                error => error.to_owned(),
            },
            error_code: task.error_code.clone(),
            started: task.started_at.as_ref().map(words::millis),
            ended: task.completed_at.as_ref().map(words::millis),
            depth,
            items_total: count(task.items_total),
            items_completed: count(task.items_completed),
            items: BTreeMap::new(),
        }
    }

    fn apply(&mut self, update: &TaskProgressUpdate) {
        let at = update.timestamp.as_ref().map(words::millis);
        self.status = update.status();
        self.state = words::state(words::task_status(update.status), words::task_detail(update.detail));
        self.attempt = update.attempt;
        self.progress_percent = update.progress_percent;
        self.message.clone_from(&update.message);
        self.error_code.clone_from(&update.error_code);
        match self.status {
            // Begun again by a retry, or not at all.
            TaskStatus::Pending => (self.started, self.ended) = (None, None),
            TaskStatus::Running => {
                self.started = self.started.or(at);
                self.ended = None;
            }
            _ => self.ended = self.ended.or(at),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.status, TaskStatus::Completed | TaskStatus::Failed | TaskStatus::Cancelled)
    }

    /// How long it ran, or runs at a moment; nothing before it began.
    pub(super) fn took(&self, now: i64) -> Option<i64> {
        Some(self.ended.unwrap_or(now) - self.started?)
    }

    /// `attempt 2 of 3`, `40%`, `2 of 5 items`, and what was said last.
    pub(super) fn remarks(&self) -> String {
        let mut remarks = Vec::new();
        if self.items_total > 0 {
            remarks.push(format!("{} of {} items", self.items_completed, self.items_total));
        }
        if self.attempt > 1 {
            let of = if self.max_attempts > 1 { format!(" of {}", self.max_attempts) } else { String::new() };
            remarks.push(format!("attempt {}{of}", self.attempt));
        }
        if self.status == TaskStatus::Running && self.progress_percent > 0 {
            remarks.push(format!("{}%", self.progress_percent));
        }
        if !self.error_code.is_empty() {
            remarks.push(words::plain(&self.error_code));
        }
        // Of what has completed, the last word is its result.
        if !self.message.is_empty() && self.status != TaskStatus::Completed {
            remarks.push(words::plain(&self.message));
        }
        remarks.join(", ")
    }
}

/// `cities[3]` is `cities` and 3.
fn item(id: &str) -> Option<(&str, usize)> {
    let (parent, index) = id.strip_suffix(']')?.rsplit_once('[')?;
    Some((parent, index.parse().ok()?))
}

/// How many tasks are on the longest way to each, in linear time.
fn depths(tasks: &[TaskStatusDetail], positions: &HashMap<String, usize>) -> Vec<usize> {
    let before = |task: &TaskStatusDetail| {
        task.dependencies.iter().filter_map(|id| positions.get(id).copied()).collect::<Vec<_>>()
    };
    let before: Vec<_> = tasks.iter().map(before).collect();
    let mut after = vec![Vec::new(); tasks.len()];
    let mut missing: Vec<_> = before.iter().map(Vec::len).collect();
    for (task, before) in before.iter().enumerate() {
        for &dependency in before {
            after[dependency].push(task);
        }
    }
    let mut depths = vec![0; tasks.len()];
    let mut ready: Vec<_> = (0..tasks.len()).filter(|&task| missing[task] == 0).collect();
    while let Some(task) = ready.pop() {
        for &next in &after[task] {
            depths[next] = depths[next].max(depths[task] + 1);
            missing[next] -= 1;
            if missing[next] == 0 {
                ready.push(next);
            }
        }
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View {
        let task = |id: &str, dependencies: &[&str]| TaskStatusDetail {
            task_id: id.into(),
            status: TaskStatus::Pending.into(),
            max_attempts: 3,
            dependencies: dependencies.iter().map(|id| (*id).into()).collect(),
            ..Default::default()
        };
        View::of(&GetWorkflowStatusResponse {
            tasks: vec![task("d", &["b", "a"]), task("a", &[]), task("b", &["a"]), task("lost", &["nobody"])],
            ..Default::default()
        })
    }

    fn update(task_id: &str, status: TaskStatus, seconds: i64) -> TaskProgressUpdate {
        let timestamp = Some(prost_types::Timestamp { seconds, nanos: 0 });
        TaskProgressUpdate {
            task_id: task_id.into(),
            status: status.into(),
            timestamp,
            attempt: 1,
            ..Default::default()
        }
    }

    #[test]
    fn depth_is_the_longest_way() {
        assert_eq!(view().tasks.iter().map(|task| task.depth).collect::<Vec<_>>(), [2, 0, 1, 0]);
    }

    #[test]
    fn a_retried_task_begins_anew_and_an_unknown_one_is_nothing() {
        let mut view = view();
        view.task(&update("a", TaskStatus::Running, 10));
        let task = view.task(&update("a", TaskStatus::Failed, 12)).unwrap();
        assert_eq!((task.took(99_000), task.is_over()), (Some(2_000), true));
        assert_eq!(view.task(&update("a", TaskStatus::Pending, 20)).unwrap().took(99_000), None);
        assert!(view.task(&update("z", TaskStatus::Running, 1)).is_none());
        assert!(view.task(&update("z[0]", TaskStatus::Running, 1)).is_none());
    }

    #[test]
    fn items_count_for_their_task() {
        let mut view = view();
        view.task(&update("a[0]", TaskStatus::Completed, 1));
        view.task(&update("a[1]", TaskStatus::Running, 1));
        view.task(&update("a[1]", TaskStatus::Completed, 2));
        view.task(&update("a[2]", TaskStatus::Running, 2));
        assert_eq!(view.tasks[1].remarks(), "2 of 3 items");
    }
}
