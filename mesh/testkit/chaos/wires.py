"""HTTP/2 frames by hand, for clients that no library would be."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(**values):
    ids = {"window": INITIAL_WINDOW_SIZE}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", ids[key], value) for key, value in values.items()))


def window_update(stream, bytes_more):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", bytes_more))


def block(path, **more):
    """A header block of a gRPC call without indexing, so that it is the same for every stream."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "chaos", "te": "trailers"}
    fields |= {"content-type": "application/grpc"} | more
    text = lambda value: bytes([len(value)]) + value.encode()  # noqa: E731 all are shorter than 127 bytes
    return b"".join(b"\x00" + text(key) + text(value) for key, value in fields.items())


def message(payload):
    return struct.pack(">BI", 0, len(payload)) + payload


def call(stream, path, payload):
    """A complete unary request, or the beginning of a server's stream."""
    return frame(HEADERS, END_HEADERS, stream, block(path)) + frame(DATA, END_STREAM, stream, message(payload))


def connect(target, *, limit=5, receive_buffer=None):
    host, port = target.split(":")
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(limit)
    connection.connect((host, int(port)))
    return connection
