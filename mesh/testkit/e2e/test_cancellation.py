"""A client's cancel reaches the backend, before the first answer and in the middle of a stream."""

import time

import grpc
import pytest

# The complaint about peers is that it never arrives; across four local hops it takes milliseconds.
LIMIT = 2


def test_before_the_first_answer(bytes_method, bytes_service):
    call = bytes_method("Hang").future(b"", timeout=30)
    assert bytes_service.hanging.wait(5)
    begun = time.monotonic()
    call.cancel()
    assert bytes_service.cancelled.wait(LIMIT), "the backend was not told"
    assert time.monotonic() - begun < LIMIT
    with pytest.raises(grpc.FutureCancelledError):
        call.result()


def test_in_the_middle_of_a_stream(bytes_method, bytes_service):
    call = bytes_method("HangStream")(b"", timeout=30)
    assert next(call) == b"begun"
    assert bytes_service.hanging.wait(5)
    call.cancel()
    assert bytes_service.cancelled.wait(LIMIT), "the backend was not told"


def test_a_connection_that_goes_away_is_a_cancel(connect, bytes_service):
    channel = connect()
    call = channel.unary_unary("/demo.EchoBidi/Hang").future(b"", timeout=30)
    assert bytes_service.hanging.wait(5)
    channel.close()
    assert bytes_service.cancelled.wait(LIMIT), "the backend was not told"
    assert call.cancelled() or call.exception()
