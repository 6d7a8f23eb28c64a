"""The router keeps the client's deadline: it passes on what is left of it, and ends the call itself when it is over."""

import time

import h2.errors
import pytest

import wire

DEADLINE_EXCEEDED = "4"


def test_the_backend_gets_the_clients_deadline(bytes_method, bytes_service):
    call = bytes_method("Hang").future(b"", timeout=10)
    assert bytes_service.hanging.wait(5)
    (seen,) = bytes_service.time_remaining
    call.cancel()
    # grpcio itself writes up to 1 % more on the wire; that the router takes some off is measured below.
    assert 9 < seen < 10.1, seen


def test_without_a_deadline_the_router_sets_one_for_a_unary_call(bytes_method, bytes_service):
    call = bytes_method("Hang").future(b"")
    assert bytes_service.hanging.wait(5)
    (seen,) = bytes_service.time_remaining
    call.cancel()
    # Unknown shape (no proto), so it may as well be a stream: no limit, or the default of 300 s.
    assert seen is None or seen > 250


@pytest.fixture(scope="module")
def deaf_server(mesh):
    server = wire.Deaf("tool-deaf")
    registered = mesh.consul.register("tool-deaf", server.port, meta={"grpc_services": "demo.Deaf"})
    yield server
    mesh.consul.deregister(registered)
    server.stop()


@pytest.fixture
def deaf(deaf_server):
    """A backend that lets every deadline pass."""
    deaf_server.reset.clear()
    return deaf_server


def test_the_router_ends_the_call_when_neither_client_nor_backend_does(mesh, deaf):
    begun = time.monotonic()
    answer = wire.call(mesh.target, "/demo.Deaf/Call", b"", [("grpc-timeout", "500m")])
    assert answer.headers.get("grpc-status") == DEADLINE_EXCEEDED, answer
    assert 0.45 < time.monotonic() - begun < 1
    assert wire.error_info(answer.headers).reason == "DEADLINE_EXCEEDED"

    assert deaf.reset.wait(2), "the backend was not told"
    assert deaf.reset_code == h2.errors.ErrorCodes.CANCEL
    passed_on = deaf.headers["grpc-timeout"]
    nanoseconds = int(passed_on[:-1]) * {"n": 1, "u": 10**3, "m": 10**6, "S": 10**9}[passed_on[-1]]
    assert 300e6 < nanoseconds < 500e6, passed_on


def test_a_stream_is_ended_at_its_deadline_with_what_it_sent_before(mesh, deaf):
    answer = wire.call(mesh.target, "/demo.Deaf/Begin", b"", [("grpc-timeout", "500m")])
    assert answer.messages == [b"begun"], answer
    assert answer.trailers["grpc-status"] == DEADLINE_EXCEEDED, answer
    assert wire.error_info(answer.trailers).reason == "DEADLINE_EXCEEDED"
    assert deaf.reset.wait(2), "the backend was not told"
    assert deaf.reset_code == h2.errors.ErrorCodes.CANCEL
