"""What a failed call says: its code, its words, and google.rpc.ErrorInfo from grpc-status-details-bin."""

import contextlib

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def error_info(error):
    """The ErrorInfo of a failed call; fails when there is none."""
    status = rpc_status.from_call(error)
    assert status, f"no status details: {error}"
    assert status.code == error.code().value[0]
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return info
    raise AssertionError(f"no ErrorInfo in {status}")


@contextlib.contextmanager
def refused(code, *words, reason=None):
    """Expects a call to fail with `code`, with `words` in its message and an ErrorInfo, which is then checked."""
    with pytest.raises(grpc.RpcError) as caught:
        yield caught
    error = caught.value
    assert error.code() == code, error
    for word in words:
        assert word in error.details(), error.details()
    info = error_info(error)
    assert info.domain and info.reason == info.reason.upper(), info
    if reason:
        assert info.reason == reason
