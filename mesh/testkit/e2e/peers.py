"""Backends in Python that the router knows nothing of: an agent of the contract, and a service of its own proto-less
kind whose messages are plain bytes."""

import concurrent.futures
import threading

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from security import security
from stubs import pb, rpc

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Agent(rpc.AgentServiceServicer):
    """An agent of two methods."""

    def __init__(self, words):
        self.words = words

    def ExecuteTask(self, request, context):
        return pb.TaskResponse(task_id=request.task_id, output=f"{self.words}: {request.input}", success=True)

    def GetStatus(self, request, context):
        return pb.StatusResponse(agent_id=request.agent_id, status="healthy")


class Bytes:
    """A service whose messages are bytes. Records what it sees, for the tests to compare."""

    def __init__(self):
        self.hanging = threading.Event()
        self.cancelled = threading.Event()
        self.time_remaining = []
        self.metadata_seen = []

    def handler(self, service):
        methods = {
            "Unary": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Collect": grpc.stream_unary_rpc_method_handler(self.collect),
            "Count": grpc.unary_stream_rpc_method_handler(self.count),
            "Hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "HangStream": grpc.unary_stream_rpc_method_handler(self.hang_stream),
            "Metadata": grpc.unary_unary_rpc_method_handler(self.metadata),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "FailLate": grpc.unary_stream_rpc_method_handler(self.fail_late),
        }
        return grpc.method_handlers_generic_handler(service, methods)

    def chat(self, requests, context):
        for request in requests:
            yield b"echo:" + request

    def collect(self, requests, context):
        sizes = [len(request) for request in requests]
        return f"{len(sizes)} messages, {sum(sizes)} bytes".encode()

    def count(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def hang(self, request, context):
        gone = threading.Event()
        self.time_remaining.append(context.time_remaining())
        context.add_callback(gone.set)
        self.hanging.set()
        gone.wait(60)
        self.cancelled.set()
        return b"late"

    def hang_stream(self, request, context):
        yield b"begun"
        yield self.hang(request, context)

    def metadata(self, request, context):
        """Sends the caller's `x-e2e-*` metadata back: as it came in the headers, under another name in the trailers."""
        self.metadata_seen = list(map(tuple, context.invocation_metadata()))
        seen = [(key, value) for key, value in self.metadata_seen if key.startswith("x-e2e-")]
        context.send_initial_metadata(seen)
        context.set_trailing_metadata([(key.replace("x-e2e-", "x-trailer-"), value) for key, value in seen])
        return repr(sorted(dict(context.invocation_metadata()))).encode()

    def fail(self, request, context):
        context.abort_with_status(rpc_status.to_status(own_status()))

    def fail_late(self, request, context):
        for _ in range(3):
            yield b"before"
        status = rpc_status.to_status(own_status())
        context.set_trailing_metadata([*status.trailing_metadata, ("x-trailer-bin", b"\x00\xff")])
        context.abort(status.code, status.details)


def own_status():
    """A status with details as a backend makes it; the router must not touch it."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason="OUT_OF_TEA", domain="e2e.test", metadata={"pot": "ü"}))
    return status_pb2.Status(code=grpc.StatusCode.FAILED_PRECONDITION.value[0], message="no tea: ü%", details=[detail])


class Server:
    """A grpcio server on a free port. `handlers` are generic handlers, `agent` serves the contract's AgentService.

    `service` is whose certificate it has, `checked` says that Consul's health check has to get in.
    """

    def __init__(self, *handlers, service, agent=None, workers=16, checked=False):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(workers), options=UNLIMITED)
        if handlers:
            self.server.add_generic_rpc_handlers(handlers)
        if agent:
            rpc.add_AgentServiceServicer_to_server(agent, self.server)
        # Registrations by call are checked by gRPC health.
        serving = health.HealthServicer()
        serving.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(serving, self.server)
        self.port = security.listen(self.server, service, checked=checked)
        self.server.start()

    def stop(self):
        self.server.stop(0).wait()
