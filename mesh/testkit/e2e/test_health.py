"""grpc.health.v1 at the one address: of the router itself, and of every client ID."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING


def check(channel, service):
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=5).status


@pytest.mark.parametrize("service", ["", "echo-agent", "weather-tool", "itinerary-worker"])
def test_what_runs_is_serving(channel, service):
    assert check(channel, service) == SERVING


def test_what_is_unknown_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as caught:
        check(channel, "no-such-agent")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_every_router_answers_at_its_own_port(mesh, connect):
    for router in mesh.routers:
        assert check(connect(f"127.0.0.1:{router.grpc}"), "echo-agent") == SERVING
        assert router.get("/readyz") is not None
