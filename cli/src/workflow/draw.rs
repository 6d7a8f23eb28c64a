//! The text of the screen: a workflow's tasks, indented by what they depend on.
//!
//! ```text
//! trip  RUNNING  1 of 3 tasks  4.2s  w-17
//! ✔ weather    COMPLETED   1.1s
//!   ▶ plan     RUNNING     3.0s  40%, day 2
//!     · echo   PENDING
//! ```

use switchboard_proto::goclaw::v1::TaskStatus;

use super::view::{Task, View};
use super::words;

/// Indents of deeper tasks would leave no room for what is said of them.
const MAX_INDENT: usize = 8;

/// Columns that a name has at most.
const MAX_NAME: usize = 40;

/// How large a screen is, and whether it has colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
    pub(super) colour: bool,
}

/// The lines of the screen at a moment (milliseconds since 1970): never more than it has, never wider.
pub(super) fn frame(view: &View, size: Size, now: i64) -> Vec<String> {
    let (ended, all) = view.ended();
    let head = format!(
        "{}  {}  {ended} of {all} tasks  {}  {}",
        words::plain(&view.name),
        view.state,
        words::duration(now - view.begin),
        words::plain(&view.id)
    );
    let mut lines = vec![cut(&head, size.columns)];
    let mut rows = Vec::new();
    for task in &view.tasks {
        rows.push(task);
        // Items that have ended well are in their task's count.
        rows.extend(task.items.values().filter(|item| item.status != TaskStatus::Completed));
    }
    // A line for the head, one for what is left out, and one where the cursor rests.
    let room = size.rows.saturating_sub(3).max(1);
    let hidden = rows.len().saturating_sub(room);
    if hidden > 0 {
        rows = choose(rows, room);
    }
    let name = |task: &Task| {
        let indent = 2 * task.depth.min(MAX_INDENT);
        let text = format!("{:indent$}{} {}", "", sign(task.status), words::plain(&task.id));
        cut(&text, MAX_NAME)
    };
    let names: Vec<_> = rows.iter().map(|task| name(task)).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let state_width = rows.iter().map(|task| task.state.chars().count()).max().unwrap_or(0);
    for (task, name) in rows.into_iter().zip(names) {
        let took = task.took(now).map(words::duration).unwrap_or_default();
        let text = format!("{name:name_width$}  {:state_width$}  {took:>6}  {}", task.state, task.remarks());
        let text = cut(text.trim_end(), size.columns);
        lines.push(if size.colour { coloured(&text, task.status) } else { text });
    }
    if hidden > 0 {
        lines.push(cut(&format!("… {hidden} more"), size.columns));
    }
    lines
}

/// The rows that matter most, in their order: what runs and what failed, then what waits, then what is done.
fn choose(rows: Vec<&Task>, room: usize) -> Vec<&Task> {
    let rank = |task: &Task| match task.status {
        TaskStatus::Running => 0,
        TaskStatus::Failed => 1,
        TaskStatus::Completed | TaskStatus::Cancelled => 3,
        _ => 2,
    };
    let mut order: Vec<_> = (0..rows.len()).collect();
    order.sort_by_key(|&at| rank(rows[at]));
    order.truncate(room);
    order.sort_unstable();
    order.into_iter().map(|at| rows[at]).collect()
}

fn sign(status: TaskStatus) -> char {
    match status {
        TaskStatus::Completed => '✔',
        TaskStatus::Failed => '✘',
        TaskStatus::Running => '▶',
        TaskStatus::Cancelled => '–',
        _ => '·',
    }
}

fn coloured(text: &str, status: TaskStatus) -> String {
    let colour = match status {
        TaskStatus::Completed => 32,
        TaskStatus::Failed => 31,
        TaskStatus::Running => 36,
        _ => 2,
    };
    format!("\x1b[{colour}m{text}\x1b[0m")
}

fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    text.chars().take(columns.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use switchboard_proto::goclaw::v1::{GetWorkflowStatusResponse, TaskDetail, TaskStatusDetail};

    use super::*;

    fn at(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds, nanos: 0 })
    }

    fn view() -> View {
        let task = |id: &str, status: TaskStatus, dependencies: &[&str]| TaskStatusDetail {
            task_id: id.into(),
            status: status.into(),
            dependencies: dependencies.iter().map(|id| (*id).into()).collect(),
            max_attempts: 3,
            ..Default::default()
        };
        View::of(&GetWorkflowStatusResponse {
            workflow_id: "w1".into(),
            name: "trip".into(),
            status: 2,
            created_at: at(100),
            tasks: vec![
                TaskStatusDetail {
                    started_at: at(100),
                    completed_at: at(101),
                    ..task("weather", TaskStatus::Completed, &[])
                },
                TaskStatusDetail {
                    started_at: at(101),
                    attempt: 2,
                    detail: TaskDetail::Retrying.into(),
                    error_code: "UNAVAILABLE".into(),
                    error_message: "gone\x1b[2J".into(),
                    ..task("plan", TaskStatus::Running, &["weather"])
                },
                task("echo", TaskStatus::Pending, &["plan"]),
            ],
            ..Default::default()
        })
    }

    const SIZE: Size = Size { columns: 200, rows: 50, colour: false };

    #[test]
    fn tasks_are_indented_and_aligned_and_say_how_they_are() {
        let expected = "\
trip  RUNNING  1 of 3 tasks  4.0s  w1
✔ weather   COMPLETED             1.0s
  ▶ plan    RUNNING (RETRYING)    3.0s  attempt 2 of 3, UNAVAILABLE, gone [2J
    · echo  PENDING";
        assert_eq!(frame(&view(), SIZE, 104_000).join("\n"), expected);
    }

    #[test]
    fn a_small_screen_shows_what_matters_and_is_never_overrun() {
        for rows in 0..8 {
            for columns in [0, 1, 20, 80] {
                let lines = frame(&view(), Size { columns, rows, colour: false }, 104_000);
                assert!(lines.len() < rows.max(4), "{rows}: {lines:?}");
                assert!(
                    lines.iter().all(|line| line.chars().count() <= columns.max(1)),
                    "{columns}: {lines:?}"
                );
            }
        }
        let small = frame(&view(), Size { rows: 4, ..SIZE }, 104_000);
        assert!(small[1].contains("plan") && small[2] == "… 2 more", "{small:?}");
    }

    #[test]
    fn colours_are_there_only_if_they_are_wanted() {
        assert!(!frame(&view(), SIZE, 0).concat().contains('\x1b'));
        assert!(frame(&view(), Size { colour: true, ..SIZE }, 0)[1].starts_with("\x1b[32m"));
    }
}
