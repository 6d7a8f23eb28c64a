//! `ls`: agents, tools and workers that have a healthy instance, as a table or as JSON.

use serde_json::{Value, json};
use switchboard_client::{Client, Error};

use crate::args::{Listing, Ls};
use crate::failure::Failure;
use crate::output;

/// One line of the table.
#[derive(Debug, Default)]
struct Row {
    id: String,
    kind: &'static str,
    version: String,
    endpoint: String,
    description: String,
    /// Everything that the router said, for `--json`.
    all: Value,
}

/// Lists and prints.
pub(crate) async fn run(ls: Ls, client: &Client) -> Result<(), Failure> {
    let filter = ls.filter.as_str();
    let mut rows = match ls.what {
        Listing::Agents => agents(client, filter).await?,
        Listing::Tools => tools(client, filter).await?,
        Listing::Workers => workers(client, filter).await?,
        Listing::Services => {
            let (agents, tools, workers) =
                tokio::try_join!(agents(client, filter), tools(client, filter), workers(client, filter))?;
            agents.into_iter().chain(tools).chain(workers).collect()
        }
    };
    rows.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
    if ls.json {
        return output::print_json(&Value::Array(rows.into_iter().map(|row| row.all).collect()));
    }
    if rows.is_empty() {
        let filtered = if filter.is_empty() { "" } else { " with that text" };
        tracing::warn!("nothing is registered{filtered}");
    }
    output::print(&table(&rows))
}

async fn agents(client: &Client, filter: &str) -> Result<Vec<Row>, Error> {
    let agents = client.list_agents(filter).await?;
    let row = |agent: switchboard_proto::agentplatform::AgentInfo| Row {
        all: json!({
            "kind": "agent",
            "id": agent.agent_id,
            "name": agent.name,
            "description": agent.description,
            "capabilities": agent.capabilities,
            "endpoint": agent.endpoint,
            "version": agent.version,
            "detailed_description": agent.detailed_description,
            "how_it_works": agent.how_it_works,
            "return_format": agent.return_format,
            "use_cases": agent.use_cases,
        }),
        id: agent.agent_id,
        kind: "agent",
        version: agent.version,
        endpoint: agent.endpoint,
        description: agent.description,
    };
    Ok(agents.into_iter().map(row).collect())
}

async fn tools(client: &Client, filter: &str) -> Result<Vec<Row>, Error> {
    let tools = client.list_tools(filter).await?;
    let row = |tool: switchboard_proto::agentplatform::ToolInfo| Row {
        all: json!({
            "kind": "tool",
            "id": tool.tool_id,
            "name": tool.name,
            "description": tool.description,
            "endpoint": tool.endpoint,
            "version": tool.version,
            "parameters": parameters(&tool.parameters),
            "detailed_description": tool.detailed_description,
            "how_it_works": tool.how_it_works,
            "return_format": tool.return_format,
            "use_cases": tool.use_cases,
        }),
        id: tool.tool_id,
        kind: "tool",
        version: tool.version,
        endpoint: tool.endpoint,
        description: tool.description,
    };
    Ok(tools.into_iter().map(row).collect())
}

async fn workers(client: &Client, filter: &str) -> Result<Vec<Row>, Error> {
    let workers = client.list_workers(filter).await?;
    let row = |worker: switchboard_proto::agentplatform::WorkerInfo| Row {
        all: json!({
            "kind": "worker",
            "id": worker.worker_id,
            "name": worker.name,
            "description": worker.description,
            "tags": worker.tags,
            "endpoint": worker.endpoint,
            "version": worker.version,
            "parameters": parameters(&worker.parameters),
            "detailed_description": worker.detailed_description,
            "how_it_works": worker.how_it_works,
            "return_format": worker.return_format,
            "use_cases": worker.use_cases,
        }),
        id: worker.worker_id,
        kind: "worker",
        version: worker.version,
        endpoint: worker.endpoint,
        description: worker.description,
    };
    Ok(workers.into_iter().map(row).collect())
}

fn parameters(parameters: &[switchboard_proto::agentplatform::ToolParameter]) -> Value {
    let one = |parameter: &switchboard_proto::agentplatform::ToolParameter| {
        json!({
            "name": parameter.name,
            "type": parameter.r#type,
            "required": parameter.required,
            "description": parameter.description,
        })
    };
    parameters.iter().map(one).collect()
}

/// Columns as wide as their widest cell; the last one is not padded.
fn table(rows: &[Row]) -> String {
    let head = ["ID", "KIND", "VERSION", "ENDPOINT", "DESCRIPTION"].map(str::to_owned);
    let cells = |row: &Row| {
        let plain = |text: &str| text.replace(char::is_control, " ");
        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
        [dash(&row.id), row.kind.to_owned(), dash(&row.version), dash(&row.endpoint), plain(&row.description)]
    };
    let lines: Vec<_> = std::iter::once(head).chain(rows.iter().map(cells)).collect();
    let mut widths = [0; 5];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for [id, kind, version, endpoint, description] in &lines {
        let [a, b, c, d, _] = widths;
        let line = format!("{id:a$}  {kind:b$}  {version:c$}  {endpoint:d$}  {description}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_control_characters_do_not_reach_the_terminal() {
        let row = |id: &str, description: &str| Row {
            id: id.into(),
            kind: "agent",
            endpoint: "10.0.0.1:50052".into(),
            description: description.into(),
            ..Row::default()
        };
        let text = table(&[row("echo-agent", "Echoes"), row("a-very-long-name-agent", "x\x1b[31m\ny")]);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("ENDPOINT").unwrap();
        assert!(lines[1..].iter().all(|line| line[column..].starts_with("10.0.0.1:50052")), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
