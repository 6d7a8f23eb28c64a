"""Both ends of one gRPC call without a gRPC library, which would keep the deadline by itself."""

import base64
import dataclasses
import socket
import struct
import threading

import h2.config
import h2.connection
import h2.events
from google.rpc import error_details_pb2, status_pb2

from security import security

LIMIT = 10


@dataclasses.dataclass
class Answer:
    """An answer as it was on the wire. One without messages has all it says in `headers` (trailers-only)."""

    headers: dict = dataclasses.field(default_factory=dict)
    messages: list = dataclasses.field(default_factory=list)
    trailers: dict = dataclasses.field(default_factory=dict)


def call(target, path, message, metadata=(), source=None):
    """Sends one message, from the address `source` if there is one, and reads the answer to its end."""
    host, port = target.split(":")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    answer, body, ended = Answer(), b"", False
    with security.dial(socket.create_connection((host, int(port)), timeout=LIMIT, source_address=source)) as stream:
        connection.initiate_connection()
        headers = [(":method", "POST"), (":scheme", security.scheme), (":path", path), (":authority", target)]
        headers += [("te", "trailers"), ("content-type", "application/grpc"), *security.metadata, *metadata]
        connection.send_headers(1, headers)
        connection.send_data(1, struct.pack(">BI", 0, len(message)) + message, end_stream=True)
        while not ended:
            stream.sendall(connection.data_to_send())
            data = stream.recv(65536)
            assert data, f"the connection was closed after {answer}"
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    answer.headers = dict(event.headers)
                elif isinstance(event, h2.events.TrailersReceived):
                    answer.trailers = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    ended = True
                elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
                    raise AssertionError(f"{event} after {answer}")
    while body:
        _, length = struct.unpack(">BI", body[:5])
        answer.messages.append(body[5 : 5 + length])
        body = body[5 + length :]
    return answer


def error_info(fields):
    """The ErrorInfo in `grpc-status-details-bin`."""
    text = fields["grpc-status-details-bin"]
    status = status_pb2.Status.FromString(base64.b64decode(text + "=" * (-len(text) % 4)))
    info = error_details_pb2.ErrorInfo()
    assert status.details and status.details[0].Unpack(info), status
    return info


class Deaf:
    """A server that never ends a call, whatever its deadline. `/…/Begin` gets one message first."""

    def __init__(self, service):
        self.service = service
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.headers = {}
        self.reset_code = None
        self.reset = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def stop(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        with security.accept(stream, self.service) as stream:
            stream.sendall(connection.data_to_send())
            while data := stream.recv(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self.headers = dict(event.headers)
                        if self.headers[":path"].endswith("/Begin"):
                            fields = [(":status", "200"), ("content-type", "application/grpc")]
                            connection.send_headers(event.stream_id, fields)
                            connection.send_data(event.stream_id, struct.pack(">BI", 0, 5) + b"begun")
                    elif isinstance(event, h2.events.StreamReset):
                        self.reset_code = event.error_code
                        self.reset.set()
                stream.sendall(connection.data_to_send())
