//! Policies: who may call what, what is said of it, and the file that says so.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod built_in;
mod explained;
mod file;
mod registering;
mod rules;

use switchboard_policy::{Mode, Policy, Principal, Proof, Reason};

const EXECUTE_TOOL: &str = "/agentplatform.ToolService/ExecuteTool";
const EXECUTE_TASK: &str = "/agentplatform.AgentService/ExecuteTask";
const REGISTER_AGENT: &str = "/agentplatform.AgentService/RegisterAgent";
const LIST_AGENTS: &str = "/agentplatform.AgentService/ListAgents";

fn policy(text: &str) -> Policy {
    Policy::parse(text, Mode::Any).unwrap()
}

fn principal(name: &str, roles: &[&str]) -> Principal {
    Principal::new(name, roles.iter().copied(), Proof::Jwt).unwrap()
}

/// Whether a principal may call, and what decides.
fn decide(policy: &Policy, name: &str, roles: &[&str], id: &str, path: &str) -> (bool, Reason) {
    let grants = policy.grants(Some(&principal(name, roles)), None);
    let decision = grants.decide(id, path);
    (decision.allowed, decision.reason)
}
