"""What dies costs next to nothing: an instance, a router, and the registry itself, each killed with SIGKILL under load."""

import os
import threading
import time

import grpc
import pytest

from processes import eventually
from stubs import pb, rpc

# The promise is 30 s; shorter while working on the suite.
OUTAGE_SECONDS = float(os.environ.get("SWITCHBOARD_E2E_OUTAGE_SECONDS", "30"))


class Load:
    """Calls in a loop from several connections, and remembers every failure with its time."""

    def __init__(self, connect, connections, rest=0.02):
        self.stop = threading.Event()
        self.failures = []
        self.calls = 0
        self.lock = threading.Lock()
        channels = [connect() for _ in range(connections)]
        self.threads = [threading.Thread(target=self.run, args=(channel, rest)) for channel in channels]

    def run(self, channel, rest):
        agents, tools = rpc.AgentServiceStub(channel), rpc.ToolServiceStub(channel)
        weather = pb.ToolRequest(tool_id="weather-tool", operation="get_weather", parameters={"location": "Rome"})
        while not self.stop.wait(rest):
            try:
                assert agents.ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input="x"), timeout=5).output == "Echo: x"
                assert tools.ExecuteTool(weather, timeout=5).success
            except (grpc.RpcError, AssertionError) as error:
                with self.lock:
                    self.failures.append((time.monotonic(), str(error)))
            with self.lock:
                self.calls += 2

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def wait_for(self, calls):
        """Returns when that many more calls have ended."""
        goal = self.calls + calls
        eventually(30, lambda: self.calls >= goal)


@pytest.fixture
def repaired(mesh):
    """The mesh is complete again after the test."""
    yield
    for process in mesh.processes:
        if not process.running:
            process.start()
    mesh.wait_until_complete(120)


def test_a_killed_instance_costs_no_call_after_the_first(mesh, connect, repaired):
    channels = [connect() for _ in mesh.routers]
    stubs = [rpc.AgentServiceStub(channel) for channel in channels]

    def calls(count):
        """Calls each router in turn, one call at a time; returns what failed."""
        failed = []
        for number in range(count):
            try:
                request = pb.TaskRequest(agent_id="echo-agent", input="x")
                assert stubs[number % len(stubs)].ExecuteTask(request, timeout=5).output == "Echo: x"
            except grpc.RpcError as error:
                failed.append((number, str(error)))
        return failed

    # Long enough that every router has a connection to both instances.
    assert calls(60) == []
    mesh.echoes[0].kill()
    failed = calls(300)
    assert len(failed) <= 1, failed
    assert not failed or failed[0][0] == 0, failed


def test_a_killed_router_costs_nobody_else_anything(mesh, connect, repaired):
    # Connections of their own for every call: none may be sent to the dead.
    mesh.routers[0].kill()
    for _ in range(30):
        stub = rpc.AgentServiceStub(connect())
        assert stub.ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input="x"), timeout=5).output == "Echo: x"
    eventually(30, lambda: len(mesh.haproxy.up()) == 2)


def test_a_router_that_comes_back_takes_connections_again(mesh, connect, repaired):
    mesh.routers[1].kill()
    eventually(30, lambda: len(mesh.haproxy.up()) == 2)
    mesh.routers[1].start()
    eventually(30, lambda: len(mesh.haproxy.up()) == 3)
    for _ in range(6):
        assert rpc.AgentServiceStub(connect()).GetStatus(pb.StatusRequest(agent_id="echo-agent"), timeout=5).status


def test_consul_killed_costs_nothing_and_comes_back_empty_unnoticed(mesh, connect, repaired):
    with Load(connect, connections=3) as load:
        load.wait_for(60)
        mesh.consul.kill()
        outage_ends = time.monotonic() + OUTAGE_SECONDS
        # New connections work as well: HAProxy keeps the routers it knew.
        while time.monotonic() < outage_ends:
            stub = rpc.AgentServiceStub(connect())
            assert stub.ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input="x"), timeout=5).output == "Echo: x"
            load.wait_for(20)
        mesh.consul.wipe()
        mesh.consul.start()
        # Everybody notices that the registry forgot them and registers again, under load.
        mesh.wait_until_complete(60)
        load.wait_for(60)
    assert load.failures == [], load.failures[:5]
    assert load.calls > 200
