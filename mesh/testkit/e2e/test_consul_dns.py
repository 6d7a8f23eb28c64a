"""A router whose registry answers by DNS only routes by what DNS says, and goes back to HTTP by itself."""

import contextlib
import json
import socket
import threading
import types

import grpc
import pytest

from processes import Router, eventually, free_port
from security import security
from stubs import pb, rpc


class Forwarder:
    """TCP from one port to another, in threads, until it is stopped."""

    def __init__(self, port, to):
        self.to, self.listener = to, socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self.to))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def copy(source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def stop(self):
        self.listener.close()


@pytest.fixture
def lost(mesh, tmp_path):
    """A router to which Consul's HTTP API is a closed port."""
    port = free_port()
    router = Router(tmp_path, "dns", types.SimpleNamespace(url=f"{security.scheme}://127.0.0.1:{port}"))
    router.env["SWITCHBOARD_CONSUL_DNS"] = f"127.0.0.1:{mesh.consul.dns}"
    router.start()
    yield router, port
    router.kill()
    for entry in mesh.consul.request("GET", "/v1/health/service/router"):
        if entry["Service"]["Port"] == router.grpc:
            mesh.consul.deregister(entry["Service"]["ID"])
    mesh.wait_until_complete()


def registry(router):
    return json.loads(router.get("/endpoints"))["registry"]


def test_services_are_found_by_dns_while_http_is_lost(mesh, lost):
    router, port = lost
    eventually(10, lambda: router.get("/readyz") == "ready\n")
    with security.channel(f"127.0.0.1:{router.grpc}") as channel:
        agents, tools = rpc.AgentServiceStub(channel), rpc.ToolServiceStub(channel)
        task = pb.TaskRequest(agent_id="echo-agent", input="x")
        answers = [agents.ExecuteTask(task, timeout=10, wait_for_ready=True) for _ in range(20)]
        assert all(answer.output == "Echo: x" for answer in answers)
        weather = pb.ToolRequest(tool_id="weather-tool", operation="get_weather", parameters={"location": "Rome"})
        assert tools.ExecuteTool(weather, timeout=10).success
        assert registry(router)["source"] == "dns" and not registry(router)["reachable"]
        known = json.loads(router.get("/endpoints"))["services"]
        echoes = next(service for service in known if service["service"] == "agent-echo")
        assert {instance["address"] for instance in echoes["instances"]} == {
            f"127.0.0.1:{echo.port}" for echo in mesh.echoes
        }
        assert "switchboard_registry_source_dns 1" in router.get("/metrics")

        # DNS cannot say that a name does not exist.
        with pytest.raises(grpc.RpcError) as error:
            agents.ExecuteTask(pb.TaskRequest(agent_id="nobody-agent", input="x"), timeout=10)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "DNS names no healthy instance" in error.value.details()

        forwarder = Forwarder(port, mesh.consul.http)
        try:
            eventually(60, lambda: registry(router)["source"] == "http", rest=0.2)
            # With HTTP comes what DNS does not know.
            of_echo = lambda: next(
                service["instances"]
                for service in json.loads(router.get("/endpoints"))["services"]
                if service["service"] == "agent-echo"
            )
            eventually(60, lambda: all(row["version"] for row in of_echo() if row["healthy"]), rest=0.2)
            assert agents.ExecuteTask(task, timeout=10).output == "Echo: x"
            assert "switchboard_registry_source_dns 0" in router.get("/metrics")
        finally:
            forwarder.stop()
    said = router.log.read_text()
    assert said.count("looked up by the registry's DNS") == 1
    assert said.count("looked up by the registry's HTTP API again") == 1
