"""List* answers from the registry: every field of the Info messages, and a filter over id, name, capability and tag."""

from processes import eventually
from stubs import pb


def test_an_agent_of_ours_describes_itself(agents):
    (echo,) = agents.ListAgents(pb.ListAgentsRequest(), timeout=5).agents
    for field in ("name", "description", "endpoint", "detailed_description", "how_it_works", "return_format", "version"):
        assert getattr(echo, field), field
    assert echo.capabilities and echo.use_cases


def test_a_tool_names_its_parameters(tools):
    (weather,) = tools.ListTools(pb.ListToolsRequest(), timeout=5).tools
    location = next(parameter for parameter in weather.parameters if parameter.name == "location")
    assert location.type == "string" and location.required and location.description


def test_meta_written_by_hand_is_listed(mesh, agents):
    meta = {
        "name": "Poet: à la main",
        "description": "Writes verse",
        "detailed_description_1": "Long ",
        "detailed_description_2": "text",
        "capabilities": "rhyme,metre",
        "use_cases": "Birthdays|Weddings",
        "how_it_works": "By ear",
        "return_format": "text",
        "version": "v7",
    }
    registered = mesh.consul.register("agent-poet", 9, meta=meta, tags=["agent", "lyric"])
    try:
        # Listed within a second of the registration.
        (poet,) = eventually(1, lambda: agents.ListAgents(pb.ListAgentsRequest(filter="poet"), timeout=5).agents)
        assert poet == pb.AgentInfo(
            agent_id="poet-agent",
            name="Poet: à la main",
            description="Writes verse",
            capabilities=["rhyme", "metre"],
            endpoint="127.0.0.1:9",
            detailed_description="Long text",
            how_it_works="By ear",
            return_format="text",
            use_cases=["Birthdays", "Weddings"],
            version="v7",
        )
        for words, expected in {"metre": 1, "lyric": 1, "main": 1, "": 2, "no-such-thing": 0}.items():
            listed = agents.ListAgents(pb.ListAgentsRequest(filter=words), timeout=5).agents
            assert len(listed) == expected, (words, listed)
    finally:
        mesh.consul.deregister(registered)


def test_a_service_without_a_healthy_instance_is_not_listed(mesh, agents):
    check = {"TCP": "127.0.0.1:1", "Interval": "60s"}
    body = {"ID": "agent-ill-1", "Name": "agent-ill", "Address": "127.0.0.1", "Port": 1, "Check": check}
    mesh.consul.request("PUT", "/v1/agent/service/register", body)
    try:
        assert not agents.ListAgents(pb.ListAgentsRequest(filter="ill-agent"), timeout=5).agents
    finally:
        mesh.consul.deregister("agent-ill-1")
