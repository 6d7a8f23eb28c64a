"""Who may do what with the workflow engine, and what it lets be read of those who did."""

import pathlib

import grpc
import pytest

from security import security
from status import refused
from stubs import goclaw
from workflows import ended, pb, rpc, submit, task

admin, admin_rpc = goclaw("admin")

pytestmark = pytest.mark.secure("in the clear form nobody is asked who they are")

UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
HELLO = [task("say", type="agent", target="echo-agent", input="hello")]


@pytest.fixture
def caller(connect, workflows):
    """The connection of somebody who has the role `caller`."""
    return connect(identity="client", token=security.jwt("me", "caller"))


def test_a_caller_runs_workflows(caller):
    stub = rpc.WorkflowServiceStub(caller)
    ended(stub, submit(stub, HELLO))


def test_a_caller_does_not_administer_the_engine_and_an_admin_does(caller, channel):
    calls = [
        ("GetEngineStatus", admin.GetEngineStatusRequest()),
        ("PauseWorkflows", admin.PauseWorkflowsRequest(confirmation=True)),
        ("PurgeWorkflows", admin.PurgeWorkflowsRequest(dry_run=True, age_threshold_hours=1)),
    ]
    for method, request in calls:
        with refused(DENIED):
            getattr(admin_rpc.AdminServiceStub(caller), method)(request, timeout=5)
    assert admin_rpc.AdminServiceStub(channel).GetEngineStatus(admin.GetEngineStatusRequest(), timeout=5)


def test_the_engine_asks_at_its_own_port_too(engine, connect):
    port = f"127.0.0.1:{engine.port}"
    spoofed = [("x-switchboard-principal", "root"), ("x-switchboard-roles", "admin")]
    for metadata in ((), spoofed):
        stub = rpc.WorkflowServiceStub(connect(port, identity=None, token=None))
        with pytest.raises(grpc.RpcError) as caught:
            stub.ListWorkflows(pb.ListWorkflowsRequest(), timeout=5, metadata=metadata)
        assert caught.value.code() == UNAUTHENTICATED, caught.value
    forged = security.stranger("token", "--sub", "me", "--role", "admin")
    with pytest.raises(grpc.RpcError) as caught:
        rpc.WorkflowServiceStub(connect(port, identity=None, token=forged)).ListWorkflows(pb.ListWorkflowsRequest(), timeout=5)
    assert caught.value.code() == UNAUTHENTICATED, caught.value


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
