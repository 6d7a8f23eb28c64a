"""The router keeps the client's deadline: it passes on what is left of it, and ends the call itself when it is over."""

import time

import grpc

from status import refused


def test_the_backend_sees_less_time_than_the_client_gave(bytes_method, bytes_service):
    call = bytes_method("Hang").future(b"", timeout=10)
    assert bytes_service.hanging.wait(5)
    (seen,) = bytes_service.time_remaining
    call.cancel()
    assert 9 < seen < 9.999, seen


def test_without_a_deadline_the_router_sets_one_for_a_unary_call(bytes_method, bytes_service):
    call = bytes_method("Hang").future(b"")
    assert bytes_service.hanging.wait(5)
    (seen,) = bytes_service.time_remaining
    call.cancel()
    # Unknown shape (no proto), so it may as well be a stream: no limit, or the default of 300 s.
    assert seen is None or seen > 250


def test_the_router_ends_the_call_when_the_client_does_not(bytes_method, bytes_service):
    # Written as a header, the timeout is on the wire but the client's own library knows nothing of it.
    begun = time.monotonic()
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED"):
        bytes_method("Hang")(b"", metadata=[("grpc-timeout", "500m")])
    assert 0.4 < time.monotonic() - begun < 1.5
    assert bytes_service.cancelled.wait(2), "the backend was not told"


def test_a_stream_is_ended_at_its_deadline_with_what_it_sent_before(bytes_method, bytes_service):
    call = bytes_method("HangStream")(b"", metadata=[("grpc-timeout", "500m")])
    assert next(call) == b"begun"
    with refused(grpc.StatusCode.DEADLINE_EXCEEDED, reason="DEADLINE_EXCEEDED"):
        next(call)
    assert bytes_service.cancelled.wait(2), "the backend was not told"
