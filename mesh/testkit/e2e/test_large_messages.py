"""20 MiB in one message, in both directions: the router has no message limit of its own and holds none whole."""

import hashlib
import random

from peers import Bytes, Server
from stubs import pb

SIZE = 20 << 20


def payload():
    return random.Random(7).randbytes(SIZE)


def test_through_a_service_found_by_name(bytes_method):
    sent = payload()
    received = bytes_method("Unary")(sent, timeout=60)
    assert len(received) == SIZE and hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()


def test_through_the_target_header(mesh, channel):
    server = Server(Bytes().handler("demo.Blob"), service="tool-parcel")
    registered = mesh.consul.register("tool-parcel", server.port)
    try:
        sent = payload()
        call = channel.unary_unary("/demo.Blob/Unary")
        received = call(sent, timeout=60, metadata=[("x-switchboard-target", "parcel-tool")])
        assert len(received) == SIZE and hashlib.sha256(received).digest() == hashlib.sha256(sent).digest()
    finally:
        mesh.consul.deregister(registered)
        server.stop()


def test_through_a_method_whose_first_message_names_the_agent(agents):
    # The ID is field 2, the bulk is field 3: the router reads the one without waiting for the other. Our backends
    # take 16 MiB.
    words = random.Random(7).randbytes(6 << 20).hex()
    answer = agents.ExecuteTask(pb.TaskRequest(agent_id="echo-agent", input=words), timeout=60)
    assert answer.output == f"Echo: {words}"
