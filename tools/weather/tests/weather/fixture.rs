//! A running weather tool on a fixed day, with a registry of its own.

use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use switchboard_backend::{RegistryConfig, Running};
use switchboard_proto::agentplatform::tool_service_client::ToolServiceClient;
use switchboard_proto::agentplatform::{ToolRequest, ToolResponse};
use switchboard_registry::embedded;
use tonic::transport::Channel;
use weather_tool::WeatherTool;

/// 2026-07-15, noon UTC.
pub(crate) fn july() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(20_649 * 86_400 + 43_200)
}

pub(crate) struct Tool {
    pub(crate) running: Running,
    pub(crate) client: ToolServiceClient<Channel>,
    pub(crate) registry: embedded::Server,
}

pub(crate) async fn start(tool: WeatherTool) -> Tool {
    let registry = embedded::Server::start(([127, 0, 0, 1], 0).into()).await.unwrap();
    let running = weather_tool::backend(tool.at(july()))
        .listen(([127, 0, 0, 1], 0).into())
        .registry(RegistryConfig::at(&registry.addr().to_string()).unwrap())
        .start()
        .await
        .unwrap();
    let client = ToolServiceClient::new(switchboard_transport::channel(&running.addr().to_string()).unwrap());
    Tool { running, client, registry }
}

impl Tool {
    pub(crate) async fn call(&mut self, operation: &str, parameters: &[(&str, &str)]) -> ToolResponse {
        let parameters =
            parameters.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let request = ToolRequest {
            tool_id: "weather-tool".to_owned(),
            operation: operation.to_owned(),
            parameters,
            session_id: "s-1".to_owned(),
        };
        self.client.execute_tool(request).await.unwrap().into_inner()
    }

    /// Calls, expects success, and parses the result.
    pub(crate) async fn ask(&mut self, operation: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = self.call(operation, parameters).await;
        assert!(answer.success && answer.error.is_empty(), "{answer:?}");
        serde_json::from_str(&answer.result).unwrap()
    }
}
