//! How states look: a word, a sign and a colour each, so that none of the three has to be seen to know the state.

use switchboard_proto::goclaw::v1::{TaskDetail, TaskStatus, WorkflowDetail, WorkflowStatus};

use super::html::{Element, element, text};

/// A state of a workflow or a task, in the page's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Failed,
    TimedOut,
    CompensationFailed,
    PendingCompensation,
    Running,
    Retrying,
    Failing,
    Cancelling,
    Compensating,
    Waiting,
    Paused,
    Scheduled,
    Pending,
    Completed,
    Compensated,
    Cancelled,
    Skipped,
}

impl State {
    pub(super) fn of_workflow(status: i32, detail: i32) -> Self {
        match WorkflowDetail::try_from(detail).unwrap_or_default() {
            WorkflowDetail::Paused => Self::Paused,
            WorkflowDetail::Cancelling => Self::Cancelling,
            WorkflowDetail::Failing => Self::Failing,
            WorkflowDetail::Compensating => Self::Compensating,
            WorkflowDetail::PendingCompensation => Self::PendingCompensation,
            WorkflowDetail::Compensated => Self::Compensated,
            WorkflowDetail::CompensationFailed => Self::CompensationFailed,
            WorkflowDetail::TimedOut => Self::TimedOut,
            WorkflowDetail::Unspecified => match WorkflowStatus::try_from(status).unwrap_or_default() {
                WorkflowStatus::Unspecified | WorkflowStatus::Pending => Self::Pending,
                WorkflowStatus::Running => Self::Running,
                WorkflowStatus::Completed => Self::Completed,
                WorkflowStatus::Failed => Self::Failed,
                WorkflowStatus::Cancelled => Self::Cancelled,
            },
        }
    }

    pub(super) fn of_task(status: i32, detail: i32) -> Self {
        match TaskDetail::try_from(detail).unwrap_or_default() {
            TaskDetail::Scheduled => Self::Scheduled,
            TaskDetail::Retrying => Self::Retrying,
            TaskDetail::Waiting => Self::Waiting,
            TaskDetail::Skipped => Self::Skipped,
            TaskDetail::TimedOut => Self::TimedOut,
            TaskDetail::Compensating => Self::Compensating,
            TaskDetail::Compensated => Self::Compensated,
            TaskDetail::CompensationFailed => Self::CompensationFailed,
            TaskDetail::Unspecified => match TaskStatus::try_from(status).unwrap_or_default() {
                TaskStatus::Unspecified | TaskStatus::Pending => Self::Pending,
                TaskStatus::Running => Self::Running,
                TaskStatus::Completed => Self::Completed,
                TaskStatus::Failed => Self::Failed,
                TaskStatus::Cancelled => Self::Cancelled,
            },
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::TimedOut => "Timed out",
            Self::CompensationFailed => "Undo failed",
            Self::PendingCompensation => "Waits for undo",
            Self::Running => "Running",
            Self::Retrying => "Retrying",
            Self::Failing => "Failing",
            Self::Cancelling => "Cancelling",
            Self::Compensating => "Undoing",
            Self::Waiting => "Waiting",
            Self::Paused => "Paused",
            Self::Scheduled => "Queued",
            Self::Pending => "Pending",
            Self::Completed => "Completed",
            Self::Compensated => "Undone",
            Self::Cancelled => "Cancelled",
            Self::Skipped => "Skipped",
        }
    }

    /// The class that colours it.
    pub(super) fn tone(self) -> &'static str {
        match self {
            Self::Failed | Self::TimedOut | Self::CompensationFailed => "bad",
            Self::Failing | Self::Retrying | Self::PendingCompensation => "warn",
            Self::Cancelling | Self::Compensating | Self::Paused | Self::Waiting => "hold",
            Self::Running => "busy",
            Self::Scheduled | Self::Pending => "idle",
            Self::Completed => "good",
            Self::Compensated | Self::Cancelled | Self::Skipped => "off",
        }
    }

    /// The path that draws its sign in a square of 16.
    fn sign(self) -> &'static str {
        match self {
            Self::Completed => "M3.5 8.5l3 3 6-7",
            Self::Failed | Self::CompensationFailed => "M4 4l8 8M12 4l-8 8",
            Self::TimedOut | Self::Waiting => "M8 4v4.5l3 2M8 1.8a6.2 6.2 0 1 0 .01 0",
            Self::Running => "M5 3.2v9.6l7.5-4.8z",
            Self::Retrying => "M12.6 6.2A5 5 0 1 0 13 9M13 2.6v3.8H9.2",
            Self::Failing | Self::PendingCompensation => "M8 2.5L14.3 13.5H1.7zM8 6.5v3.2M8 11.6v.1",
            Self::Cancelling | Self::Cancelled => "M8 1.8a6.2 6.2 0 1 0 .01 0M3.7 3.7l8.6 8.6",
            Self::Compensating | Self::Compensated => "M6 3L2.5 6.5 6 10M2.8 6.5H10a3.2 3.2 0 0 1 0 6.4H7",
            Self::Paused => "M5.5 3.5v9M10.5 3.5v9",
            Self::Scheduled => "M3 5h10M3 8h10M3 11h6",
            Self::Pending => "M8 2.6a5.4 5.4 0 1 0 .01 0",
            Self::Skipped => "M3 4l4 4-4 4M8.5 4l4 4-4 4",
        }
    }

    /// Whether it is over.
    pub(super) fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Failed
                | Self::TimedOut
                | Self::CompensationFailed
                | Self::Completed
                | Self::Compensated
                | Self::Cancelled
                | Self::Skipped
        )
    }

    /// The sign alone, for where the word stands beside it.
    pub(super) fn icon(self) -> Element {
        sign(self.sign())
    }

    /// The sign's path, for a place within a drawing.
    pub(super) fn mark(self) -> Element {
        element("path").class("sign").attr("d", self.sign())
    }

    /// Sign and word.
    pub(super) fn badge(self) -> Element {
        element("span")
            .class(&format!("state {}", self.tone()))
            .child(self.icon())
            .child(text("span", self.word()))
    }
}

/// A drawing of 16 by 16 that says nothing which is not in words beside it.
pub(super) fn sign(path: &'static str) -> Element {
    element("svg")
        .class("sign")
        .attr("viewBox", "0 0 16 16")
        .attr("width", 16)
        .attr("height", 16)
        .attr("aria-hidden", "true")
        .child(element("path").attr("d", path))
}

/// How many there are of each state, the ones that want to be seen first.
pub(super) fn tally(states: impl IntoIterator<Item = State>) -> Vec<(State, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for state in states {
        *counts.entry(state).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// A tally in words: `2 failed, 3 running`.
pub(super) fn in_words(tally: &[(State, usize)]) -> String {
    let words: Vec<_> =
        tally.iter().map(|(state, count)| format!("{count} {}", state.word().to_lowercase())).collect();
    words.join(", ")
}
