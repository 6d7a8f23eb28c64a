//! Tools: `agentplatform.ToolService`.

use switchboard_proto::agentplatform::tool_service_client::ToolServiceClient;
use switchboard_proto::agentplatform::{ListToolsRequest, ToolInfo, ToolRequest, ToolResponse};
use tonic::transport::Channel;

use crate::call::Repeat;
use crate::{Client, Error};

impl Client {
    /// Runs one operation of a tool (`weather-tool`, `get_weather`).
    ///
    /// A tool that ran and failed answers with `success` false and its words in `error`: that is `Ok`
    /// here.
    ///
    /// # Errors
    /// [`Error`]; never tried again unless nothing was processed.
    pub async fn execute_tool<K: Into<String>, V: Into<String>>(
        &self,
        tool_id: &str,
        operation: &str,
        parameters: impl IntoIterator<Item = (K, V)>,
    ) -> Result<ToolResponse, Error> {
        let request = ToolRequest {
            tool_id: tool_id.to_owned(),
            operation: operation.to_owned(),
            parameters: parameters.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
            session_id: String::new(),
        };
        let send = |channel, request| {
            let mut stub = self.tools(channel);
            async move { stub.execute_tool(request).await }
        };
        self.unary(Repeat::Never, request, send).await
    }

    /// Lists tools that have a healthy instance; `filter` is a substring of ID, name, capability or tag.
    /// Idempotent.
    ///
    /// # Errors
    /// [`Error`], after the attempts that the retry policy allows.
    pub async fn list_tools(&self, filter: &str) -> Result<Vec<ToolInfo>, Error> {
        let request = ListToolsRequest { filter: filter.to_owned() };
        let send = |channel, request| {
            let mut stub = self.tools(channel);
            async move { stub.list_tools(request).await }
        };
        Ok(self.unary(Repeat::Idempotent, request, send).await?.tools)
    }

    fn tools(&self, channel: Channel) -> ToolServiceClient<Channel> {
        ToolServiceClient::new(channel)
            .max_decoding_message_size(self.max_message_bytes)
            .max_encoding_message_size(self.max_message_bytes)
    }
}
