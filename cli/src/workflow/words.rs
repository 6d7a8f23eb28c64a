//! States, times and texts in words.

use prost_types::Timestamp;
use switchboard_proto::goclaw::v1::{LogLevel, TaskDetail, TaskStatus, WorkflowDetail, WorkflowStatus};

/// `COMPLETED`; a number for a status that this version does not know.
pub(super) fn status(status: i32) -> String {
    WorkflowStatus::try_from(status)
        .map_or_else(|_| status.to_string(), |known| short(known.as_str_name(), "WORKFLOW_STATUS_"))
}

/// `PAUSED`; nothing if the status says it all.
pub(super) fn detail(detail: i32) -> String {
    match WorkflowDetail::try_from(detail) {
        Ok(WorkflowDetail::Unspecified) => String::new(),
        Ok(known) => short(known.as_str_name(), "WORKFLOW_DETAIL_"),
        Err(_) => detail.to_string(),
    }
}

/// `RUNNING`, of a task.
pub(super) fn task_status(status: i32) -> String {
    TaskStatus::try_from(status)
        .map_or_else(|_| status.to_string(), |known| short(known.as_str_name(), "TASK_STATUS_"))
}

/// `RETRYING`, of a task; nothing if the status says it all.
pub(super) fn task_detail(detail: i32) -> String {
    match TaskDetail::try_from(detail) {
        Ok(TaskDetail::Unspecified) => String::new(),
        Ok(known) => short(known.as_str_name(), "TASK_DETAIL_"),
        Err(_) => detail.to_string(),
    }
}

/// The finer state where there is one: `RUNNING (PAUSED)`.
pub(super) fn state(status: String, detail: String) -> String {
    if detail.is_empty() { status } else { format!("{status} ({detail})") }
}

pub(super) fn level(level: i32) -> String {
    LogLevel::try_from(level)
        .map_or_else(|_| level.to_string(), |known| short(known.as_str_name(), "LOG_LEVEL_"))
}

fn short(name: &str, prefix: &str) -> String {
    name.strip_prefix(prefix).unwrap_or(name).to_owned()
}

/// Milliseconds since 1970.
pub(super) fn millis(at: &Timestamp) -> i64 {
    at.seconds.saturating_mul(1_000).saturating_add(i64::from(at.nanos / 1_000_000))
}

/// `0.3s`, `12.0s`, `4m07s`, `2h05m`, `3d04h`.
pub(super) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let seconds = ms / 1_000;
    match seconds {
        0..60 => format!("{}.{}s", seconds, ms % 1_000 / 100),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Servers and executors say what they like: nothing in it moves a cursor.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Columns as wide as their widest cell; the last one is not padded.
pub(super) fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_no_more_digits_than_a_person_reads() {
        for (ms, words) in [
            (-5, "0.0s"),
            (340, "0.3s"),
            (59_999, "59.9s"),
            (247_000, "4m07s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ] {
            assert_eq!(duration(ms), words);
        }
    }

    #[test]
    fn states_are_short_and_unknown_ones_are_numbers() {
        assert_eq!((status(3).as_str(), status(77).as_str(), detail(0).as_str()), ("COMPLETED", "77", ""));
        assert_eq!((task_detail(2).as_str(), level(3).as_str()), ("RETRYING", "WARN"));
    }
}
