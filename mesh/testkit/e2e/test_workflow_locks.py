"""Who may do what with the workflow engine, and what it lets be read of those who did."""

import http.client
import pathlib
import urllib.request

import grpc
import pytest

from security import security
from status import refused
from stubs import goclaw
from workflows import FAILED, ended, pb, rpc, status, submit, task

admin, admin_rpc = goclaw("admin")
operator, operator_rpc = goclaw("operator")

pytestmark = pytest.mark.secure("in the clear form nobody is asked who they are")

UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
NOT_FOUND = grpc.StatusCode.NOT_FOUND
HELLO = [task("say", type="agent", target="echo-agent", input="hello")]


@pytest.fixture
def somebody(connect, workflows):
    """Connections of people who have the role `caller`."""
    return lambda name: connect(identity="client", token=security.jwt(name, "caller"))


@pytest.fixture
def caller(somebody):
    return somebody("me")


def bearer(name, *roles):
    return {"authorization": f"Bearer {security.jwt(name, *roles)}"}


def test_a_caller_runs_workflows_that_only_he_and_an_admin_see(caller, somebody, workflows):
    stub, other = rpc.WorkflowServiceStub(caller), rpc.WorkflowServiceStub(somebody("you"))
    workflow_id = submit(stub, HELLO)
    ended(stub, workflow_id)
    for reader, sees in ((stub, True), (workflows, True), (other, False)):
        found = reader.ListWorkflows(pb.ListWorkflowsRequest(), timeout=5)
        assert (workflow_id in [summary.workflow_id for summary in found.workflows]) == sees
    assert status(workflows, workflow_id).workflow_id == workflow_id
    with refused(NOT_FOUND):
        status(other, workflow_id)
    with refused(NOT_FOUND):
        other.CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=workflow_id), timeout=5)


def test_the_engine_calls_nobody_for_whom_the_owner_may_not_call(somebody):
    stub = rpc.WorkflowServiceStub(somebody("mallory"))
    workflow_id = submit(stub, HELLO)
    failed = ended(stub, workflow_id, state=FAILED)
    assert "PERMISSION_DENIED" in str(failed) and "mallory" in str(failed), failed
    ended(stub, submit(stub, [task("rain", type="tool", target="weather-tool", operation="get_weather", param__location="Rome")]))


def test_a_caller_does_not_administer_the_engine_and_an_admin_does(caller, channel):
    calls = [
        ("GetEngineStatus", admin.GetEngineStatusRequest()),
        ("PauseWorkflows", admin.PauseWorkflowsRequest(confirmation=True)),
        ("PurgeWorkflows", admin.PurgeWorkflowsRequest(dry_run=True, age_threshold_hours=1)),
    ]
    for method, request in calls:
        with refused(DENIED):
            getattr(admin_rpc.AdminServiceStub(caller), method)(request, timeout=5)
    with refused(DENIED):
        operator_rpc.OperatorServiceStub(caller).ListLanes(operator.ListLanesRequest(), timeout=5)
    operator_rpc.OperatorServiceStub(channel).ListLanes(operator.ListLanesRequest(), timeout=5)
    assert admin_rpc.AdminServiceStub(channel).GetEngineStatus(admin.GetEngineStatusRequest(), timeout=5)


def test_the_engine_asks_at_its_own_port_too(engine, connect):
    port = f"127.0.0.1:{engine.port}"
    spoofed = [("x-switchboard-principal", "root"), ("x-switchboard-roles", "admin")]
    for metadata in ((), spoofed):
        stub = rpc.WorkflowServiceStub(connect(port, identity=None, token=None))
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListWorkflows(pb.ListWorkflowsRequest(), timeout=5, metadata=metadata)
        assert caught.value.code() == UNAUTHENTICATED, caught.value
    refusals = [line for line in engine.log.read_text().splitlines() if "refused" in line and 'stage="auth"' in line]
    assert refusals and all("source=127.0.0.1" in line for line in refusals), refusals
    forged = security.stranger("token", "--sub", "me", "--role", "admin")
    with pytest.raises(grpc.RpcError) as caught:
        rpc.WorkflowServiceStub(connect(port, identity=None, token=forged)).ListWorkflows(pb.ListWorkflowsRequest(), timeout=5)
    assert caught.value.code() == UNAUTHENTICATED, caught.value


def test_http_asks_for_credentials_as_grpc_does(engine, workflows):
    one = {"name": "http", "tasks": [{"id": "a"}], "async": False}
    code, headers, text = engine.fetch(engine.http, "POST", "/api/v1/workflows", one, authorization=None)
    assert code == 401 and headers["www-authenticate"].startswith("Bearer"), text
    forged = security.stranger("token", "--sub", "me", "--role", "admin")
    assert engine.request("POST", "/api/v1/workflows", one, authorization=f"Bearer {forged}")[0] == 401
    code, made = engine.request("POST", "/api/v1/workflows", one, **bearer("me", "caller"))
    assert code == 201, made
    path = f"/api/v1/workflows/{made['workflow_id']}"
    assert engine.request("GET", path, **bearer("me", "caller"))[0] == 200
    assert engine.request("GET", path, **bearer("you", "caller"))[0] == 404
    assert engine.request("GET", "/api/v1/admin/status", **bearer("me", "caller"))[0] == 403
    assert engine.request("GET", "/api/v1/admin/status")[0] == 200
    assert engine.fetch(engine.http, "GET", "/health", authorization=None)[0] == 200
    for port in (engine.http, engine.figures):
        # The connection ends, or what comes is an alert of TLS.
        with pytest.raises((OSError, http.client.HTTPException)):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)


def test_credentials_are_kept_nowhere(engine, workflows):
    ended(workflows, submit(workflows, HELLO))
    secrets = [security.token, security.read("client.token").decode().strip(), security.read("worker-workflow.jwt").decode()]
    secrets += [security.tokens["worker-workflow"]]
    places = [file for file in engine.data.rglob("*") if file.is_file()]
    assert places
    places += [engine.log, pathlib.Path(f"/proc/{engine.child.pid}/cmdline")]
    for place in places:
        found = [secret[:8] for secret in secrets if secret.encode() in place.read_bytes()]
        assert not found, f"{place} has a secret that begins with {found}"
