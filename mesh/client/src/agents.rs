//! Agents: `agentplatform.AgentService`.

use switchboard_proto::agentplatform::agent_service_client::AgentServiceClient;
use switchboard_proto::agentplatform::{
    AgentInfo, ListAgentsRequest, StatusRequest, StatusResponse, TaskRequest, TaskResponse,
};
use tonic::transport::Channel;

use crate::call::{Repeat, TaskStream};
use crate::{Client, Error};

impl Client {
    /// Runs a task on an agent (`echo-agent`) and waits for its answer.
    ///
    /// An agent that ran and failed answers with `success` false and its words in `error`: that is
    /// `Ok` here.
    ///
    /// # Errors
    /// [`Error`]; never tried again unless nothing was processed.
    pub async fn execute<K: Into<String>, V: Into<String>>(
        &self,
        agent_id: &str,
        input: &str,
        parameters: impl IntoIterator<Item = (K, V)>,
    ) -> Result<TaskResponse, Error> {
        self.execute_task(agent_id, task(input, parameters)).await
    }

    /// Runs a whole task on an agent; `agent_id` replaces the task's own.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn execute_task(&self, agent_id: &str, task: TaskRequest) -> Result<TaskResponse, Error> {
        let task = TaskRequest { agent_id: agent_id.to_owned(), ..task };
        let send = |channel, request| {
            let mut stub = self.agents(channel);
            async move { stub.execute_task(request).await }
        };
        self.unary(Repeat::Never, task, send).await
    }

    /// Runs a task on an agent and gives its output as it comes.
    ///
    /// # Errors
    /// [`Error`] if the stream does not start; later failures are items of the stream.
    pub async fn stream<K: Into<String>, V: Into<String>>(
        &self,
        agent_id: &str,
        input: &str,
        parameters: impl IntoIterator<Item = (K, V)>,
    ) -> Result<TaskStream, Error> {
        self.stream_task(agent_id, task(input, parameters)).await
    }

    /// Streams a whole task of an agent; `agent_id` replaces the task's own.
    ///
    /// # Errors
    /// As [`Client::stream`].
    pub async fn stream_task(&self, agent_id: &str, task: TaskRequest) -> Result<TaskStream, Error> {
        let task = TaskRequest { agent_id: agent_id.to_owned(), ..task };
        let send = |channel, request| {
            let mut stub = self.agents(channel);
            async move { stub.stream_task(request).await }
        };
        self.chunks(task, send).await
    }

    /// Asks an agent how it is. Idempotent.
    ///
    /// # Errors
    /// [`Error`], after the attempts that the retry policy allows.
    pub async fn agent_status(&self, agent_id: &str) -> Result<StatusResponse, Error> {
        let request = StatusRequest { agent_id: agent_id.to_owned() };
        let send = |channel, request| {
            let mut stub = self.agents(channel);
            async move { stub.get_status(request).await }
        };
        self.unary(Repeat::Idempotent, request, send).await
    }

    /// Lists agents that have a healthy instance; `filter` is a substring of ID, name, capability or tag.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Error`], after the attempts that the retry policy allows.
    pub async fn list_agents(&self, filter: &str) -> Result<Vec<AgentInfo>, Error> {
        let request = ListAgentsRequest { filter: filter.to_owned() };
        let send = |channel, request| {
            let mut stub = self.agents(channel);
            async move { stub.list_agents(request).await }
        };
        Ok(self.unary(Repeat::Idempotent, request, send).await?.agents)
    }

    fn agents(&self, channel: Channel) -> AgentServiceClient<Channel> {
        AgentServiceClient::new(channel)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }
}

/// A task of an input and parameters, and nothing else.
fn task<K: Into<String>, V: Into<String>>(
    input: &str,
    parameters: impl IntoIterator<Item = (K, V)>,
) -> TaskRequest {
    TaskRequest {
        input: input.to_owned(),
        parameters: parameters.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
        ..TaskRequest::default()
    }
}
