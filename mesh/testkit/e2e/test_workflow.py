"""The workflow engine behind the same door: submitted, watched, cancelled through HAProxy and routers by grpcio; it calls
agents, tools and workers through the same door, and goes on after kill -9."""

import json
import uuid

import grpc
import pytest

from eventually import eventually
from stubs import goclaw
from workflows import CANCELLED, COMPLETED, ended, pb, result, status, submit, task

streaming, streaming_rpc = goclaw("streaming")

ITINERARY = [
    task("weather", type="tool", target="weather-tool", operation="get_weather", param__location="{{item}}",
         for_each='["Rome","Oslo","Lima"]'),
    task("plan", ["weather"], type="worker", target="itinerary-worker", param__destination="Rome", param__days=2),
    task("say", ["plan"], type="agent", target="echo-agent", input="{{tasks.weather.result[1]}}"),
]


def test_agents_tools_and_workers_are_steps_of_a_workflow(workflows, channel):
    workflow_id = submit(workflows, ITINERARY)
    watch = streaming_rpc.StreamingServiceStub(channel).WatchWorkflow(
        streaming.WatchWorkflowRequest(workflow_id=workflow_id), timeout=60
    )
    updates = list(watch)
    numbers = [update.sequence_number for update in updates]
    assert numbers == sorted(numbers) and updates[-1].status == COMPLETED
    assert {detail.task_id: detail.status for detail in status(workflows, workflow_id).tasks} == dict.fromkeys(
        ("weather", "plan", "say"), pb.TASK_STATUS_COMPLETED
    )
    weather = result(workflows, workflow_id, "weather")
    assert len(weather) == 3
    assert "Oslo" in json.dumps(weather[1])
    assert "Oslo" in json.dumps(result(workflows, workflow_id, "say"))


def test_after_kill_9_in_the_middle_everything_finishes(engine, workflows):
    slow = [task("first", type="agent", target="echo-agent", input="1"),
            task("pause", ["first"], type="sleep", param__duration="2s"),
            task("last", ["pause"], type="agent", target="echo-agent", input="{{tasks.first.result}}")]
    keys = [str(uuid.uuid4()) for _ in range(20)]
    submitted = [submit(workflows, slow, key) for key in keys]
    engine.kill()
    engine.serve()
    eventually(30, lambda: status(workflows, submitted[0]).workflow_id == submitted[0])
    assert [submit(workflows, slow, key) for key in keys] == submitted, "the same keys have the same answers"
    for workflow_id in submitted:
        ended(workflows, workflow_id)
        assert "1" in json.dumps(result(workflows, workflow_id, "last"))


def test_what_is_wrong_is_said_in_the_words_of_the_request(workflows):
    with pytest.raises(grpc.RpcError) as wrong:
        submit(workflows, [task("a", ["b"]), task("b", ["a"])])
    assert wrong.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "a -> b -> a" in wrong.value.details() or "b -> a -> b" in wrong.value.details(), wrong.value.details()
    with pytest.raises(grpc.RpcError) as unknown:
        status(workflows, "no-such-workflow")
    assert unknown.value.code() == grpc.StatusCode.NOT_FOUND


def test_cancel_is_final(workflows):
    workflow_id = submit(workflows, [task("wait", type="sleep", param__duration="1h"), task("never", ["wait"], type="agent", target="echo-agent")])
    assert workflows.CancelWorkflow(pb.CancelWorkflowRequest(workflow_id=workflow_id, force=True), timeout=10).success
    seen = ended(workflows, workflow_id, state=CANCELLED)
    assert all(detail.status == pb.TASK_STATUS_CANCELLED for detail in seen.tasks)


def test_the_same_over_http(engine, workflows):
    tasks = [{"id": "say", "type": "agent", "target": "echo-agent", "input": "hello"}]
    body = {"name": "http", "tasks": tasks, "async": False}
    code, answer = engine.request("POST", "/api/v1/workflows", body, idempotency_key="once")
    assert code == 201, answer
    again = engine.request("POST", "/api/v1/workflows", body, idempotency_key="once")
    assert again[1]["workflow_id"] == answer["workflow_id"]
    code, found = engine.request("GET", f"/api/v1/workflows/{answer['workflow_id']}")
    assert (code, found["status"]) == (200, "WORKFLOW_STATUS_COMPLETED")
    assert "hello" in json.dumps(result(workflows, answer["workflow_id"], "say"))
    code, missing = engine.request("GET", "/api/v1/workflows/nobody")
    assert (code, missing["error"]["code"]) == (404, "NOT_FOUND")


def test_figures_say_what_the_engine_did(engine, workflows):
    ended(workflows, submit(workflows, [task("a")]))
    code, headers, text = engine.fetch(engine.figures, "GET", "/metrics", authorization=None)
    assert code == 200 and headers["content-type"].startswith("text/plain")
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures["workflow_committer_commits_total"]) > 0
    assert engine.fetch(engine.figures, "GET", "/ready")[0] == 200
