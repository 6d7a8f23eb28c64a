"""The one mesh that all tests share, and clients for it. A test that breaks something repairs it before it ends."""

import pytest

from peers import UNLIMITED, Bytes, Server
from processes import Mesh, eventually
from security import SECURE, security
from stubs import rpc
from workflows import Engine
from workflows import pb as workflow_pb
from workflows import rpc as workflow_rpc

# Found by the name of its gRPC service, as any service is that says so in its meta.
BYTES_SERVICE = "demo.EchoBidi"


@pytest.fixture(scope="session")
def mesh(tmp_path_factory):
    mesh = Mesh(tmp_path_factory.mktemp("mesh"))
    try:
        mesh.start()
        yield mesh
    except BaseException:
        print(mesh.tails())
        raise
    finally:
        mesh.stop()


@pytest.fixture
def connect(mesh):
    """Makes channels that are connections of their own: HAProxy gives each to the next router in turn."""
    channels = []

    def make(target=None, **credentials):
        options = [*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)]
        channels.append(security.channel(target or mesh.target, options, **credentials))
        return channels[-1]

    yield make
    for channel in channels:
        channel.close()


@pytest.fixture
def channel(connect):
    return connect()


@pytest.fixture
def agents(channel):
    return rpc.AgentServiceStub(channel)


@pytest.fixture
def tools(channel):
    return rpc.ToolServiceStub(channel)


@pytest.fixture
def workers(channel):
    return rpc.TaskWorkerStub(channel)


@pytest.fixture(scope="session")
def engine(mesh, tmp_path_factory):
    """The workflow engine, from the first test that asks for it: those before count who is in the mesh."""
    engine = Engine(mesh, tmp_path_factory.mktemp("workflow"))
    try:
        yield engine.serve()
    except BaseException:
        print(engine.tail())
        raise
    finally:
        engine.kill()


@pytest.fixture
def workflows(engine, channel):
    stub = workflow_rpc.WorkflowServiceStub(channel)
    # A router that never heard of the service learns of it within a second.
    eventually(10, lambda: stub.ListWorkflows(workflow_pb.ListWorkflowsRequest(), timeout=5) is not None)
    return stub


@pytest.fixture(scope="session")
def bytes_server():
    service = Bytes()
    server = Server(service.handler(BYTES_SERVICE), service="demo-echo-bidi")
    yield service, server
    server.stop()


@pytest.fixture
def bytes_service(mesh, bytes_server):
    """A service of no known proto, registered in Consul directly; only its meta says what it serves."""
    service, server = bytes_server
    # Again for each test: it does not notice by itself when Consul forgets it.
    mesh.consul.register("demo-echo-bidi", server.port, meta={"grpc_services": BYTES_SERVICE})
    for router in mesh.routers:
        with security.channel(f"127.0.0.1:{router.grpc}") as channel:
            # A router that saw it vanish remembers that for a second.
            eventually(2, lambda: channel.unary_unary(f"/{BYTES_SERVICE}/Unary")(b"x", timeout=5))
    service.hanging.clear()
    service.cancelled.clear()
    service.time_remaining.clear()
    return service


@pytest.fixture
def bytes_method(channel, bytes_service):
    """Calls a method of that service: bytes_method("Unary")(b"...", timeout=5)."""
    shapes = {"Chat": channel.stream_stream, "Collect": channel.stream_unary}
    shapes |= dict.fromkeys(("Count", "HangStream", "FailLate"), channel.unary_stream)
    return lambda name: shapes.get(name, channel.unary_unary)(f"/{BYTES_SERVICE}/{name}")


def pytest_collection_modifyitems(items):
    """Skips what makes no sense in the form that runs, with the reason that the test gives."""
    for item in items:
        other = item.get_closest_marker("clear" if SECURE else "secure")
        if other:
            item.add_marker(pytest.mark.skip(reason=other.args[0]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Adds the end of every process's log to the report of a failed test."""
    report = yield
    given = item.funcargs if hasattr(item, "funcargs") else {}
    if report.when == "call" and report.failed:
        if "mesh" in given:
            report.sections.append(("mesh", given["mesh"].tails()))
        if "engine" in given:
            report.sections.append(("engine", given["engine"].tail()))
    return report
