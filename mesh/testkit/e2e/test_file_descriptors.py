"""A router that has no file descriptors left goes on when it has some again (complaint 61)."""

import socket
import time

from processes import Router, eventually
from security import security
from stubs import pb, rpc

FILES = 64
# The promise is 5 s without descriptors.
EXHAUSTED_SECONDS = 5


def test_accepting_goes_on_after_descriptors_ran_out(mesh):
    router = Router(mesh.folder, "starved", mesh.consul)
    router.argv = ["bash", "-c", f'ulimit -n {FILES}; exec "$0" "$@"', *router.argv]
    router.start()
    held = []
    try:
        eventually(20, lambda: "ready" in router.get("/readyz"))
        with security.channel(f"127.0.0.1:{router.grpc}") as channel:
            echo = lambda: rpc.AgentServiceStub(channel).ExecuteTask(  # noqa: E731
                pb.TaskRequest(agent_id="echo-agent", input="x"), timeout=10
            )
            assert echo().output == "Echo: x"
            # The kernel takes them all; the router cannot.
            held = [socket.create_connection(("127.0.0.1", router.grpc)) for _ in range(3 * FILES)]
            until = time.monotonic() + EXHAUSTED_SECONDS
            # The connection that it has goes on working meanwhile.
            eventually(EXHAUSTED_SECONDS + 5, lambda: echo().output == "Echo: x" and time.monotonic() > until, rest=0.2)
        for connection in held:
            connection.close()
        with security.channel(f"127.0.0.1:{router.grpc}") as channel:
            stub = rpc.AgentServiceStub(channel)
            request = pb.TaskRequest(agent_id="echo-agent", input="again")
            assert stub.ExecuteTask(request, timeout=10, wait_for_ready=True).output == "Echo: again"
    finally:
        for connection in held:
            connection.close()
        router.kill()
        for instance in mesh.consul.passing("router"):
            if instance["Service"]["Port"] == router.grpc:
                mesh.consul.request("PUT", f"/v1/agent/service/deregister/{instance['Service']['ID']}")
        eventually(40, lambda: len(mesh.haproxy.up()) == len(mesh.routers))
