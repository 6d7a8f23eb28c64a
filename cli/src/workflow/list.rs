//! `list`: workflows, the newest first, as a table or as JSON.

use switchboard_client::Workflows;
use switchboard_proto::goclaw::v1::{
    ListWorkflowsRequest, PaginationRequest, WorkflowFilter, WorkflowStatus, WorkflowSummary,
};

use super::{json, words};
use crate::args::{List, WorkflowState};
use crate::failure::Failure;
use crate::output;

/// The most of one page.
const MAX_PAGE: u32 = 1_000;

/// Lists and prints.
pub(super) async fn run(args: List, workflows: &Workflows) -> Result<(), Failure> {
    let filter = WorkflowFilter {
        name_prefix: args.name,
        attributes: args.attributes.into_iter().collect(),
        parent_workflow_id: args.parent,
        ..WorkflowFilter::default()
    };
    let page_size = args.limit.min(MAX_PAGE) as i32;
    let request = ListWorkflowsRequest {
        pagination: Some(PaginationRequest { page_size, page_token: String::new() }),
        status_filter: status(args.status).into(),
        filter: (filter != WorkflowFilter::default()).then_some(filter),
    };
    let mut updates = workflows.list(request);
    let mut rows = Vec::new();
    while rows.len() < args.limit as usize
        && let Some(row) = updates.next().await
    {
        rows.push(row?);
    }
    if args.json {
        return output::print_json(&rows.iter().map(json::summary).collect());
    }
    let head = ["WORKFLOW", "NAME", "STATUS", "TASKS", "CREATED", "TOOK", "ERROR"].map(str::to_owned);
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(line)).collect();
    output::print(&words::table(&lines))
}

fn status(status: Option<WorkflowState>) -> WorkflowStatus {
    match status {
        None => WorkflowStatus::Unspecified,
        Some(WorkflowState::Pending) => WorkflowStatus::Pending,
        Some(WorkflowState::Running) => WorkflowStatus::Running,
        Some(WorkflowState::Completed) => WorkflowStatus::Completed,
        Some(WorkflowState::Failed) => WorkflowStatus::Failed,
        Some(WorkflowState::Cancelled) => WorkflowStatus::Cancelled,
    }
}

fn line(row: &WorkflowSummary) -> [String; 7] {
    let took = match (&row.created_at, &row.finished_at) {
        (Some(begin), Some(end)) => words::duration(words::millis(end) - words::millis(begin)),
        _ => "-".to_owned(),
    };
    [
        words::plain(&row.workflow_id),
        words::plain(&row.name),
        words::state(words::status(row.status), words::detail(row.detail)),
        format!("{}/{}", row.tasks_completed, row.tasks_total),
        // To the second: more is in --json.
        row.created_at.map_or("-".to_owned(), |at| prost_types::Timestamp { nanos: 0, ..at }.to_string()),
        took,
        words::plain(&row.error_message),
    ]
}
