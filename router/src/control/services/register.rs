//! RegisterAgent, RegisterTool: puts somebody else's endpoint into the registry.
//!
//! Nobody keeps such an entry alive but the registry's own check of the endpoint, which also removes it.

use super::{Services, caller::Caller};
use crate::error::{Error, Reason};
use std::net::IpAddr;
use switchboard_proto::agentplatform::{AgentInfo, RegistrationResponse, ToolInfo};
use switchboard_registry::{ClientId, Description, Kind, Parameter, Registration};
use tonic::{Response, Status};
use tracing::info;

/// RFC 1035 2.3.4.
const MAX_HOST_BYTES: usize = 253;

impl Services {
    /// Registers one instance of `id` at `endpoint` (`host:port`).
    pub(super) async fn register(
        &self,
        caller: &Caller,
        kind: Kind,
        id: &str,
        endpoint: &str,
        description: Description,
    ) -> Result<Response<RegistrationResponse>, Status> {
        let id = own_id(kind, id)
            .map_err(|message| Error::invalid_field(Reason::ID_ILL_FORMED, id_field(kind), &message))?;
        let (host, port) = host_port(endpoint)
            .map_err(|message| Error::invalid_field(Reason::ENDPOINT_ILL_FORMED, "endpoint", &message))?;
        let mut registration = Registration::new(id.service(), host, port);
        registration.tags = vec![kind.to_string()];
        registration.meta = Description { kind: Some(kind), ..description }.encode();
        let service = id.service();
        let allowed = caller.grants.may_register(&service);
        caller.audit(allowed, &format!("registration of {id} at {endpoint}"));
        if !allowed {
            return Err(
                Error::registration_denied(caller.principal.as_ref(), &id.to_string(), &service).into()
            );
        }
        let answer = self.reads.client().register(&registration).await;
        if let Err(switchboard_registry::Error::Name { reason, .. }) = &answer {
            return Err(Error::invalid_field(Reason::ENDPOINT_ILL_FORMED, "endpoint", reason).into());
        }
        self.reads
            .noted(answer)
            .map_err(|reason| Error::registry_failed(&format!("registration of {id}"), &reason))?;
        info!(%id, endpoint, service_id = registration.id, "registered on request");
        Ok(Response::new(RegistrationResponse {
            success: true,
            message: format!("{id} is registered at {endpoint}; its gRPC health is checked every 5 s"),
            service_id: registration.id,
        }))
    }
}

/// What an agent says of itself.
pub(super) fn agent(info: AgentInfo) -> Description {
    Description {
        name: info.name,
        description: info.description,
        capabilities: info.capabilities,
        detailed_description: info.detailed_description,
        how_it_works: info.how_it_works,
        return_format: info.return_format,
        use_cases: info.use_cases,
        version: info.version,
        ..Description::default()
    }
}

/// What a tool says of itself.
pub(super) fn tool(info: ToolInfo) -> Description {
    let parameters = info.parameters.into_iter().map(|parameter| Parameter {
        name: parameter.name,
        type_: parameter.r#type,
        required: parameter.required,
        description: parameter.description,
    });
    Description {
        name: info.name,
        description: info.description,
        parameters: parameters.collect(),
        detailed_description: info.detailed_description,
        how_it_works: info.how_it_works,
        return_format: info.return_format,
        use_cases: info.use_cases,
        version: info.version,
        ..Description::default()
    }
}

fn id_field(kind: Kind) -> &'static str {
    match kind {
        Kind::Agent => "agent_id",
        Kind::Tool => "tool_id",
        Kind::Worker => "worker_id",
    }
}

/// Reads the ID to register, which must be of the method's kind and without a version (that is a field).
fn own_id(kind: Kind, id: &str) -> Result<ClientId, String> {
    let parsed = ClientId::parse(id, Some(kind)).map_err(|error| error.to_string())?;
    match parsed {
        ClientId { version: Some(_), .. } => {
            Err("give the version in its own field, not in the ID".to_owned())
        }
        ClientId { kind: other, .. } if other != kind => {
            Err(format!("the ID is of kind {other}, not {kind}"))
        }
        parsed => Ok(parsed),
    }
}

/// Reads `host:port`: an address or host name that others can reach, and a port.
fn host_port(endpoint: &str) -> Result<(&str, u16), String> {
    let wrong = |why: &str| Err(format!("{why}; expected host:port, for example 10.0.0.7:50052"));
    let Some((host, port)) = endpoint.rsplit_once(':') else { return wrong("it has no port") };
    let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
        return wrong("its port is not 1 to 65535");
    };
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let bare = bracketed.unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return match ip {
            ip if ip.is_unspecified() => wrong("0.0.0.0 is no address that others can reach"),
            IpAddr::V6(_) if bracketed.is_none() => wrong("an IPv6 address needs brackets"),
            _ => Ok((bare, port)),
        };
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if bracketed.is_some() || host.is_empty() || host.len() > MAX_HOST_BYTES || !host.bytes().all(allowed) {
        return wrong("its host is neither an IP address nor a host name");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_hosts_with_ports() {
        for (text, expected) in [
            ("10.0.0.7:50052", ("10.0.0.7", 50052)),
            ("echo-1.local:1", ("echo-1.local", 1)),
            ("[::1]:65535", ("::1", 65535)),
        ] {
            assert_eq!(host_port(text), Ok(expected));
        }
        for text in [
            "",
            "echo",
            ":1",
            "echo:",
            "echo:0",
            "echo:65536",
            "::1:5",
            "0.0.0.0:5",
            "[::]:5",
            "[echo]:5",
            "a/b:5",
            "http://echo:5",
        ] {
            assert!(host_port(text).is_err(), "{text}");
        }
        assert!(host_port(&format!("{}:1", "a".repeat(254))).is_err());
    }

    #[test]
    fn only_ids_of_the_method_s_kind_are_registered() {
        assert_eq!(own_id(Kind::Agent, "echo").unwrap().to_string(), "echo-agent");
        assert_eq!(own_id(Kind::Tool, "weather-tool").unwrap().service(), "tool-weather");
        for id in ["", "weather-tool", "echo-agent@v2", "Echo"] {
            assert!(own_id(Kind::Agent, id).is_err(), "{id}");
        }
    }
}
