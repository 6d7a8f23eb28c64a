"""A call that cannot be routed says why and what to do, in words and in google.rpc.ErrorInfo."""

import grpc
import pytest

from status import error_info, refused
from stubs import pb

NOT_FOUND, UNAVAILABLE = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNAVAILABLE
INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT


def call(agents, agent_id, **options):
    return agents.ExecuteTask(pb.TaskRequest(agent_id=agent_id, input="x"), timeout=10, **options)


def test_an_unknown_id_gets_the_nearest_known_ones(agents):
    with refused(NOT_FOUND, "ehco-agent", "echo-agent", reason="ID_UNKNOWN") as caught:
        call(agents, "ehco-agent")
    info = error_info(caught.value)
    assert "echo-agent" in info.metadata["nearest"]


def test_a_known_id_without_a_healthy_instance_is_service_not_found(mesh, agents):
    check = {"TCP": "127.0.0.1:1", "Interval": "60s"}
    body = {"ID": "agent-ill-1", "Name": "agent-ill", "Address": "127.0.0.1", "Port": 1, "Check": check}
    mesh.consul.request("PUT", "/v1/agent/service/register", body)
    try:
        with refused(UNAVAILABLE, "Service not found", "agent-ill") as caught:
            call(agents, "ill-agent")
        assert error_info(caught.value).metadata["service"] == "agent-ill"
    finally:
        mesh.consul.deregister("agent-ill-1")


@pytest.mark.parametrize(
    ("agent_id", "reason"),
    [
        ("", "ID_MISSING"),
        ("a" * 64, "ID_ILL_FORMED"),
        ("a" * 500, "ID_TOO_LONG"),
        ("Echo-agent", "ID_ILL_FORMED"),
        ("../agent", "ID_ILL_FORMED"),
        ("écho-agent", "ID_ILL_FORMED"),
    ],
)
def test_an_id_that_is_none_is_refused(agents, agent_id, reason):
    with refused(INVALID_ARGUMENT, reason=reason):
        call(agents, agent_id)


def test_header_and_body_must_agree(agents):
    same = call(agents, "echo-agent", metadata=[("x-switchboard-target", "echo-agent")])
    assert same.output == "Echo: x"
    with refused(INVALID_ARGUMENT, "echo-agent", "other-agent", reason="ID_MISMATCH"):
        call(agents, "echo-agent", metadata=[("x-switchboard-target", "other-agent")])


def test_a_grpc_service_that_nobody_offers_is_unimplemented(channel):
    with refused(grpc.StatusCode.UNIMPLEMENTED, "demo.Nobody"):
        channel.unary_unary("/demo.Nobody/Call")(b"", timeout=5)


def test_a_task_that_no_worker_knows_is_not_found(workers):
    with refused(NOT_FOUND, "worker_id"):
        workers.GetTaskStatus(pb.TaskStatusRequest(task_id="no-such-task"), timeout=10)
