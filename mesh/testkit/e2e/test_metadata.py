"""Metadata passes in both directions as it is, text and binary, and so do trailers and a backend's own status."""

import grpc
import pytest
from grpc_status import rpc_status

from peers import own_status

SENT = [
    ("x-e2e-text", "plain value"),
    ("x-e2e-repeated", "one"),
    ("x-e2e-repeated", "two"),
    ("x-e2e-bytes-bin", bytes(range(256))),
    ("x-e2e-empty-bin", b""),
]


def pairs(metadata, prefix):
    return sorted((key, value) for key, value in metadata if key.startswith(prefix))


def test_metadata_goes_there_and_back_in_headers_and_trailers(bytes_method):
    _, call = bytes_method("Metadata").with_call(b"", timeout=5, metadata=SENT)
    assert pairs(call.initial_metadata(), "x-e2e-") == sorted(SENT)
    renamed = [(key.replace("x-e2e-", "x-trailer-"), value) for key, value in SENT]
    assert pairs(call.trailing_metadata(), "x-trailer-") == sorted(renamed)


def test_a_request_id_is_made_or_passed_on(bytes_method):
    seen = bytes_method("Metadata")(b"", timeout=5).decode()
    assert "'x-request-id'" in seen


def test_a_backends_status_and_details_are_not_touched(bytes_method):
    with pytest.raises(grpc.RpcError) as caught:
        bytes_method("Fail")(b"", timeout=5)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert rpc_status.from_call(caught.value) == own_status()


def test_a_status_after_messages_comes_with_its_trailers(bytes_method):
    call = bytes_method("FailLate")(b"", timeout=5)
    assert [next(call) for _ in range(3)] == [b"before"] * 3
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert rpc_status.from_call(caught.value) == own_status()
    assert dict(caught.value.trailing_metadata())["x-trailer-bin"] == b"\x00\xff"
