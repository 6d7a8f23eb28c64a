//! ListAgents, ListTools, ListWorkers: what is registered and has a healthy instance, as it describes itself.

use super::Services;
use crate::{
    control::{instances::Instances, reads::Failed},
    error::Error,
};
use std::sync::Arc;
use switchboard_proto::agentplatform::{AgentInfo, ToolInfo, ToolParameter, WorkerInfo};
use switchboard_registry::{ClientId, Description, Kind, Parameter};
use tonic::Status;

/// One row of a list, of whatever kind.
#[derive(Debug)]
pub(super) struct Listed {
    id: String,
    endpoint: String,
    tags: Vec<String>,
    description: Description,
}

impl Services {
    /// Everything of a kind that has a healthy instance and passes the filter, sorted by ID.
    pub(super) async fn list(&self, kind: Kind, filter: &str) -> Result<Vec<Listed>, Status> {
        let failed = |reason: Failed| Error::registry_failed(&format!("list of {kind}s"), &reason);
        let filter = filter.trim().to_lowercase();
        let names = self.reads.names_of(kind).await.map_err(failed)?;
        let services = self.readable(names, kind, &filter)?;
        let services = self.reads.services_of(services).await.map_err(failed)?;
        let mut listed: Vec<Listed> = services
            .iter()
            .filter_map(|(service, instances)| Listed::of(service, instances))
            .filter(|listed| listed.matches(&filter))
            .collect();
        listed.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(listed)
    }

    /// The services that a list reads. Of too many only those whose ID contains the filter, which needs no reading;
    /// if those are too many as well, a list would be cut, and a cut list looks like a whole one.
    fn readable(&self, mut names: Vec<Arc<str>>, kind: Kind, filter: &str) -> Result<Vec<Arc<str>>, Error> {
        let most = self.reads.max_services();
        if names.len() > most {
            names.retain(|name| {
                ClientId::from_service(name).is_some_and(|id| id.to_string().contains(filter))
            });
        }
        if names.len() > most {
            return Err(Error::list_too_long(kind.as_str(), names.len(), most));
        }
        Ok(names)
    }
}

impl Listed {
    /// The first healthy instance speaks for its service; `None` if there is none.
    fn of(service: &str, instances: &Instances) -> Option<Self> {
        let known = instances.iter().find(|known| known.healthy().is_some())?;
        Some(Listed {
            id: ClientId::from_service(service)?.to_string(),
            endpoint: known.instance.endpoint(),
            tags: known.instance.tags.clone(),
            description: known.description(),
        })
    }

    /// Whether ID, name, a capability or a tag contains `filter`, which is in lower case.
    fn matches(&self, filter: &str) -> bool {
        let contains = |text: &String| text.to_lowercase().contains(filter);
        contains(&self.id)
            || contains(&self.description.name)
            || self.description.capabilities.iter().any(contains)
            || self.tags.iter().any(contains)
    }
}

impl From<Listed> for AgentInfo {
    fn from(Listed { id, endpoint, description, .. }: Listed) -> Self {
        AgentInfo {
            agent_id: id,
            name: description.name,
            description: description.description,
            capabilities: description.capabilities,
            endpoint,
            detailed_description: description.detailed_description,
            how_it_works: description.how_it_works,
            return_format: description.return_format,
            use_cases: description.use_cases,
            version: description.version,
        }
    }
}

impl From<Listed> for ToolInfo {
    fn from(Listed { id, endpoint, description, .. }: Listed) -> Self {
        ToolInfo {
            tool_id: id,
            name: description.name,
            description: description.description,
            endpoint,
            parameters: description.parameters.into_iter().map(parameter).collect(),
            detailed_description: description.detailed_description,
            how_it_works: description.how_it_works,
            return_format: description.return_format,
            use_cases: description.use_cases,
            version: description.version,
        }
    }
}

impl From<Listed> for WorkerInfo {
    fn from(Listed { id, endpoint, tags, description }: Listed) -> Self {
        WorkerInfo {
            worker_id: id,
            name: description.name,
            description: description.description,
            endpoint,
            tags,
            detailed_description: description.detailed_description,
            how_it_works: description.how_it_works,
            return_format: description.return_format,
            use_cases: description.use_cases,
            version: description.version,
            parameters: description.parameters.into_iter().map(parameter).collect(),
        }
    }
}

fn parameter(parameter: Parameter) -> ToolParameter {
    ToolParameter {
        name: parameter.name,
        r#type: parameter.type_,
        required: parameter.required,
        description: parameter.description,
    }
}
