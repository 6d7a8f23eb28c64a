"""RegisterAgent and RegisterTool, answered by the router: the endpoint in the message becomes callable."""

import grpc
import pytest

from peers import Agent, Server
from processes import eventually
from status import refused
from stubs import pb, rpc


def test_a_registered_endpoint_becomes_callable_and_is_listed(mesh, agents, connect):
    server = Server(agent=Agent("Registered by call"), service="agent-guest", checked=True)
    info = pb.AgentInfo(
        agent_id="guest-agent",
        name="Guest",
        description="An agent that cannot speak to Consul",
        capabilities=["visit", "leave"],
        endpoint=f"127.0.0.1:{server.port}",
        detailed_description="d" * 1500,
        how_it_works="w",
        return_format="f",
        use_cases=["one", "two"],
        version="v1",
    )
    service_id = None
    try:
        answer = agents.RegisterAgent(info, timeout=5)
        service_id = answer.service_id
        assert answer.success and service_id, answer

        def callable_through_any_router():
            stub = rpc.AgentServiceStub(connect())
            return stub.ExecuteTask(pb.TaskRequest(agent_id="guest-agent", input="x"), timeout=5).success

        # Consul checks it before the first call: once per 5 s.
        eventually(12, callable_through_any_router)
        # A router may have read the list a second ago.
        (listed,) = eventually(2, lambda: agents.ListAgents(pb.ListAgentsRequest(filter="guest"), timeout=5).agents)
        assert listed == info
    finally:
        if service_id:
            mesh.consul.deregister(service_id)
        server.stop()


@pytest.mark.parametrize("endpoint", ["", "nowhere", "127.0.0.1:0", "127.0.0.1:99999"])
def test_an_endpoint_that_is_none_is_refused(agents, endpoint):
    with refused(grpc.StatusCode.INVALID_ARGUMENT):
        agents.RegisterAgent(pb.AgentInfo(agent_id="guest-agent", endpoint=endpoint), timeout=5)


def test_a_tool_can_be_registered_too(mesh, tools):
    server = Server(service="tool-hammer", checked=True)
    answer = tools.RegisterTool(pb.ToolInfo(tool_id="hammer-tool", endpoint=f"127.0.0.1:{server.port}"), timeout=5)
    try:
        assert answer.success
        eventually(12, lambda: mesh.consul.passing("tool-hammer"))
        (hammer,) = eventually(1, lambda: tools.ListTools(pb.ListToolsRequest(filter="hammer"), timeout=5).tools)
        assert hammer.tool_id == "hammer-tool"
    finally:
        mesh.consul.deregister(answer.service_id)
        server.stop()
