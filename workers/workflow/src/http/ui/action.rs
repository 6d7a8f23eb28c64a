//! What forms do. Each is one call; then the browser is sent to the page that shows what came of it.

use axum::{
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use prost::Message;
use switchboard_proto::goclaw::v1::{
    CancelWorkflowRequest, CancelWorkflowResponse, CompensateSagaRequest, CompensateSagaResponse,
    DeleteScheduleRequest, DeleteScheduleResponse, PauseScheduleRequest, PauseWorkflowRequest,
    PauseWorkflowResponse, PauseWorkflowsRequest, PauseWorkflowsResponse, ResumeScheduleRequest,
    ResumeWorkflowRequest, ResumeWorkflowResponse, ResumeWorkflowsRequest, ResumeWorkflowsResponse,
    RetryWorkflowRequest, RetryWorkflowResponse, Schedule, SignalWorkflowRequest, SignalWorkflowResponse,
    TriggerScheduleRequest, TriggerScheduleResponse, signal_workflow_request::Payload,
};

use super::{Failure, View, Visit, html::Url, session, value};
use crate::http::request::Parameters;

/// Sends the browser to a page.
pub(super) fn see(url: &Url) -> Response {
    Redirect::to(url.as_str()).into_response()
}

/// Does what a form asks for on this page.
pub(super) async fn act(
    visit: &Visit,
    view: View,
    parts: Parts,
    form: &Parameters,
) -> Result<Response, Failure> {
    let asked = value(form, "do");
    let done = match view {
        View::SignIn if asked == "sign-out" => return Ok(session::sign_out(&parts.headers)),
        View::SignIn => {
            return session::sign_in(visit, parts, value(form, "token"), value(form, "next")).await;
        }
        View::Workflow | View::Task => workflow(visit, view, asked, form).await?,
        View::Engine => engine(visit, asked).await?,
        View::Schedules => match schedule(visit, asked, value(form, "schedule").to_owned()).await? {
            Done::Here(done) => done,
            Done::At(url) => return Ok(see(&url)),
        },
        View::Workflows | View::History | View::Log | View::Nothing => return Err(unknown()),
    };
    Ok(see(&visit.here().with("done", done)))
}

fn unknown() -> Failure {
    let words = "This page does not know what the form asks for. Go back, load it again, and try once more.";
    Failure::Wrong(StatusCode::BAD_REQUEST, "Not understood", words.to_owned())
}

/// Calls, and keeps nothing of the answer.
async fn call<M: Message + Default>(
    visit: &Visit,
    rpc: &'static str,
    request: impl Message,
) -> Result<(), Failure> {
    visit.caller.typed::<M>(rpc, &request).await?;
    Ok(())
}

/// What was done, in the word that the page knows.
async fn workflow(
    visit: &Visit,
    view: View,
    asked: &str,
    form: &Parameters,
) -> Result<&'static str, Failure> {
    let workflow_id = visit.named("workflow").to_owned();
    let reason = value(form, "reason").to_owned();
    match asked {
        "cancel" => {
            let force = value(form, "force") == "true";
            let request = CancelWorkflowRequest { workflow_id, force, reason };
            call::<CancelWorkflowResponse>(visit, "/goclaw.v1.WorkflowService/CancelWorkflow", request)
                .await?;
            Ok(if force { "cancel-now" } else { "cancel" })
        }
        "retry" => {
            // Of a task's page: from that task on.
            let from_task_id =
                if view == View::Task { visit.named("task").to_owned() } else { String::new() };
            let request = RetryWorkflowRequest { workflow_id, from_task_id, reason };
            let rpc = "/goclaw.v1.WorkflowControlService/RetryWorkflow";
            call::<RetryWorkflowResponse>(visit, rpc, request).await?;
            Ok("retry")
        }
        "pause" => {
            let request = PauseWorkflowRequest { workflow_id, reason };
            let rpc = "/goclaw.v1.WorkflowControlService/PauseWorkflow";
            call::<PauseWorkflowResponse>(visit, rpc, request).await?;
            Ok("pause")
        }
        "resume" => {
            let rpc = "/goclaw.v1.WorkflowControlService/ResumeWorkflow";
            call::<ResumeWorkflowResponse>(visit, rpc, ResumeWorkflowRequest { workflow_id }).await?;
            Ok("resume")
        }
        "compensate" => {
            let request = CompensateSagaRequest { saga_id: workflow_id, reason };
            call::<CompensateSagaResponse>(visit, "/goclaw.v1.SagaService/CompensateSaga", request).await?;
            Ok("compensate")
        }
        "signal" => {
            let payload = value(form, "payload").as_bytes();
            let payload = (!payload.is_empty()).then(|| Payload::InputJson(payload.to_vec()));
            let request =
                SignalWorkflowRequest { workflow_id, name: value(form, "signal").to_owned(), payload };
            let rpc = "/goclaw.v1.WorkflowControlService/SignalWorkflow";
            call::<SignalWorkflowResponse>(visit, rpc, request).await?;
            Ok("signal")
        }
        _ => Err(unknown()),
    }
}

async fn engine(visit: &Visit, asked: &str) -> Result<&'static str, Failure> {
    match asked {
        "pause" => {
            let request = PauseWorkflowsRequest { confirmation: true };
            call::<PauseWorkflowsResponse>(visit, "/goclaw.v1.AdminService/PauseWorkflows", request).await?;
            Ok("pause")
        }
        "resume" => {
            let rpc = "/goclaw.v1.AdminService/ResumeWorkflows";
            call::<ResumeWorkflowsResponse>(visit, rpc, ResumeWorkflowsRequest {}).await?;
            Ok("resume")
        }
        _ => Err(unknown()),
    }
}

/// Where the outcome is seen.
enum Done {
    Here(&'static str),
    At(Url),
}

async fn schedule(visit: &Visit, asked: &str, schedule_id: String) -> Result<Done, Failure> {
    match asked {
        "pause" => {
            let request = PauseScheduleRequest { schedule_id, note: String::new() };
            call::<Schedule>(visit, "/goclaw.v1.ScheduleService/PauseSchedule", request).await?;
            Ok(Done::Here("pause"))
        }
        "resume" => {
            let request = ResumeScheduleRequest { schedule_id };
            call::<Schedule>(visit, "/goclaw.v1.ScheduleService/ResumeSchedule", request).await?;
            Ok(Done::Here("resume"))
        }
        "trigger" => {
            let request = TriggerScheduleRequest { schedule_id };
            let rpc = "/goclaw.v1.ScheduleService/TriggerSchedule";
            let run: TriggerScheduleResponse = visit.caller.typed(rpc, &request).await?;
            Ok(Done::At(Url::ui(&["workflows", &run.workflow_id]).with("done", "trigger")))
        }
        "delete" => {
            let request = DeleteScheduleRequest { schedule_id };
            call::<DeleteScheduleResponse>(visit, "/goclaw.v1.ScheduleService/DeleteSchedule", request)
                .await?;
            Ok(Done::Here("delete"))
        }
        _ => Err(unknown()),
    }
}
