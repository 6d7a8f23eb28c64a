//! The router's own services against the embedded registry, called without a network.

use super::*;
use crate::{config::Config, control::freshness::Freshness};
use std::{net::SocketAddr, time::Duration};
use switchboard_proto::{agentplatform::ToolParameter, rpc};
use switchboard_registry::{
    Check, Client, Description, Parameter, Registration, embedded::Server as Registry,
};
use tokio::{task::JoinHandle, time::timeout};
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_server::Health as _,
};

const PATIENCE: Duration = Duration::from_secs(10);

struct Rig {
    registry: Option<Registry>,
    client: Client,
    services: Arc<Services>,
    phase: watch::Sender<Phase>,
    _view: watch::Sender<Arc<View>>,
}

impl Rig {
    async fn start() -> Self {
        Rig::with(|_| {}).await
    }

    async fn with(adjust: impl FnOnce(&mut Config)) -> Self {
        let registry = Registry::start(([127, 0, 0, 1], 0).into()).await.unwrap();
        let at = switchboard_registry::Config::at(&registry.addr().to_string()).unwrap();
        let client = Client::new(at.clone()).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let mut config = Config::new(any, any, at);
        // Every read is fresh, so that no test waits for an entry to age.
        config.cache_ttl = Duration::from_nanos(1);
        config.negative_ttl = Duration::from_nanos(1);
        adjust(&mut config);
        let clock = Clock::start();
        let reads = Arc::new(Reads::new(client.clone(), Arc::new(Freshness::new(clock)), &config));
        let (view, views) = watch::channel(Arc::new(View::default()));
        let (phase, phases) = watch::channel(Phase::Running);
        let policy = Arc::new(PolicySnapshot::load(&config, None, None).unwrap());
        let (_policies, policy) = watch::channel(policy);
        let services = Arc::new(Services::new(reads, views, phases, clock, Dial::clear(), policy));
        Rig { registry: Some(registry), client, services, phase, _view: view }
    }

    async fn register(
        &self,
        service: &str,
        port: u16,
        adjust: impl FnOnce(&mut Registration),
    ) -> Registration {
        let mut registration = Registration::new(service, "127.0.0.1", port);
        registration.check = Check::None;
        adjust(&mut registration);
        self.client.register(&registration).await.unwrap();
        registration
    }

    async fn agents(&self, filter: &str) -> Vec<String> {
        let request = Request::new(ListAgentsRequest { filter: filter.to_owned() });
        let agents = self.services.list_agents(request).await.unwrap().into_inner().agents;
        agents.into_iter().map(|agent| agent.agent_id).collect()
    }

    async fn health(&self, service: &str) -> Result<ServingStatus, Code> {
        let request = Request::new(HealthCheckRequest { service: service.to_owned() });
        match Health::new(self.services.clone()).check(request).await {
            Ok(answer) => Ok(answer.into_inner().status()),
            Err(status) => Err(status.code()),
        }
    }

    async fn task(&self, task_id: &str) -> Result<TaskStatusResponse, Status> {
        let request = TaskStatusRequest { task_id: task_id.to_owned(), worker_id: String::new() };
        self.services.get_task_status(Request::new(request)).await.map(Response::into_inner)
    }
}

/// Never passes: nothing listens there.
fn sick(registration: &mut Registration) {
    registration.check = Check::tcp("127.0.0.1:1");
    registration.starts_passing = false;
}

fn described() -> Description {
    Description {
        kind: Some(Kind::Worker),
        name: "Travel Planner".to_owned(),
        description: "Plans trips.".to_owned(),
        detailed_description: "Day by day.".to_owned(),
        how_it_works: "It asks the weather.".to_owned(),
        return_format: "Markdown".to_owned(),
        use_cases: vec!["Weekends".to_owned(), "Holidays, long ones".to_owned()],
        version: "1.2".to_owned(),
        capabilities: vec!["planning".to_owned(), "travel".to_owned()],
        parameters: vec![Parameter {
            name: "days".to_owned(),
            type_: "int".to_owned(),
            required: true,
            description: "How many: 1 to 14".to_owned(),
        }],
        ..Description::default()
    }
}

#[tokio::test]
async fn lists_name_what_has_a_healthy_instance_sorted_by_id() {
    let rig = Rig::start().await;
    rig.register("agent-zulu", 1, |_| {}).await;
    rig.register("agent-alfa", 2, |_| {}).await;
    rig.register("agent-sick", 3, sick).await;
    rig.register("tool-hammer", 4, |_| {}).await;
    rig.register("other", 5, |_| {}).await;
    assert_eq!(rig.agents("").await, ["alfa-agent", "zulu-agent"]);
    rig.register("agent-sick", 6, |_| {}).await;
    assert_eq!(rig.agents("").await, ["alfa-agent", "sick-agent", "zulu-agent"]);
}

#[tokio::test]
async fn filters_find_ids_names_capabilities_and_tags_in_any_case() {
    let rig = Rig::start().await;
    let meta = described().encode();
    rig.register("agent-travel-bot", 1, |it| it.meta = meta).await;
    rig.register("agent-echo", 2, |it| it.tags = vec!["Text-Processing".to_owned()]).await;
    for (filter, expected) in [
        ("TRAVEL-B", &["travel-bot-agent"][..]),
        ("travel planner", &["travel-bot-agent"]),
        ("Plann", &["travel-bot-agent"]),
        ("text-proc", &["echo-agent"]),
        (" agent ", &["echo-agent", "travel-bot-agent"]),
        ("weekends", &[]),
    ] {
        assert_eq!(rig.agents(filter).await, expected, "{filter:?}");
    }
}

#[tokio::test]
async fn a_list_that_would_be_too_long_is_refused_and_a_part_of_the_id_narrows_it() {
    let rig = Rig::with(|config| config.max_services = 3).await;
    for (name, port) in [("agent-mail-a", 1), ("agent-mail-b", 2), ("agent-news", 3)] {
        rig.register(name, port, |registration| registration.tags = vec!["daily".to_owned()]).await;
    }
    // As many as there may be: everything is searched.
    assert_eq!(rig.agents("daily").await.len(), 3);
    rig.register("agent-order", 4, |_| {}).await;
    for filter in ["", "agent"] {
        let request = ListAgentsRequest { filter: filter.to_owned() };
        let status = rig.services.list_agents(Request::new(request)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert!(status.message().contains("4 agents match, and a list holds 3"), "{}", status.message());
    }
    assert_eq!(rig.agents("Mail").await, ["mail-a-agent", "mail-b-agent"]);
    // Other kinds are not counted.
    let tools = rig.services.list_tools(Request::new(ListToolsRequest::default())).await;
    assert_eq!(tools.unwrap().into_inner().tools.len(), 0);
}

#[tokio::test]
async fn every_field_of_a_description_is_listed() {
    let rig = Rig::start().await;
    for (service, port) in [("agent-planner", 1), ("tool-planner", 2), ("worker-planner", 3)] {
        let meta = described().encode();
        let tags = vec!["trips".to_owned()];
        rig.register(service, port, |it| (it.meta, it.tags) = (meta, tags)).await;
    }
    let parameter = ToolParameter {
        name: "days".to_owned(),
        r#type: "int".to_owned(),
        required: true,
        description: "How many: 1 to 14".to_owned(),
    };
    let about = described();
    let agents =
        rig.services.list_agents(Request::new(ListAgentsRequest::default())).await.unwrap().into_inner();
    let expected = AgentInfo {
        agent_id: "planner-agent".to_owned(),
        name: about.name.clone(),
        description: about.description.clone(),
        capabilities: about.capabilities.clone(),
        endpoint: "127.0.0.1:1".to_owned(),
        detailed_description: about.detailed_description.clone(),
        how_it_works: about.how_it_works.clone(),
        return_format: about.return_format.clone(),
        use_cases: about.use_cases.clone(),
        version: about.version.clone(),
    };
    assert_eq!(agents.agents, [expected]);
    let tools =
        rig.services.list_tools(Request::new(ListToolsRequest::default())).await.unwrap().into_inner();
    assert_eq!(
        (tools.tools[0].tool_id.as_str(), &tools.tools[0].parameters),
        ("planner-tool", &vec![parameter.clone()])
    );
    assert_eq!(tools.tools[0].use_cases, about.use_cases);
    let workers =
        rig.services.list_workers(Request::new(ListWorkersRequest::default())).await.unwrap().into_inner();
    assert_eq!(
        (workers.workers[0].worker_id.as_str(), &workers.workers[0].parameters),
        ("planner-worker", &vec![parameter])
    );
    assert_eq!(workers.workers[0].tags, ["trips"]);
}

#[tokio::test]
async fn lists_outlive_the_registry() {
    let mut rig = Rig::start().await;
    rig.register("agent-echo", 1, |_| {}).await;
    assert_eq!(rig.agents("").await, ["echo-agent"]);
    rig.registry.take().unwrap().shutdown().await;
    assert_eq!(rig.agents("").await, ["echo-agent"]);
}

#[tokio::test]
async fn a_list_that_was_never_read_says_that_the_registry_is_gone() {
    let mut rig = Rig::start().await;
    rig.registry.take().unwrap().shutdown().await;
    let status = rig.services.list_agents(Request::new(ListAgentsRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let details = <rpc::Status as prost::Message>::decode(status.details()).unwrap();
    assert_eq!(details.error_info().unwrap().reason, "REGISTRY_UNREACHABLE");
}

#[tokio::test]
async fn health_is_told_by_client_id() {
    let mut rig = Rig::start().await;
    let v2 = |it: &mut Registration| {
        it.meta.insert("version".to_owned(), "v2".to_owned());
    };
    rig.register("agent-echo", 1, v2).await;
    rig.register("agent-sick", 2, sick).await;
    for (service, expected) in [
        ("", Ok(ServingStatus::Serving)),
        ("agentplatform.AgentService", Ok(ServingStatus::Serving)),
        ("echo-agent", Ok(ServingStatus::Serving)),
        ("echo-agent@v2", Ok(ServingStatus::Serving)),
        ("echo-agent@v3", Ok(ServingStatus::NotServing)),
        ("sick-agent", Ok(ServingStatus::NotServing)),
        ("nobody-agent", Err(Code::NotFound)),
        ("no ID at all", Err(Code::NotFound)),
    ] {
        assert_eq!(rig.health(service).await, expected, "{service:?}");
    }
    assert_eq!(rig.health(&"x".repeat(1_000_000)).await, Err(Code::NotFound));
    rig.phase.send_replace(Phase::Draining);
    assert_eq!(rig.health("").await, Ok(ServingStatus::NotServing));
    assert_eq!(rig.health("echo-agent").await, Ok(ServingStatus::Serving));
    rig.registry.take().unwrap().shutdown().await;
    assert_eq!(rig.health("echo-agent").await, Ok(ServingStatus::Serving), "fail static");
    assert_eq!(rig.health("never-asked-agent").await, Err(Code::Unavailable));
}

#[tokio::test]
async fn a_health_watch_follows_changes_and_ends_with_the_router() {
    let rig = Rig::start().await;
    let watch = async |service: &str| {
        let request = Request::new(HealthCheckRequest { service: service.to_owned() });
        Health::new(rig.services.clone()).watch(request).await.unwrap().into_inner()
    };
    let (mut own, mut agent) = (watch("").await, watch("late-agent").await);
    let next = async |stream: &mut <Health as tonic_health::pb::health_server::Health>::WatchStream| {
        let item = timeout(PATIENCE, stream.next()).await.expect("a change is told").unwrap();
        item.map(|response| response.status()).map_err(|status| status.code())
    };
    assert_eq!(next(&mut own).await, Ok(ServingStatus::Serving));
    assert_eq!(next(&mut agent).await, Ok(ServingStatus::ServiceUnknown));
    rig.register("agent-late", 1, |_| {}).await;
    assert_eq!(next(&mut agent).await, Ok(ServingStatus::Serving));
    rig.phase.send_replace(Phase::Draining);
    assert_eq!(next(&mut own).await, Ok(ServingStatus::NotServing));
    rig.phase.send_replace(Phase::Closing);
    assert_eq!(next(&mut own).await, Err(Code::Unavailable));
    assert_eq!(next(&mut agent).await, Err(Code::Unavailable));
    assert!(own.next().await.is_none());
}

#[tokio::test]
async fn a_registration_on_request_reaches_the_registry() {
    let rig = Rig::start().await;
    let info = AgentInfo {
        agent_id: "guest-agent".to_owned(),
        name: "Guest".to_owned(),
        capabilities: vec!["visiting".to_owned()],
        endpoint: "127.0.0.1:50099".to_owned(),
        version: "7".to_owned(),
        ..AgentInfo::default()
    };
    let answer = rig.services.register_agent(Request::new(info)).await.unwrap().into_inner();
    assert!(answer.success, "{}", answer.message);
    let entry = rig.client.agent_service(&answer.service_id).await.unwrap().unwrap();
    assert_eq!((entry.service.as_str(), entry.endpoint().as_str()), ("agent-guest", "127.0.0.1:50099"));
    let about = Description::decode(&entry.service, &entry.meta, &entry.tags);
    assert_eq!((about.name.as_str(), about.version.as_str()), ("Guest", "7"));
    assert_eq!((about.kind, about.capabilities), (Some(Kind::Agent), vec!["visiting".to_owned()]));

    let tool =
        ToolInfo { tool_id: "saw".to_owned(), endpoint: "127.0.0.1:50098".to_owned(), ..ToolInfo::default() };
    let answer = rig.services.register_tool(Request::new(tool)).await.unwrap().into_inner();
    assert_eq!(rig.client.agent_service(&answer.service_id).await.unwrap().unwrap().service, "tool-saw");
}

#[tokio::test]
async fn a_wrong_registration_says_which_field() {
    let mut rig = Rig::start().await;
    let register = async |id: &str, endpoint: &str| {
        let info =
            AgentInfo { agent_id: id.to_owned(), endpoint: endpoint.to_owned(), ..AgentInfo::default() };
        rig.services.register_agent(Request::new(info)).await.unwrap_err()
    };
    for (id, endpoint, field) in [
        ("", "127.0.0.1:1", "agent_id"),
        ("weather-tool", "127.0.0.1:1", "agent_id"),
        ("echo-agent", "", "endpoint"),
        ("echo-agent", "0.0.0.0:1", "endpoint"),
    ] {
        let status = register(id, endpoint).await;
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = <rpc::Status as prost::Message>::decode(status.details()).unwrap();
        assert_eq!(details.error_info().unwrap().metadata["field"], field, "{id:?} {endpoint:?}");
    }
    rig.registry.take().unwrap().shutdown().await;
    let info = AgentInfo {
        agent_id: "echo-agent".to_owned(),
        endpoint: "127.0.0.1:1".to_owned(),
        ..AgentInfo::default()
    };
    let status = rig.services.register_agent(Request::new(info)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

/// A registration as the data plane passes it on: with who makes it.
async fn registered_by(
    rig: &Rig,
    (name, roles, services): (&str, &str, &str),
    agent: &str,
) -> Result<RegistrationResponse, Status> {
    let info = AgentInfo {
        agent_id: agent.to_owned(),
        endpoint: "127.0.0.1:50099".to_owned(),
        ..AgentInfo::default()
    };
    let mut request = Request::new(info);
    for (header, value) in [
        ("x-switchboard-principal", name),
        ("x-switchboard-roles", roles),
        ("x-switchboard-services", services),
    ] {
        if !value.is_empty() {
            request.metadata_mut().insert(header, value.parse().unwrap());
        }
    }
    rig.services.register_agent(request).await.map(Response::into_inner)
}

#[tokio::test]
async fn a_service_is_registered_by_its_own_certificate_or_a_role_and_by_nobody_else() {
    let rig = Rig::with(|config| config.auth = switchboard_policy::Mode::Any).await;
    let its_own = ("spiffe://mesh/svc/agent-echo", "", "agent-echo");
    for (caller, agent, allowed) in [
        (its_own, "echo-agent", true),
        (its_own, "bank-agent", false),
        (("ci", "backend", ""), "bank-agent", true),
        (("ada", "admin", ""), "bank-agent", true),
        (("anna", "caller", ""), "echo-agent", false),
        (("olga", "operator", "agent-bank"), "echo-agent", false),
        (("", "admin", "agent-echo"), "bank-agent", false),
        (("", "", ""), "echo-agent", false),
    ] {
        let answer = registered_by(&rig, caller, agent).await;
        let Err(status) = answer else {
            assert!(allowed, "{caller:?} registered {agent}");
            continue;
        };
        assert!(!allowed, "{caller:?} {agent}: {status}");
        assert_eq!(status.code(), Code::PermissionDenied);
        let details = <rpc::Status as prost::Message>::decode(status.details()).unwrap();
        assert_eq!(details.error_info().unwrap().reason, "REGISTRATION_DENIED");
        assert!(status.message().contains("a certificate made for the service"), "{}", status.message());
    }
    assert!(rig.client.agent_service("agent-bank-127.0.0.1-50099").await.unwrap().is_some());
}

/// Whatever a registration says of itself, the registry gets text that fits one line and Consul's bounds.
#[tokio::test]
async fn control_characters_and_ten_megabytes_do_not_reach_the_registry() {
    let rig = Rig::start().await;
    let evil = "a\r\nx-injected: 1\0\u{1b}[2J\u{7f}b";
    let huge = "x".repeat(10 << 20);
    let info = AgentInfo {
        agent_id: "echo-agent".to_owned(),
        endpoint: "127.0.0.1:50099".to_owned(),
        name: evil.to_owned(),
        description: huge.clone(),
        capabilities: vec![evil.to_owned(), huge.clone(), "fine".to_owned()],
        detailed_description: format!("{evil}{huge}"),
        use_cases: vec![evil.to_owned(); 1_000],
        version: evil.to_owned(),
        ..AgentInfo::default()
    };
    let answer = rig.services.register_agent(Request::new(info)).await.unwrap().into_inner();
    let entry = rig.client.agent_service(&answer.service_id).await.unwrap().unwrap();
    assert!(entry.meta.len() <= 64);
    for (key, value) in &entry.meta {
        assert!(value.len() <= 512, "{key} has {} bytes", value.len());
        assert!(!value.chars().any(char::is_control), "{key}: {value:?}");
    }
    let mut request = AgentInfo { endpoint: "127.0.0.1:50099".to_owned(), ..AgentInfo::default() };
    for id in ["echo\r\n-agent", "echo\0-agent", "../agent", "echo-agent\n"] {
        request.agent_id = id.to_owned();
        let status = rig.services.register_agent(Request::new(request.clone())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{id:?}");
        assert!(!status.message().chars().any(char::is_control), "{:?}", status.message());
    }
    request.agent_id = "echo-agent".to_owned();
    for endpoint in ["127.0.0.1\r\n:1", "host\0:1", "host/../x:1", "ho st:1"] {
        request.endpoint = endpoint.to_owned();
        let status = rig.services.register_agent(Request::new(request.clone())).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{endpoint:?}");
    }
}

#[tokio::test]
async fn methods_of_backends_are_unimplemented_here() {
    let rig = Rig::start().await;
    let codes = [
        rig.services.execute_task(Request::new(TaskRequest::default())).await.unwrap_err().code(),
        rig.services.stream_task(Request::new(TaskRequest::default())).await.err().unwrap().code(),
        rig.services.get_status(Request::new(StatusRequest::default())).await.unwrap_err().code(),
        rig.services.execute_tool(Request::new(ToolRequest::default())).await.unwrap_err().code(),
        rig.services.process_task(Request::new(TaskRequest::default())).await.unwrap_err().code(),
    ];
    assert_eq!(codes, [Code::Unimplemented; 5]);
}

/// A worker that knows one task, and refuses to be asked for another one by ID.
struct OneTask(&'static str);

#[tonic::async_trait]
impl TaskWorker for OneTask {
    async fn process_task(&self, _: Request<TaskRequest>) -> Result<Response<TaskResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn list_workers(
        &self,
        _: Request<ListWorkersRequest>,
    ) -> Result<Response<ListWorkersResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn get_task_status(
        &self,
        request: Request<TaskStatusRequest>,
    ) -> Result<Response<TaskStatusResponse>, Status> {
        let request = request.into_inner();
        if request.task_id != self.0 {
            return Err(Status::not_found("no such task"));
        }
        let status = format!("known to {}", request.worker_id);
        Ok(Response::new(TaskStatusResponse {
            task_id: request.task_id,
            status,
            ..TaskStatusResponse::default()
        }))
    }
}

async fn worker(task: &'static str) -> (u16, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = Server::builder().add_service(TaskWorkerServer::new(OneTask(task)));
    (port, tokio::spawn(async move { server.serve_with_incoming(incoming).await.unwrap() }))
}

#[tokio::test]
async fn a_task_is_found_at_the_worker_that_knows_it() {
    let rig = Rig::start().await;
    assert_eq!(rig.task("t-1").await.unwrap_err().code(), Code::NotFound, "no worker at all");
    let (first, _first) = worker("t-1").await;
    let (second, _second) = worker("t-2").await;
    rig.register("worker-one", first, |_| {}).await;
    rig.register("worker-two", second, |_| {}).await;
    rig.register("worker-sick", 1, sick).await;
    assert_eq!(rig.task("t-1").await.unwrap().status, "known to one-worker");
    assert_eq!(rig.task("t-2").await.unwrap().status, "known to two-worker");
    assert_eq!(rig.task("t-3").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(rig.task("").await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_worker_that_cannot_be_asked_makes_the_answer_unsure_but_not_slow() {
    let rig = Rig::start().await;
    let (known, _known) = worker("t-1").await;
    rig.register("worker-dead", 1, |_| {}).await;
    rig.register("worker-fine", known, |_| {}).await;
    assert_eq!(rig.task("t-1").await.unwrap().status, "known to fine-worker");
    let status = rig.task("t-2").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("worker-dead"), "{}", status.message());
}

/// Connects to the one socket that it holds.
struct Once(Option<hyper_util::rt::TokioIo<tokio::net::UnixStream>>);

impl tonic::codegen::Service<http::Uri> for Once {
    type Response = hyper_util::rt::TokioIo<tokio::net::UnixStream>;
    type Error = std::io::Error;
    type Future = std::future::Ready<std::io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| std::io::Error::other("connected before")))
    }
}

#[tokio::test]
async fn the_services_answer_on_a_socket_pair_and_reflect_themselves() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let rig = Rig::start().await;
    rig.register("agent-echo", 1, |_| {}).await;
    let (sender, sockets) = mpsc::channel(1);
    let serving = tokio::spawn(serve(rig.services.clone(), sockets, true));
    let (ours, theirs) = UnixStream::pair().unwrap();
    sender.send(theirs).await.unwrap();
    ours.set_nonblocking(true).unwrap();
    let ours = Once(Some(hyper_util::rt::TokioIo::new(tokio::net::UnixStream::from_std(ours).unwrap())));
    let channel =
        tonic::transport::Endpoint::from_static("http://router").connect_with_connector(ours).await.unwrap();

    let mut agents =
        switchboard_proto::agentplatform::agent_service_client::AgentServiceClient::new(channel.clone());
    let listed = agents.list_agents(ListAgentsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.agents[0].agent_id, "echo-agent");

    let question = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::iter([question]))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("a list of services is expected");
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in OWN_SERVICES {
        assert!(names.iter().any(|one| one == name), "{name} in {names:?}");
    }
    serving.abort();
}
