//! Whose workflows are whose, where callers are known: others' do not exist.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MethodDescriptor, Value};
use switchboard_backend::{Backend, ListenAt, Mode, PolicySettings, RegistryConfig, Running};
use switchboard_proto::{
    BytesCodec, DESCRIPTOR_SET,
    goclaw::v1::{
        CreateScheduleRequest, GetScheduleRequest, GetWorkflowStatusRequest, ListSagasRequest,
        ListSchedulesRequest, ListWorkflowsRequest, ListWorkflowsResponse, PaginationRequest, ScheduleSpec,
        SubmitWorkflowRequest, TaskDefinition, UpdateConfigRequest, WatchWorkflowRequest, WorkflowFilter,
        admin_service_client::AdminServiceClient, saga_service_client::SagaServiceClient,
        schedule_service_client::ScheduleServiceClient, streaming_service_client::StreamingServiceClient,
        workflow_service_client::WorkflowServiceClient,
    },
    rpc,
};
use switchboard_testkit::eventually;
use tempfile::TempDir;
use tokio_stream::StreamExt;
use tonic::{
    Code, Request, Status,
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    metadata::MetadataMap,
    transport::{Channel, Endpoint},
};
use workflow_store::{MemoryStore, Store};
use workflow_worker::{
    api::{Api, Services, Settings},
    http,
};

use crate::scene::{PATIENCE, Scene, call, noop, reason, workflow};

/// An engine that asks for tokens: those of ann, an admin, and of ben and eve.
pub(crate) struct Locked {
    scene: Scene,
    pub(crate) channel: Channel,
    /// The same over HTTP.
    web: SocketAddr,
    _running: Running,
    _tokens: TempDir,
}

fn token(name: &str) -> String {
    format!("0123456789abcdef-{name}")
}

pub(crate) fn by<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", token(name)).parse().unwrap());
    request
}

impl Locked {
    pub(crate) async fn start(store: Arc<dyn Store>, settings: Settings) -> Self {
        switchboard_backend::install_crypto();
        let scene = Scene::with(store, Settings::default()).await;
        let directory = tempfile::tempdir().unwrap();
        let tokens = directory.path().join("tokens.toml");
        let entries = [("ann", "admin"), ("ben", "caller"), ("eve", "caller")].map(|(name, role)| {
            format!("[[tokens]]\ntoken = \"{}\"\nname = \"{name}\"\nroles = [\"{role}\"]\n", token(name))
        });
        std::fs::write(&tokens, entries.concat()).unwrap();
        let policy = PolicySettings { mode: Mode::Any, tokens: Some(tokens), ..PolicySettings::default() };
        let backend = Backend::worker("workflow")
            .listen("127.0.0.1:0".parse().unwrap())
            .registry(RegistryConfig::at("127.0.0.1:9").unwrap())
            .policy(policy)
            .listener(http::listener(
                scene.engine.clone(),
                ListenAt::Port(0),
                http::Settings::default(),
                Arc::default(),
            ));
        let api = Api::start(scene.engine.clone(), settings).await.unwrap();
        let running = Services::new(api).add_to(backend).start().await.unwrap();
        let address = format!("http://{}", running.addr());
        let channel = Endpoint::from_shared(address).unwrap().connect().await.unwrap();
        let web = running.listener("http").unwrap();
        Self { scene, channel, web, _running: running, _tokens: directory }
    }

    fn workflows(&self) -> WorkflowServiceClient<Channel> {
        WorkflowServiceClient::new(self.channel.clone())
    }

    async fn submit(&self, name: &str, request: SubmitWorkflowRequest) -> String {
        self.workflows().submit_workflow(by(name, request)).await.unwrap().into_inner().workflow_id
    }

    async fn list(&self, name: &str, request: ListWorkflowsRequest) -> Result<ListWorkflowsResponse, Status> {
        Ok(self.workflows().list_workflows(by(name, request)).await?.into_inner())
    }

    /// Identifiers and the total count of what somebody sees.
    async fn seen(&self, name: &str, filter: WorkflowFilter) -> (Vec<String>, i32) {
        let request = ListWorkflowsRequest { filter: Some(filter), ..ListWorkflowsRequest::default() };
        let list = self.list(name, request).await.unwrap();
        let ids = list.workflows.into_iter().map(|one| one.workflow_id).collect();
        (ids, list.pagination.unwrap().total_count)
    }

    /// What somebody gets over HTTP, with its status.
    async fn get(&self, name: &str, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let request = client.get(format!("http://{}{path}", self.web)).bearer_auth(token(name));
        let answer = request.header("x-request-id", "the-same").send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Calls any method with one message: what it answers first, or its status.
    async fn call(
        &self,
        name: &str,
        method: &MethodDescriptor,
        message: &DynamicMessage,
    ) -> Result<DynamicMessage, Status> {
        let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let mut request = by(name, tokio_stream::once(Bytes::from(message.encode_to_vec())));
        request.metadata_mut().insert("x-request-id", "the-same".parse().unwrap());
        let path = PathAndQuery::try_from(path).unwrap();
        let mut answers = client.streaming(request, path, BytesCodec).await?.into_inner();
        let first = answers.next().await.unwrap_or(Err(Status::unknown("nothing was answered")))?;
        Ok(DynamicMessage::decode(method.output(), first).unwrap())
    }
}

/// Fills the fields that every request of these methods needs, and those that name a workflow. `false` if none does.
fn fill(message: &mut DynamicMessage, fields: impl Iterator<Item = FieldDescriptor>, id: &str) -> bool {
    let mut names_one = false;
    for field in fields {
        let value = match field.name() {
            "workflow_id" | "saga_id" | "schedule_id" => Value::String(id.to_owned()),
            "workflow_ids" => Value::List(vec![Value::String(id.to_owned())]),
            "task_id" | "name" => {
                message.set_field(&field, Value::String("a".to_owned()));
                continue;
            }
            // INTERRUPT of SignalTask.
            "type" => {
                message.set_field(&field, Value::EnumNumber(2));
                continue;
            }
            _ => continue,
        };
        names_one = true;
        message.set_field(&field, value);
    }
    names_one
}

/// What of an answer a client can tell apart.
fn told(answer: Result<DynamicMessage, Status>, id: &str) -> String {
    match answer {
        Ok(message) => message.to_string().replace(id, "ID"),
        Err(status) => {
            let details = rpc::Status::decode(status.details()).unwrap();
            let metadata = MetadataMap::into_headers(status.metadata().clone());
            let last = metadata.get("x-last-sequence");
            format!("{:?} {} {details:?} {last:?}", status.code(), status.message()).replace(id, "ID")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_tells_another_principals_workflow_from_one_that_is_none() {
    let locked = Locked::start(Arc::new(MemoryStore::default()), Settings::default()).await;
    let running = locked.submit("ben", workflow([call("a", "hold", &[])])).await;
    locked.scene.held("a").await;
    let ended = locked.submit("ben", workflow([noop("a")])).await;
    locked.scene.until(&ended, switchboard_proto::goclaw::v1::WorkflowStatus::Completed).await;
    let before = locked.scene.status(&running).await;
    let daily = CreateScheduleRequest {
        schedule_id: "daily".to_owned(),
        spec: Some(ScheduleSpec {
            interval_ms: 86_400_000,
            workflow: Some(workflow([noop("a")])),
            ..ScheduleSpec::default()
        }),
        ..CreateScheduleRequest::default()
    };
    let mut schedules = ScheduleServiceClient::new(locked.channel.clone());
    schedules.create_schedule(by("ben", daily)).await.unwrap();

    let pool = DescriptorPool::decode(DESCRIPTOR_SET).unwrap();
    // Those of administrators and of workers ask for more than a name; submissions bring a name of their own.
    let others = ["AdminService", "OperatorService", "WorkerService"];
    let (mut asked, mut without) = (0, Vec::new());
    for service in pool.services() {
        if service.package_name() != "goclaw.v1" || others.contains(&service.name()) {
            continue;
        }
        for method in service.methods() {
            let mut message = DynamicMessage::new(method.input());
            let fields = || method.input().fields().collect::<Vec<_>>().into_iter();
            let makes = ["Submit", "Create"].iter().any(|verb| method.name().starts_with(verb));
            if makes || !fill(&mut message, fields(), "none") {
                without.push(method.name().to_owned());
                continue;
            }
            let none = told(locked.call("eve", &method, &message).await, "none");
            assert!(none.contains("NOT_FOUND") || none.contains("NotFound"), "{}: {none}", method.name());
            let ids = match service.name() {
                "ScheduleService" => vec!["daily"],
                _ => vec![running.as_str(), ended.as_str()],
            };
            for id in ids {
                fill(&mut message, fields(), id);
                let hidden = told(locked.call("eve", &method, &message).await, id);
                assert_eq!(hidden, none, "{}", method.name());
            }
            asked += 1;
        }
    }
    without.sort();
    let makes_and_lists = [
        "CreateSchedule",
        "ListSagas",
        "ListSchedules",
        "ListWorkflows",
        "SubmitSaga",
        "SubmitWorkflow",
        "SubmitWorkflows",
    ];
    assert_eq!(without, makes_and_lists);
    assert!(asked >= 23, "{asked}");
    let get = |name, id: &str| by(name, GetScheduleRequest { schedule_id: id.to_owned() });
    assert_eq!(schedules.get_schedule(get("ben", "daily")).await.unwrap().into_inner().runs_total, 0);
    assert_eq!(locked.scene.status(&running).await, before, "nothing happened to it");

    let ask = |id: &str| GetWorkflowStatusRequest { workflow_id: id.to_owned(), ..Default::default() };
    let all = by("eve", ListSchedulesRequest::default());
    assert_eq!(schedules.list_schedules(all).await.unwrap().into_inner().pagination.unwrap().total_count, 0);
    for (name, id) in [("ben", &running), ("ann", &running), ("ann", &ended)] {
        let status = locked.workflows().get_workflow_status(by(name, ask(id))).await.unwrap().into_inner();
        assert_eq!(status.owner, "ben");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_their_counts_show_ones_own_also_after_a_restart() {
    let store = Arc::new(MemoryStore::default());
    let mut locked = Locked::start(store.clone(), Settings::default()).await;
    let child = TaskDefinition { workflow: Some(workflow([call("c", "hold", &[])])), ..noop("start") };
    let team = |request: SubmitWorkflowRequest| SubmitWorkflowRequest {
        attributes: [("team".to_owned(), "north".to_owned())].into(),
        ..request
    };
    let of_ben = locked.submit("ben", team(workflow([child]))).await;
    locked.scene.held("c").await;
    locked.submit("ben", team(workflow([noop("a")]))).await;
    let of_eve = locked.submit("eve", team(workflow([noop("a")]))).await;
    locked.scene.until(&of_eve, switchboard_proto::goclaw::v1::WorkflowStatus::Completed).await;

    for restarted in [false, true] {
        if restarted {
            let engine = locked.scene.engine.clone();
            tokio::task::spawn_blocking(move || engine.stop()).await.unwrap();
            locked = Locked::start(store.clone(), Settings::default()).await;
            locked.scene.held("c").await;
        }
        let all = WorkflowFilter::default();
        let north = WorkflowFilter {
            attributes: [("team".to_owned(), "north".to_owned())].into(),
            ..WorkflowFilter::default()
        };
        let named = WorkflowFilter { name_prefix: "tr".to_owned(), ..WorkflowFilter::default() };
        let children = WorkflowFilter { parent_workflow_id: of_ben.clone(), ..WorkflowFilter::default() };
        let by_id = WorkflowFilter { workflow_ids: vec![of_ben.clone()], ..WorkflowFilter::default() };
        for (filter, ben, eve) in [(all, 3, 1), (north, 2, 1), (named, 3, 1), (children, 1, 0), (by_id, 1, 0)]
        {
            for (name, expected) in [("ben", ben), ("eve", eve), ("ann", ben + eve)] {
                let (ids, count) = locked.seen(name, filter.clone()).await;
                assert_eq!((ids.len(), count), (expected as usize, expected), "{name} {filter:?}");
                assert!(name != "eve" || ids.iter().all(|id| *id == of_eve), "{ids:?}");
            }
        }
        let page = |page_token: &str| ListWorkflowsRequest {
            pagination: Some(PaginationRequest { page_size: 1, page_token: page_token.to_owned() }),
            ..ListWorkflowsRequest::default()
        };
        let token = locked.list("ben", page("")).await.unwrap().pagination.unwrap().next_page_token;
        assert_eq!(locked.list("ben", page(&token)).await.unwrap().workflows.len(), 1);
        let foreign = locked.list("eve", page(&token)).await.unwrap_err();
        assert_eq!(foreign.code(), Code::InvalidArgument);
        let mut sagas = SagaServiceClient::new(locked.channel.clone());
        let sagas = sagas.list_sagas(by("eve", ListSagasRequest::default())).await.unwrap().into_inner();
        assert_eq!(sagas.pagination.unwrap().total_count, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_and_on_the_page_others_workflows_do_not_exist_either() {
    let locked = Locked::start(Arc::new(MemoryStore::default()), Settings::default()).await;
    let id = locked.submit("ben", workflow([call("a", "hold", &[])])).await;
    let paths = ["/api/v1/workflows/ID", "/api/v1/workflows/ID/history", "/api/v1/workflows/ID/events"];
    for path in paths.into_iter().chain(["/api/v1/workflows/ID/logs", "/ui/workflows/ID"]) {
        let of = |id: &str| path.replace("ID", id);
        let (status, hidden) = locked.get("eve", &of(&id)).await;
        let (_, none) = locked.get("eve", &of("none")).await;
        assert_eq!((status, hidden.replace(&id, "none")), (404, none), "{path}");
    }
    for path in ["/api/v1/workflows", "/ui"] {
        let (of_eve, of_ben) = (locked.get("eve", path).await, locked.get("ben", path).await);
        assert_eq!((of_eve.0, of_eve.1.contains(&id)), (200, false), "{path}: {}", of_eve.1);
        assert_eq!((of_ben.0, of_ben.1.contains(&id)), (200, true), "{path}: {}", of_ben.1);
    }
    let (status, shown) = locked.get("ann", &format!("/api/v1/workflows/{id}")).await;
    assert_eq!((status, shown.contains("\"owner\":\"ben\"")), (200, true), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_principals_streams_leave_room_for_those_of_others() {
    let settings = Settings { max_streams: 4, max_streams_per_principal: 2, ..Settings::default() };
    let locked = Locked::start(Arc::new(MemoryStore::default()), settings).await;
    let of_ben = locked.submit("ben", workflow([call("a", "hold", &[])])).await;
    let of_eve = locked.submit("eve", workflow([call("b", "hold", &[])])).await;
    let watch = async |name: &str, id: &str| {
        let request = WatchWorkflowRequest { workflow_id: id.to_owned(), ..Default::default() };
        let mut client = StreamingServiceClient::new(locked.channel.clone());
        client.watch_workflow(by(name, request)).await.map(tonic::Response::into_inner)
    };
    let mut open = vec![watch("ben", &of_ben).await.unwrap(), watch("ben", &of_ben).await.unwrap()];
    let refused = watch("ben", &of_ben).await.unwrap_err();
    let (why, facts) = reason(&refused);
    assert_eq!((refused.code(), why.as_str()), (Code::ResourceExhausted, "TOO_MANY_STREAMS"));
    assert_eq!(facts["max"], "2");
    let wait = rpc::Status::decode(refused.details()).unwrap().retry_after();
    assert!(wait.is_some_and(|wait| !wait.is_zero()), "{refused:?}");
    for _ in 0..2 {
        open.push(watch("eve", &of_eve).await.unwrap());
    }
    let more = [("streaming.max_streams_per_principal".to_owned(), "3".to_owned())];
    let more = UpdateConfigRequest { config_updates: more.into(), ..UpdateConfigRequest::default() };
    AdminServiceClient::new(locked.channel.clone()).update_config(by("ann", more)).await.unwrap();
    assert!(watch("ben", &of_ben).await.unwrap_err().message().contains("4 streams are open"));
    let all = watch("ann", &of_ben).await.unwrap_err();
    assert_eq!((reason(&all).0.as_str(), all.message().contains('4')), ("TOO_MANY_STREAMS", true), "{all}");
    open.remove(0);
    let again = async || watch("ben", &of_ben).await.map(drop);
    eventually(PATIENCE, again).await.unwrap();
}
