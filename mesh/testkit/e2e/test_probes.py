"""A backend that Consul calls critical though it serves is told apart from one that is dead (complaint 16)."""

import json

import grpc
import pytest

from peers import Agent, Server
from processes import eventually
from stubs import pb, rpc

WRONG, DEAD = "agent-wrong-1", "agent-wrong-2"


@pytest.fixture
def critical(mesh):
    """The address of a server, and one of nobody: both with a check that can only fail."""
    server = Server(agent=Agent("wrong"), service="agent-wrong")
    for service_id, port in [(WRONG, server.port), (DEAD, 1)]:
        check = {"TCP": "127.0.0.1:1", "Interval": "60s"}
        body = {"ID": service_id, "Name": "agent-wrong", "Address": "127.0.0.1", "Port": port, "Check": check}
        mesh.consul.request("PUT", "/v1/agent/service/register", body)
    yield
    for service_id in [WRONG, DEAD]:
        mesh.consul.deregister(service_id)
    server.stop()


def test_what_serves_is_seen_and_still_not_called(mesh, connect, critical):
    router = mesh.routers[0]
    stub = rpc.AgentServiceStub(connect(f"127.0.0.1:{router.grpc}"))

    def call():
        with pytest.raises(grpc.RpcError) as caught:
            stub.ExecuteTask(pb.TaskRequest(agent_id="wrong-agent", input="x"), timeout=10)
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE

    call()

    def probed():
        services = json.loads(router.get("/endpoints"))["services"]
        rows = next(service["instances"] for service in services if service["service"] == "agent-wrong")
        return {row["id"]: (row["status"], row["probe"]["found"]) for row in rows}

    expected = {WRONG: ("critical", "serving"), DEAD: ("critical", "unreachable")}
    eventually(15, lambda: probed() == expected)
    explained = json.loads(router.get("/explain?id=wrong-agent"))
    assert any("SERVING" in row["why"] for row in explained["instances"]), explained
    call()
