//! `call`: one call to an agent, a tool or a worker, chosen by the kind in the ID.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::io::Read;

use serde_json::json;
use switchboard_client::Client;
use switchboard_proto::agentplatform::{TaskRequest, TaskResponse, ToolInfo};
use switchboard_registry::{ClientId, Kind};

use crate::args::Call;
use crate::failure::Failure;
use crate::output;

/// What is read from standard input at most: as much as the router passes in one message.
const MAX_INPUT_BYTES: u64 = 128 << 20;

/// Makes the call and prints its output.
pub(crate) async fn run(call: Call, client: &Client) -> Result<(), Failure> {
    let kind = ClientId::parse(&call.id, Some(Kind::Agent))
        .map_err(|error| Failure::Usage(format!("{:?}: {error}", call.id)))?
        .kind;
    let mut client = client.clone();
    if call.deadline.is_some() {
        client = client.with_deadline(call.deadline);
    }
    for (name, value) in &call.headers {
        client = client.with_header(name, value)?;
    }
    if call.stream && kind != Kind::Agent {
        return Err(Failure::Usage(format!("{} is a {kind}; only agents stream", call.id)));
    }
    if call.op.is_some() && kind != Kind::Tool {
        return Err(Failure::Usage(format!("{} is no tool; --op names a tool's operation", call.id)));
    }
    match (kind, call.status) {
        (Kind::Agent, true) => agent_status(&client, &call).await,
        (Kind::Worker, true) => task_status(&client, &call).await,
        (Kind::Tool, true) => {
            Err(Failure::Usage("tools have no status; `switchboard ls tools` shows them".into()))
        }
        (Kind::Agent, false) if call.stream => stream(&client, call).await,
        (Kind::Agent, false) => {
            let task = task(&call)?;
            task_answer(client.execute_task(&call.id, task).await?, call.json)
        }
        (Kind::Worker, false) => {
            let task = task(&call)?;
            task_answer(client.process_task(&call.id, task).await?, call.json)
        }
        (Kind::Tool, false) => tool(&client, call).await,
    }
}

fn task(call: &Call) -> Result<TaskRequest, Failure> {
    let input = match call.input.as_deref() {
        None => String::new(),
        Some("-") => standard_input()?,
        Some(text) => text.to_owned(),
    };
    Ok(TaskRequest {
        task_id: call.task_id.clone().unwrap_or_default(),
        input,
        parameters: call.params.iter().cloned().collect(),
        ..TaskRequest::default()
    })
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().lock().take(MAX_INPUT_BYTES + 1).read_to_string(&mut text);
    match read.map_err(Failure::Input)? {
        bytes if bytes as u64 > MAX_INPUT_BYTES => {
            Err(Failure::Usage(format!("standard input is larger than {} MiB", MAX_INPUT_BYTES >> 20)))
        }
        _ => {
            // `echo hello | switchboard call … -` means hello, not hello and a line break.
            if text.ends_with('\n') {
                text.pop();
            }
            Ok(text)
        }
    }
}

fn task_answer(answer: TaskResponse, as_json: bool) -> Result<(), Failure> {
    tracing::info!(task_id = %answer.task_id, metadata = ?sorted(&answer.metadata), "answered");
    if as_json {
        output::print_json(&json!({
            "task_id": answer.task_id,
            "success": answer.success,
            "output": answer.output,
            "error": answer.error,
            "metadata": sorted(&answer.metadata),
            "session_id": answer.session_id,
        }))?;
    } else if answer.success {
        output::print(&answer.output)?;
    }
    succeeded(answer.success, &answer.error)
}

async fn stream(client: &Client, call: Call) -> Result<(), Failure> {
    let task = task(&call)?;
    let mut chunks = client.stream_task(&call.id, task).await?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        tracing::debug!(task_id = %chunk.task_id, bytes = chunk.content.len(), last = chunk.is_final, "chunk");
        if call.json {
            output::print(
                &json!({
                    "task_id": chunk.task_id,
                    "content": chunk.content,
                    "is_final": chunk.is_final,
                    "session_id": chunk.session_id,
                })
                .to_string(),
            )?;
        } else {
            output::print(&chunk.content)?;
        }
    }
    Ok(())
}

async fn tool(client: &Client, call: Call) -> Result<(), Failure> {
    if call.input.is_some() {
        return Err(Failure::Usage(format!("{} is a tool: it takes --param, no input", call.id)));
    }
    if call.task_id.is_some() {
        return Err(Failure::Usage(format!("{} is a tool: its calls have no task ID", call.id)));
    }
    let Some(operation) = call.op else {
        let known = client.list_tools(&call.id).await.unwrap_or_default();
        return Err(Failure::Usage(missing_operation(&call.id, &known)));
    };
    let answer = client.execute_tool(&call.id, &operation, call.params).await?;
    if call.json {
        // A result that is JSON itself stays so.
        let result = serde_json::from_str(&answer.result).unwrap_or_else(|_| json!(answer.result));
        output::print_json(&json!({
            "success": answer.success,
            "result": result,
            "error": answer.error,
            "session_id": answer.session_id,
        }))?;
    } else if answer.success {
        output::print(&answer.result)?;
    }
    succeeded(answer.success, &answer.error)
}

/// Says that a tool needs an operation, with what the tool says of itself.
fn missing_operation(id: &str, known: &[ToolInfo]) -> String {
    let mut words = format!("{id} is a tool: name its operation with --op");
    if let Some(info) = known.iter().find(|info| info.tool_id == id) {
        for text in [&info.description, &info.detailed_description, &info.how_it_works] {
            if !text.is_empty() {
                words.push_str(&format!("\n  {}", text.replace('\n', "\n  ")));
            }
        }
        for parameter in &info.parameters {
            let need = if parameter.required { "required" } else { "optional" };
            let about =
                format!("{} ({}, {need}): {}", parameter.name, parameter.r#type, parameter.description);
            words.push_str(&format!("\n  --param {about}"));
        }
    }
    words
}

async fn agent_status(client: &Client, call: &Call) -> Result<(), Failure> {
    if call.task_id.is_some() {
        return Err(Failure::Usage(
            "--status of an agent takes no --task-id: agents keep no tasks".to_owned(),
        ));
    }
    let status = client.agent_status(&call.id).await?;
    if call.json {
        return output::print_json(&json!({
            "agent_id": status.agent_id,
            "status": status.status,
            "active_tasks": status.active_tasks,
            "uptime_seconds": status.uptime_seconds,
            "capabilities": status.capabilities,
        }));
    }
    output::print(&format!(
        "status: {}\nactive tasks: {}\nuptime: {} s\ncapabilities: {}\n",
        status.status,
        status.active_tasks,
        status.uptime_seconds,
        status.capabilities.join(", ")
    ))
}

async fn task_status(client: &Client, call: &Call) -> Result<(), Failure> {
    let Some(task_id) = &call.task_id else {
        return Err(Failure::Usage("--status of a worker needs --task-id".to_owned()));
    };
    let status = client.task_status(&call.id, task_id).await?;
    if call.json {
        return output::print_json(&json!({
            "task_id": status.task_id,
            "status": status.status,
            "progress": status.progress,
            "result": status.result,
        }));
    }
    let mut text = format!("status: {}\n", status.status);
    if !status.progress.is_empty() {
        text.push_str(&format!("progress: {}\n", status.progress));
    }
    if !status.result.is_empty() {
        text.push_str(&format!("\n{}", status.result));
    }
    output::print(&text)
}

fn succeeded(success: bool, error: &str) -> Result<(), Failure> {
    match (success, error) {
        (true, _) => Ok(()),
        (false, "") => Err(Failure::Answered("the call failed, and the answer does not say why".to_owned())),
        (false, error) => Err(Failure::Answered(error.to_owned())),
    }
}

/// Maps come in no order; people and tests want one.
fn sorted(map: &HashMap<String, String>) -> BTreeMap<&String, &String> {
    map.iter().collect()
}
