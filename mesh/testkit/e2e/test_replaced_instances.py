"""Six instances are replaced by six others under load (complaints row 1): two seconds later only the new ones are called,
and no call fails."""

import time

import grpc
import pytest

from peers import Agent, Server
from processes import eventually
from stubs import pb, rpc
from test_outages import Load

COUNT = 6


@pytest.fixture
def servers():
    servers = {f"{age}-{number}": None for age in ("old", "new") for number in range(COUNT)}
    for name in servers:
        servers[name] = Server(agent=Agent(name), service="agent-swapped", workers=4)
    yield servers
    for server in servers.values():
        server.stop()


class Calls(Load):
    """Calls from one connection per router, and remembers when each began and who answered."""

    def __init__(self, connect, routers):
        super().__init__(connect, routers, rest=0.005)
        self.done = []

    def run(self, channel, rest):
        stub = rpc.AgentServiceStub(channel)
        while not self.stop.wait(rest):
            begun = time.monotonic()
            try:
                answer = stub.ExecuteTask(pb.TaskRequest(agent_id="swapped-agent", input="x"), timeout=5)
                self.done.append((begun, answer.output.split(":")[0]))
            except grpc.RpcError as error:
                self.failures.append((begun, str(error)))

    def by(self, since=0.0):
        return {name for begun, name in list(self.done) if begun >= since}


def test_only_the_new_ones_are_called_two_seconds_after_the_change(mesh, connect, servers):
    old, new = ({name for name in servers if name.startswith(age)} for age in ("old", "new"))
    register = lambda names: {name: mesh.consul.register("agent-swapped", servers[name].port) for name in sorted(names)}
    registered = register(old)
    try:
        with Calls(connect, len(mesh.routers)) as calls:
            eventually(10, lambda: calls.by() == old)
            registered |= register(new)
            for name in old:
                mesh.consul.deregister(registered.pop(name))
            changed = time.monotonic()
            # All six: those who join start slowly, and none is left out.
            eventually(15, lambda: calls.by(changed + 2) == new)
            eventually(15, lambda: len([begun for begun, _ in list(calls.done) if begun >= changed + 2]) >= 500)
        assert calls.failures == []
        assert calls.by(changed + 2) == new
        late = max((begun - changed for begun, name in calls.done if name in old), default=0.0)
        print(f"{len(calls.done)} calls, 0 failed; the last one to an old instance began {late * 1000:.0f} ms after the change")
    finally:
        for service_id in registered.values():
            mesh.consul.deregister(service_id)
