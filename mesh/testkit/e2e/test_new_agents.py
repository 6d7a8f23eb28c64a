"""Starting a backend is enough: it is callable within a second of its registration, and routers are told nothing."""

import time

import grpc
import pytest

from peers import Agent, Server
from processes import eventually
from stubs import pb, rpc


@pytest.fixture
def serve():
    """Starts an agent that knows how to be the service of this name, and registers nothing."""
    servers = []

    def start(service):
        servers.append(Server(agent=Agent("Made by hand"), service=service))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def answers(connect, agent_id):
    """Asks through a new connection, so through another router than the last time."""
    stub = rpc.AgentServiceStub(connect())
    return stub.ExecuteTask(pb.TaskRequest(agent_id=agent_id, input="x"), timeout=5).output == "Made by hand: x"


def test_one_that_nobody_asked_for_before(mesh, connect, serve):
    server = serve("agent-fresh")
    begun = time.monotonic()
    registered = mesh.consul.register("agent-fresh", server.port)
    try:
        for _ in mesh.routers:
            eventually(1, lambda: answers(connect, "fresh-agent"))
        assert time.monotonic() - begun < 1
    finally:
        mesh.consul.deregister(registered)


def test_one_whose_absence_was_remembered(mesh, connect, serve):
    server = serve("agent-awaited")
    for _ in mesh.routers:
        with pytest.raises(grpc.RpcError) as caught:
            answers(connect, "awaited-agent")
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    begun = time.monotonic()
    registered = mesh.consul.register("agent-awaited", server.port)
    try:
        for _ in mesh.routers:
            eventually(1.2, lambda: answers(connect, "awaited-agent"))
        # The memory of an absence lasts one second at most.
        assert time.monotonic() - begun < 1.2
    finally:
        mesh.consul.deregister(registered)


def test_one_that_deregisters_is_gone(mesh, connect, serve):
    server = serve("agent-brief")
    registered = mesh.consul.register("agent-brief", server.port)
    eventually(1, lambda: answers(connect, "brief-agent"))
    mesh.consul.deregister(registered)

    def gone():
        with pytest.raises(grpc.RpcError) as caught:
            answers(connect, "brief-agent")
        return caught.value.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE)

    eventually(10, gone)
