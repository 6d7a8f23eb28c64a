"""Every method of the three services answers by ID, through HAProxy and any router."""

import json

from stubs import pb


def test_execute_task(agents):
    request = pb.TaskRequest(task_id="t1", agent_id="echo-agent", input="hello", parameters={"k": "v"}, session_id="s")
    answer = agents.ExecuteTask(request, timeout=5)
    assert answer.output == "Echo: hello"
    assert (answer.task_id, answer.success, answer.error, answer.session_id) == ("t1", True, "", "s")
    assert dict(answer.metadata) == {"k": "v"}


def test_an_id_without_a_kind_takes_the_kind_of_the_method(agents):
    assert agents.ExecuteTask(pb.TaskRequest(agent_id="echo", input="short"), timeout=5).output == "Echo: short"


def test_stream_task(agents):
    chunks = list(agents.StreamTask(pb.TaskRequest(task_id="t2", agent_id="echo-agent", input="one two three"), timeout=5))
    assert [(chunk.content, chunk.is_final) for chunk in chunks] == [("one", False), ("two", False), ("three", True)]
    assert {chunk.task_id for chunk in chunks} == {"t2"}


def test_get_status(agents):
    status = agents.GetStatus(pb.StatusRequest(agent_id="echo-agent"), timeout=5)
    assert (status.agent_id, status.status, status.active_tasks) == ("echo-agent", "healthy", 0)
    assert status.uptime_seconds < 3600
    assert "echo" in status.capabilities


def test_execute_tool(tools):
    request = pb.ToolRequest(tool_id="weather-tool", operation="get_weather", parameters={"location": "Paris"}, session_id="s")
    answer = tools.ExecuteTool(request, timeout=5)
    assert answer.success and not answer.error and answer.session_id == "s", answer
    assert "Paris" in json.loads(answer.result)["location"]

    request = pb.ToolRequest(tool_id="weather-tool", operation="get_forecast", parameters={"location": "Oslo", "days": "4"})
    assert len(json.loads(tools.ExecuteTool(request, timeout=5).result)["days"]) == 4


def test_execute_tool_says_in_words_what_is_missing(tools):
    answer = tools.ExecuteTool(pb.ToolRequest(tool_id="weather-tool", operation="get_weather"), timeout=5)
    assert not answer.success
    assert "Location parameter is required" in answer.error


def test_process_task_and_its_status(workers):
    parameters = {"destination": "Rome", "days": "2", "interests": "food,art"}
    request = pb.TaskRequest(task_id="trip-1", agent_id="itinerary-worker", parameters=parameters)
    answer = workers.ProcessTask(request, timeout=20)
    assert answer.success and "Rome" in answer.output, answer
    # The worker asked weather-tool, through HAProxy and a router.
    assert answer.metadata["weather"] == "forecast", answer.metadata

    status = workers.GetTaskStatus(pb.TaskStatusRequest(task_id="trip-1", worker_id="itinerary-worker"), timeout=5)
    assert (status.task_id, status.status, status.result) == ("trip-1", "completed", answer.output)


def test_lists(agents, tools, workers):
    assert [agent.agent_id for agent in agents.ListAgents(pb.ListAgentsRequest(), timeout=5).agents] == ["echo-agent"]
    assert [tool.tool_id for tool in tools.ListTools(pb.ListToolsRequest(), timeout=5).tools] == ["weather-tool"]
    found = workers.ListWorkers(pb.ListWorkersRequest(), timeout=5).workers
    assert [worker.worker_id for worker in found] == ["itinerary-worker"]
