"""HAProxy in front: routers appear by themselves, connections are spread, and its pages tell the state."""

import grpc
import pytest

from stubs import pb, rpc


def test_three_routers_are_up_without_any_configuration(mesh):
    rows = mesh.haproxy.routers()
    assert len(rows) == 10
    assert len(mesh.haproxy.up()) == 3


def test_connections_go_to_all_routers_in_turn(mesh, connect):
    before = {row["svname"]: int(row["stot"]) for row in mesh.haproxy.routers()}
    for _ in range(9):
        stub = rpc.AgentServiceStub(connect())
        assert stub.ExecuteTask(pb.TaskRequest(agent_id="echo-agent"), timeout=5).success
    after = {row["svname"]: int(row["stot"]) for row in mesh.haproxy.routers()}
    assert [after[name] - before[name] for name in mesh.haproxy.up()] == [3, 3, 3]


def test_the_ops_port_has_statistics_metrics_and_health(mesh):
    assert mesh.haproxy.get("/healthz")[0] == 200
    assert "Statistics Report" in mesh.haproxy.get("/")[1]
    status, metrics = mesh.haproxy.get("/metrics")
    assert status == 200 and 'haproxy_server_status{proxy="routers"' in metrics


def test_a_message_that_is_no_grpc_does_not_take_a_router_down(mesh, connect):
    with pytest.raises(grpc.RpcError):
        connect().unary_unary("/")(b"", timeout=5)
    assert len(mesh.haproxy.up()) == 3
