//! The routes: one table, from which requests are dispatched and the OpenAPI document is made.
//!
//! Parameters of a path are named as the fields of the message that they fill. What a query may say stands in the table
//! too: the parameter, and the field's path.

use axum::http::Method;

/// What one verb of one path does.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// `/goclaw.v1.WorkflowService/SubmitWorkflow`.
    pub(super) rpc: &'static str,
    pub(super) query: &'static [(&'static str, &'static str)],
    /// Whether a body is read.
    pub(super) body: bool,
    /// Fields that the route itself decides.
    pub(super) fixed: &'static [(&'static str, &'static str)],
    /// The status of success.
    pub(super) success: u16,
    pub(super) shape: Shape,
    pub(super) summary: &'static str,
}

/// Verbs that routes have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

/// How request and answer look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// JSON in, JSON out.
    Call,
    /// A submission: also in the origin's words, and answered when the workflow has ended if the client will wait.
    Submit,
    /// A list that knows an offset beside its tokens.
    List,
    /// Events of SSE, by this name. With `resumes` their IDs are sequence numbers.
    Events { name: &'static str, resumes: bool },
}

impl Verb {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Patch => Method::PATCH,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }
}

const fn route(verb: Verb, path: &'static str, rpc: &'static str, summary: &'static str) -> Route {
    let body = !matches!(verb, Verb::Get | Verb::Delete);
    Route { verb, path, rpc, query: &[], body, fixed: &[], success: 200, shape: Shape::Call, summary }
}

impl Route {
    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    const fn fixed(mut self, fixed: &'static [(&'static str, &'static str)]) -> Self {
        self.fixed = fixed;
        self
    }

    const fn success(mut self, status: u16) -> Self {
        self.success = status;
        self
    }

    const fn shape(mut self, shape: Shape) -> Self {
        self.shape = shape;
        self
    }

    const fn events(self, name: &'static str, resumes: bool) -> Self {
        self.shape(Shape::Events { name, resumes })
    }

    /// Names of the path's parameters.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

const PAGE: (&str, &str) = ("page_token", "pagination.page_token");
const LIMIT: (&str, &str) = ("limit", "pagination.page_size");

use Verb::{Delete, Get, Patch, Post, Put};

/// Every route that calls a service. `/health`, `/ws/events` and the like stand in [`super::routes`].
pub(super) const ROUTES: &[Route] = &[
    // Workflows.
    route(Post, "/api/v1/workflows", "/goclaw.v1.WorkflowService/SubmitWorkflow", "Submits a workflow")
        .success(201)
        .shape(Shape::Submit),
    route(
        Get,
        "/api/v1/workflows",
        "/goclaw.v1.WorkflowService/ListWorkflows",
        "Lists workflows, newest first",
    )
    .query(&[
        ("status", "status_filter"),
        LIMIT,
        PAGE,
        ("detail", "filter.detail"),
        ("name_prefix", "filter.name_prefix"),
        ("created_after", "filter.created_after"),
        ("created_before", "filter.created_before"),
        ("parent_workflow_id", "filter.parent_workflow_id"),
        ("workflow_id", "filter.workflow_ids"),
        ("attribute.*", "filter.attributes"),
    ])
    .shape(Shape::List),
    route(
        Get,
        "/api/v1/workflows/{workflow_id}",
        "/goclaw.v1.WorkflowService/GetWorkflowStatus",
        "Shows a workflow",
    )
    .query(&[("include_input", "include_input")]),
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/cancel",
        "/goclaw.v1.WorkflowService/CancelWorkflow",
        "Cancels a workflow and its children",
    )
    .query(&[("force", "force"), ("reason", "reason")]),
    route(
        Get,
        "/api/v1/workflows/{workflow_id}/tasks/{task_id}/result",
        "/goclaw.v1.WorkflowService/GetTaskResult",
        "Gives the result of a task",
    ),
    // One workflow's control.
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/retry",
        "/goclaw.v1.WorkflowControlService/RetryWorkflow",
        "Runs a failed or cancelled workflow on",
    )
    .success(202),
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/pause",
        "/goclaw.v1.WorkflowControlService/PauseWorkflow",
        "Starts no new task of a workflow",
    ),
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/resume",
        "/goclaw.v1.WorkflowControlService/ResumeWorkflow",
        "Lets a paused workflow go on",
    ),
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/signals",
        "/goclaw.v1.WorkflowControlService/SignalWorkflow",
        "Gives a workflow a named signal",
    )
    .success(202),
    route(
        Get,
        "/api/v1/workflows/{workflow_id}/history",
        "/goclaw.v1.WorkflowControlService/GetHistory",
        "Lists what happened to a workflow",
    )
    .query(&[("after_sequence", "after_sequence"), LIMIT, PAGE]),
    // Streams.
    route(
        Get,
        "/api/v1/workflows/{workflow_id}/events",
        "/goclaw.v1.StreamingService/WatchWorkflow",
        "Follows a workflow",
    )
    .events("workflow.state_changed", true),
    route(
        Get,
        "/api/v1/workflows/{workflow_id}/tasks/events",
        "/goclaw.v1.StreamingService/WatchTasks",
        "Follows a workflow's tasks",
    )
    .query(&[("task", "task_ids"), ("terminal_only", "terminal_only")])
    .events("task.state_changed", true),
    route(
        Get,
        "/api/v1/workflows/{workflow_id}/logs",
        "/goclaw.v1.StreamingService/StreamLogs",
        "Follows a workflow's log",
    )
    .query(&[("level", "min_level"), ("task", "task_ids")])
    .events("log", false),
    // Batches.
    route(
        Post,
        "/api/v1/batch/workflows",
        "/goclaw.v1.BatchService/SubmitWorkflows",
        "Submits many workflows",
    ),
    route(
        Post,
        "/api/v1/batch/workflows/status",
        "/goclaw.v1.BatchService/GetWorkflowStatuses",
        "Shows many workflows",
    ),
    route(
        Post,
        "/api/v1/batch/workflows/cancel",
        "/goclaw.v1.BatchService/CancelWorkflows",
        "Cancels many workflows",
    ),
    route(
        Post,
        "/api/v1/workflows/{workflow_id}/batch/results",
        "/goclaw.v1.BatchService/GetTaskResults",
        "Gives the results of many tasks",
    ),
    // The engine.
    route(Get, "/api/v1/admin/status", "/goclaw.v1.AdminService/GetEngineStatus", "Shows how the engine is"),
    route(Patch, "/api/v1/admin/config", "/goclaw.v1.AdminService/UpdateConfig", "Changes settings"),
    route(Get, "/api/v1/admin/cluster/nodes", "/goclaw.v1.AdminService/ManageCluster", "Lists nodes")
        .fixed(&[("operation", "list")]),
    route(Post, "/api/v1/admin/cluster/nodes", "/goclaw.v1.AdminService/ManageCluster", "Adds a node")
        .fixed(&[("operation", "add")])
        .success(201),
    route(Delete, "/api/v1/admin/cluster/nodes", "/goclaw.v1.AdminService/ManageCluster", "Removes a node")
        .query(&[("node_id", "node_id"), ("confirmation", "confirmation")])
        .fixed(&[("operation", "remove")]),
    route(
        Post,
        "/api/v1/admin/cluster/nodes/{node_id}/promote",
        "/goclaw.v1.AdminService/ManageCluster",
        "Makes a node the leader",
    )
    .fixed(&[("operation", "promote")]),
    route(
        Post,
        "/api/v1/admin/pause",
        "/goclaw.v1.AdminService/PauseWorkflows",
        "Starts no new task, takes no workflow",
    ),
    route(Post, "/api/v1/admin/resume", "/goclaw.v1.AdminService/ResumeWorkflows", "Lets the engine go on"),
    route(
        Post,
        "/api/v1/admin/purge",
        "/goclaw.v1.AdminService/PurgeWorkflows",
        "Deletes workflows that ended long ago",
    ),
    route(Get, "/api/v1/admin/lanes", "/goclaw.v1.AdminService/GetLaneStats", "Shows all lanes"),
    route(Get, "/api/v1/admin/lanes/{lane_name}", "/goclaw.v1.AdminService/GetLaneStats", "Shows a lane"),
    route(Post, "/api/v1/admin/lanes", "/goclaw.v1.OperatorService/CreateLane", "Makes a lane").success(201),
    route(Put, "/api/v1/admin/lanes", "/goclaw.v1.OperatorService/UpdateLane", "Changes a lane's limits"),
    route(
        Get,
        "/api/v1/admin/metrics",
        "/goclaw.v1.AdminService/ExportMetrics",
        "Gives the engine's metrics",
    )
    .query(&[("format", "format"), ("prefix", "prefix_filter")]),
    route(
        Get,
        "/api/v1/admin/debug/{type}",
        "/goclaw.v1.AdminService/GetDebugInfo",
        "Looks into the process",
    )
    .query(&[("duration_seconds", "duration_seconds")]),
    // Sagas.
    route(Post, "/api/v1/sagas", "/goclaw.v1.SagaService/SubmitSaga", "Submits a saga").success(201),
    route(Get, "/api/v1/sagas", "/goclaw.v1.SagaService/ListSagas", "Lists sagas, newest first").query(&[
        ("state", "state_filter"),
        LIMIT,
        PAGE,
    ]),
    route(Get, "/api/v1/sagas/{saga_id}", "/goclaw.v1.SagaService/GetSagaStatus", "Shows a saga"),
    route(
        Post,
        "/api/v1/sagas/{saga_id}/compensate",
        "/goclaw.v1.SagaService/CompensateSaga",
        "Undoes what a saga has done",
    )
    .success(202),
    route(Get, "/api/v1/sagas/{saga_id}/events", "/goclaw.v1.SagaService/WatchSaga", "Follows a saga")
        .events("saga.state_changed", false),
    // Signals.
    route(
        Post,
        "/api/v1/signals",
        "/goclaw.v1.SignalService/SignalTask",
        "Steers, interrupts or collects tasks",
    ),
    // Schedules.
    route(Post, "/api/v1/schedules", "/goclaw.v1.ScheduleService/CreateSchedule", "Makes a schedule")
        .success(201),
    route(Get, "/api/v1/schedules", "/goclaw.v1.ScheduleService/ListSchedules", "Lists schedules")
        .query(&[LIMIT, PAGE]),
    route(
        Get,
        "/api/v1/schedules/{schedule_id}",
        "/goclaw.v1.ScheduleService/GetSchedule",
        "Shows a schedule",
    ),
    route(
        Delete,
        "/api/v1/schedules/{schedule_id}",
        "/goclaw.v1.ScheduleService/DeleteSchedule",
        "Ends a schedule",
    ),
    route(
        Post,
        "/api/v1/schedules/{schedule_id}/pause",
        "/goclaw.v1.ScheduleService/PauseSchedule",
        "Starts nothing by a schedule",
    ),
    route(
        Post,
        "/api/v1/schedules/{schedule_id}/resume",
        "/goclaw.v1.ScheduleService/ResumeSchedule",
        "Lets a schedule go on",
    ),
    route(
        Post,
        "/api/v1/schedules/{schedule_id}/trigger",
        "/goclaw.v1.ScheduleService/TriggerSchedule",
        "Starts a schedule's workflow now",
    )
    .success(202),
];

#[cfg(test)]
mod tests {
    use prost_reflect::Kind;

    use super::*;
    use crate::http::json;

    #[test]
    fn every_route_names_a_method_and_its_fields() {
        for route in ROUTES {
            let method = json::method(route.rpc).unwrap_or_else(|| panic!("{} is no method", route.rpc));
            let input = method.input();
            let streams = matches!(route.shape, Shape::Events { .. });
            assert_eq!(method.is_server_streaming(), streams, "{}", route.rpc);
            for field in route.parameters() {
                assert!(input.get_field_by_name(field).is_some(), "{} has no {field}", route.path);
            }
            for (field, text) in route.fixed {
                let value = json::from_text(&input, field, text).unwrap();
                assert!(json::message(&input, &value).is_ok(), "{}: {text} is no {field}", route.path);
            }
            for (_, path) in route.query {
                let mut of = Some(input.clone());
                for name in path.split('.') {
                    let within = of.unwrap_or_else(|| panic!("{path} ends early"));
                    let field = within.get_field_by_name(name).unwrap_or_else(|| panic!("{path}: no {name}"));
                    of = match field.kind() {
                        Kind::Message(inner) => Some(inner),
                        _ => None,
                    };
                }
            }
        }
    }
}
