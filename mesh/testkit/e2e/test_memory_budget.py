"""A router's memory follows its budget, whatever its clients do not read (complaints 57, 58)."""

import contextlib
import socket
import struct

import grpc
import h2.config
import h2.connection
import h2.settings
import pytest

from peers import Server
from processes import Router, eventually
from security import security
from stubs import pb, rpc

MIB = 1 << 20
READERS = 100
# What a process may take beside the budget: code, threads, the allocator's own.
BESIDE = 64 * MIB
SERVICE = "e2e.Endless"


class Endless:
    """Streams without end; counts what was taken."""

    def __init__(self):
        self.sent = 0

    def handler(self):
        return grpc.method_handlers_generic_handler(SERVICE, {"Flood": grpc.unary_stream_rpc_method_handler(self.flood)})

    def flood(self, request, context):
        while context.is_active():
            yield bytes(64 << 10)
            self.sent += 64 << 10


@contextlib.contextmanager
def endless(mesh):
    service = Endless()
    server = Server(service.handler(), service="e2e-endless", workers=READERS + 10)
    instance = mesh.consul.register("e2e-endless", server.port, meta={"grpc_services": SERVICE})
    try:
        yield service
    finally:
        mesh.consul.deregister(instance)
        server.stop()


@contextlib.contextmanager
def own_router(mesh, name, **env):
    """A router beside the mesh's own: HAProxy sees it too, so it leaves before the test ends."""
    router = Router(mesh.folder, name, mesh.consul)
    router.env.update(env)
    router.start()
    try:
        eventually(20, lambda: "ready" in router.get("/readyz"))
        yield router
    finally:
        router.kill()
        for instance in mesh.consul.passing("router"):
            if instance["Service"]["Port"] == router.grpc:
                mesh.consul.deregister(instance["Service"]["ID"])
        eventually(40, lambda: len(mesh.haproxy.up()) == len(mesh.routers))


def resident(router):
    """Bytes of memory that the process has."""
    with open(f"/proc/{router.child.pid}/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) << 10


def metric(router, name):
    lines = router.get("/metrics").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


def deaf_reader(router):
    """A client that allows everything to be sent, and reads nothing."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    connection.local_settings[h2.settings.SettingCodes.INITIAL_WINDOW_SIZE] = 2**31 - 1
    connection.initiate_connection()
    connection.increment_flow_control_window(2**31 - 1 - 65535)
    fields = [(":method", "POST"), (":scheme", "http"), (":path", f"/{SERVICE}/Flood"), (":authority", "e2e")]
    connection.send_headers(1, [*fields, *security.metadata, ("te", "trailers"), ("content-type", "application/grpc")])
    connection.send_data(1, struct.pack(">BI", 0, 0), end_stream=True)
    client = socket.socket()
    # What the kernels hold is not the router's.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", router.grpc))
    client = security.dial(client)
    client.sendall(connection.data_to_send())
    return client


def steady(probe):
    """Returns when a number has stopped growing."""
    last = [-1]

    def same():
        before, last[0] = last[0], probe()
        return before == last[0]

    eventually(60, same, rest=0.5)


@pytest.mark.parametrize("budget", [None, 32 * MIB])
def test_stalled_readers_cost_what_the_budget_says(mesh, budget):
    env = {} if budget is None else {"SWITCHBOARD_MEMORY_BUDGET": str(budget)}
    with endless(mesh) as service, own_router(mesh, f"budget-{budget}", **env) as router:
        with security.channel(f"127.0.0.1:{router.grpc}") as channel:
            agents = rpc.AgentServiceStub(channel)
            echo = lambda: agents.ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input="x"), timeout=10).output  # noqa: E731
            assert echo() == "Echo: x"
            before = resident(router)
            readers = [deaf_reader(router) for _ in range(READERS)]
            try:
                eventually(30, lambda: service.sent > READERS * (64 << 10) or metric(router, "switchboard_buffered_bytes") > 24 * MIB)
                steady(lambda: service.sent)
                grown = resident(router) - before
                print(f"budget {budget}: {grown / MIB:.1f} MiB for {READERS} stalled readers, {service.sent / MIB:.0f} MiB sent")
                if budget is None:
                    assert grown < READERS * 2 * MIB, grown
                    assert echo() == "Echo: x"
                else:
                    assert metric(router, "switchboard_buffered_bytes") <= budget
                    assert grown < budget + BESIDE, grown
                    assert metric(router, "switchboard_threads_with_shrunk_windows") > 0
            finally:
                for reader in readers:
                    reader.close()
            eventually(20, lambda: metric(router, "switchboard_buffered_bytes") < MIB)
            eventually(10, lambda: echo() == "Echo: x")
