"""The workflow engine behind the same door: submitted, watched, cancelled through HAProxy and routers by grpcio; it calls
agents, tools and workers through the same door, and goes on after kill -9."""

import json
import urllib.error
import urllib.request
import uuid

import grpc
import pytest

from eventually import eventually
from processes import Backend, free_port
from security import security
from stubs import goclaw

pb, rpc = goclaw("workflow")
streaming, streaming_rpc = goclaw("streaming")

pytestmark = pytest.mark.clear("the engine's certificate and tokens are not part of the secure mesh yet")

COMPLETED, CANCELLED = pb.WORKFLOW_STATUS_COMPLETED, pb.WORKFLOW_STATUS_CANCELLED


class Engine(Backend):
    """The engine, with its data in a directory of its own."""

    def __init__(self, mesh, folder):
        door = f"{security.scheme}://{mesh.target}"
        super().__init__(folder, "workflow-worker", 1, mesh.consul, SWITCHBOARD_ROUTER=door)
        self.mesh = mesh
        self.http = free_port()
        self.argv += ["--data", str(folder / "data"), "--http", f"127.0.0.1:{self.http}"]

    def request(self, method, path, body=None, **headers):
        """Status and document of a request."""
        data = None if body is None else json.dumps(body).encode()
        headers = {name.replace("_", "-"): value for name, value in {"content_type": "application/json", **headers}.items()}
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def serve(self):
        self.start()
        eventually(30, lambda: len(self.mesh.consul.passing("worker-workflow")) == 1)
        return self


@pytest.fixture(scope="module")
def engine(mesh, tmp_path_factory):
    engine = Engine(mesh, tmp_path_factory.mktemp("workflow")).serve()
    try:
        yield engine
    except BaseException:
        print(engine.tail())
        raise
    finally:
        engine.kill()


@pytest.fixture
def workflows(engine, channel):
    stub = rpc.WorkflowServiceStub(channel)
    # A router that never heard of the service learns of it within a second.
    eventually(10, lambda: stub.ListWorkflows(pb.ListWorkflowsRequest(), timeout=5) is not None)
    return stub


def task(id, after=(), **metadata):
    """A task as a client has it that knows the origin's contract only: everything is in its metadata."""
    return pb.TaskDefinition(id=id, dependencies=after, metadata={key.replace("__", "."): str(value) for key, value in metadata.items()})


def submit(stub, tasks, key=None):
    metadata = [("idempotency-key", key)] if key else []
    return stub.SubmitWorkflow(pb.SubmitWorkflowRequest(name="e2e", tasks=tasks), timeout=10, metadata=metadata).workflow_id


def status(stub, workflow_id):
    return stub.GetWorkflowStatus(pb.GetWorkflowStatusRequest(workflow_id=workflow_id), timeout=10)


def ended(stub, workflow_id, limit=30, state=COMPLETED):
    def look():
        try:
            return status(stub, workflow_id).status == state
        except grpc.RpcError as error:
            # The engine is on its way back.
            assert error.code() == grpc.StatusCode.UNAVAILABLE, error
            return False

    eventually(limit, look)
    return status(stub, workflow_id)


def result(stub, workflow_id, task_id):
    answer = stub.GetTaskResult(pb.GetTaskResultRequest(workflow_id=workflow_id, task_id=task_id), timeout=10)
    return json.loads(answer.result_data)


ITINERARY = [
    task("weather", type="tool", target="weather-tool", operation="get_weather", param__location="{{item}}",
         for_each='["Rome","Oslo","Lima"]'),
    task("plan", ["weather"], type="worker", target="itinerary-worker", param__destination="Rome", param__days=2),
    task("say", ["plan"], type="agent", target="echo-agent", input="{{tasks.weather.result[1]}}"),
]


def test_agents_tools_and_workers_are_steps_of_a_workflow(workflows, channel):
    workflow_id = submit(workflows, ITINERARY)
    watch = streaming_rpc.StreamingServiceStub(channel).WatchWorkflow(
        streaming.WatchWorkflowRequest(workflow_id=workflow_id), timeout=60
    )
    updates = list(watch)
    numbers = [update.sequence_number for update in updates]
    assert numbers == sorted(numbers) and updates[-1].status == COMPLETED
    assert {detail.task_id: detail.status for detail in status(workflows, workflow_id).tasks} == dict.fromkeys(
        ("weather", "plan", "say"), pb.TASK_STATUS_COMPLETED
    )
    weather = result(workflows, workflow_id, "weather")
    assert len(weather) == 3
    assert "Oslo" in json.dumps(weather[1])
    assert "Oslo" in json.dumps(result(workflows, workflow_id, "say"))


def test_after_kill_9_in_the_middle_everything_finishes(engine, workflows):
    slow = [task("first", type="agent", target="echo-agent", input="1"),
            task("pause", ["first"], type="sleep", param__duration="2s"),
            task("last", ["pause"], type="agent", target="echo-agent", input="{{tasks.first.result}}")]
    keys = [str(uuid.uuid4()) for _ in range(20)]
    submitted = [submit(workflows, slow, key) for key in keys]
    engine.kill()
    engine.serve()
    eventually(30, lambda: status(workflows, submitted[0]).workflow_id == submitted[0])
    assert [submit(workflows, slow, key) for key in keys] == submitted, "the same keys have the same answers"
    for workflow_id in submitted:
        ended(workflows, workflow_id)
        assert "1" in json.dumps(result(workflows, workflow_id, "last"))


def test_what_is_wrong_is_said_in_the_words_of_the_request(workflows):
    with pytest.raises(grpc.RpcError) as wrong:
        submit(workflows, [task("a", ["b"]), task("b", ["a"])])
    assert wrong.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "a -> b -> a" in wrong.value.details() or "b -> a -> b" in wrong.value.details(), wrong.value.details()
    with pytest.raises(grpc.RpcError) as unknown:
        status(workflows, "no-such-workflow")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


def test_cancel_is_final(workflows):
    workflow_id = submit(workflows, [task("wait", type="sleep", param__duration="1h"), task("never", ["wait"], type="agent", target="echo-agent")])
    assert workflows.CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=workflow_id, force=True), timeout=10).success
    seen = ended(workflows, workflow_id, state=CANCELLED)
    assert all(detail.status == pb.TASK_STATUS_CANCELLED for detail in seen.tasks)


def test_the_same_over_http(engine, workflows):
    tasks = [{"id": "say", "type": "agent", "target": "echo-agent", "input": "hello"}]
    body = {"name": "http", "tasks": tasks, "async": False}
    code, answer = engine.request("POST", "/api/v1/workflows", body, idempotency_key="once")
    assert code == 201, answer
    again = engine.request("POST", "/api/v1/workflows", body, idempotency_key="once")
    assert again[1]["workflow_id"] == answer["workflow_id"]
    code, found = engine.request("GET", f"/api/v1/workflows/{answer['workflow_id']}")
    assert (code, found["status"]) == (200, "WORKFLOW_STATUS_COMPLETED")
    assert "hello" in json.dumps(result(workflows, answer["workflow_id"], "say"))
    code, missing = engine.request("GET", "/api/v1/workflows/nobody")
    assert (code, missing["error"]["code"]) == (404, "NOT_FOUND")
