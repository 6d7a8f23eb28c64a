//! Every other unary method that can be called again and again.

use super::{
    requests::{Tasks, batch},
    site::{Engine, Lab},
    table::{Table, Target},
};
use anyhow::Result;
use prost::Message;
use switchboard_proto::goclaw::v1 as wire;
use wire::batch_service_client::BatchServiceClient;

const CONNECTIONS: usize = 64;
/// Of pages and batches.
const MANY: usize = 100;

pub(super) fn measure(lab: &Lab, table: &mut Table) -> Result<()> {
    let mut engine = lab.engine("endpoints")?;
    let submit = |tasks, batches: usize| -> Result<Vec<String>> {
        let mut client = BatchServiceClient::new(engine.channel()?);
        let mut ids = Vec::new();
        for _ in 0..batches {
            let answer = lab.run(client.submit_workflows(batch(tasks)))?.into_inner();
            ids.extend(answer.results.into_iter().map(|result| result.workflow_id));
        }
        Ok(ids)
    };
    let ended = submit(Tasks::Noop, 20)?;
    let live = submit(Tasks::Function, 20)?;
    let mut calls = Calls { engine: &engine, table, seconds: lab.seconds(1.2) };

    let status =
        |id: &String| wire::GetWorkflowStatusRequest { workflow_id: id.clone(), include_input: false };
    calls.of("WorkflowService/GetWorkflowStatus", &live.iter().map(status).collect::<Vec<_>>())?;
    let name = "WorkflowService/GetWorkflowStatus, ended";
    calls.called(name, "WorkflowService/GetWorkflowStatus", &ended.iter().map(status).collect::<Vec<_>>())?;
    let result =
        |id: &String| wire::GetTaskResultRequest { workflow_id: id.clone(), task_id: "say".to_owned() };
    calls.of("WorkflowService/GetTaskResult", &ended.iter().map(result).collect::<Vec<_>>())?;
    let page = |size| Some(wire::PaginationRequest { page_size: size, page_token: String::new() });
    let list = wire::ListWorkflowsRequest { pagination: page(50), ..Default::default() };
    calls.of("WorkflowService/ListWorkflows", &[list])?;
    let statuses = wire::GetWorkflowStatusesRequest {
        workflow_ids: live[..MANY].to_vec(),
        pagination: page(MANY as i32),
    };
    calls.called(
        "BatchService/GetWorkflowStatuses of 100",
        "BatchService/GetWorkflowStatuses",
        &[statuses],
    )?;
    let results = |id: &String| wire::GetTaskResultsRequest {
        workflow_id: id.clone(),
        task_ids: ["fetch", "plan", "say"].map(str::to_owned).to_vec(),
        pagination: None,
    };
    calls.of("BatchService/GetTaskResults", &ended.iter().map(results).collect::<Vec<_>>())?;
    let history = |id: &String| wire::GetHistoryRequest { workflow_id: id.clone(), ..Default::default() };
    calls.of("WorkflowControlService/GetHistory", &ended.iter().map(history).collect::<Vec<_>>())?;
    let pause = |id: &String| wire::PauseWorkflowRequest { workflow_id: id.clone(), ..Default::default() };
    calls.of("WorkflowControlService/PauseWorkflow", &live.iter().map(pause).collect::<Vec<_>>())?;
    let resume = |id: &String| wire::ResumeWorkflowRequest { workflow_id: id.clone() };
    calls.of("WorkflowControlService/ResumeWorkflow", &live.iter().map(resume).collect::<Vec<_>>())?;
    calls.of("AdminService/GetEngineStatus", &[wire::GetEngineStatusRequest::default()])?;
    calls.of("AdminService/GetLaneStats", &[wire::GetLaneStatsRequest::default()])?;
    calls.of("AdminService/ExportMetrics", &[wire::ExportMetricsRequest::default()])?;
    calls.of("OperatorService/ListLanes", &[wire::ListLanesRequest::default()])?;
    let cancel = |id: &String| wire::CancelWorkflowRequest {
        workflow_id: id.clone(),
        force: true,
        reason: String::new(),
    };
    calls.of("WorkflowService/CancelWorkflow", &live.iter().map(cancel).collect::<Vec<_>>())?;
    engine.stop();
    Ok(())
}

struct Calls<'a> {
    engine: &'a Engine<'a>,
    table: &'a mut Table,
    seconds: f64,
}

impl Calls<'_> {
    fn of<M: Message>(&mut self, method: &str, messages: &[M]) -> Result<()> {
        self.called(method, method, messages)
    }

    fn called<M: Message>(&mut self, name: &str, method: &str, messages: &[M]) -> Result<()> {
        let path = format!("/goclaw.v1.{method}");
        let load = self.engine.load(&path, messages, CONNECTIONS, self.seconds, 0.3)?;
        self.table.row(name, load.rps, "per s", Target::AtLeast(2_000.0));
        Ok(())
    }
}
