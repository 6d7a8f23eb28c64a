"""A gRPC service that the router has no proto of: found by its name in the meta of whoever registered it, or by header."""

import grpc

from conftest import BYTES_SERVICE
from peers import Bytes, Server
from status import refused


def test_it_is_found_by_its_grpc_service_name(bytes_method):
    assert bytes_method("Unary")(b"any bytes \x00\xff", timeout=5) == b"any bytes \x00\xff"


def test_it_is_found_by_header_without_any_meta(mesh, channel):
    server = Server(Bytes().handler("demo.Blob"), service="tool-blob")
    registered = mesh.consul.register("tool-blob", server.port)
    try:
        call = channel.unary_unary("/demo.Blob/Unary")
        assert call(b"by header", timeout=5, metadata=[("x-switchboard-target", "blob-tool")]) == b"by header"
        with refused(grpc.StatusCode.UNIMPLEMENTED, "demo.Blob"):
            call(b"without", timeout=5)
    finally:
        mesh.consul.deregister(registered)
        server.stop()


def test_a_second_server_of_the_service_takes_calls_too(mesh, bytes_method):
    other = Bytes()
    server = Server(other.handler(BYTES_SERVICE), service="demo-echo-bidi")
    registered = mesh.consul.register("demo-echo-bidi", server.port, meta={"grpc_services": BYTES_SERVICE})
    try:
        # Both instances answer; how they share is the balancer's test, not this one.
        call = bytes_method("Unary")
        assert [call(b"%d" % number, timeout=5) for number in range(50)] == [b"%d" % number for number in range(50)]
    finally:
        mesh.consul.deregister(registered)
        server.stop()
