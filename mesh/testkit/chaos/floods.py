"""One hostile client beside a good one, at the same router (complaint 59, and the issue's list of floods)."""

import random
import statistics
import struct
import threading
import time

from scenarios import scenario
from wires import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    block,
    call,
    connect,
    frame,
    settings,
    window_update,
)

ECHO = "/agentplatform.AgentService/ExecuteTask"
FRAMES = 50_000
# A hostile client that was cut off comes back ten times a second.
RECONNECT = 0.1
# The promise: what one client may cost in memory.
GROWTH_MIB = 64


def _resets():
    pairs = (
        frame(HEADERS, END_HEADERS, stream, block(ECHO)) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
        for stream in range(1, 2 * 5_000, 2)
    )
    return b"".join(pairs)


def _bomb():
    """One entry of 4,000 bytes in the HPACK table, then thousands of references to it in one block of 16 KiB."""
    value = b"x" * 4_000
    # Literal with indexing, new name; lengths above 126 continue in the next bytes.
    length = bytes([0x7F, (len(value) - 127) % 128 | 0x80, (len(value) - 127) // 128])
    entry = b"\x40\x01a" + length + value
    references = b"\xbe" * 12_000
    return b"".join(frame(HEADERS, END_HEADERS, stream, block(ECHO) + entry + references) for stream in range(1, 200, 2))


FLOODS = {
    "rapid reset": _resets(),
    "SETTINGS": frame(SETTINGS) * FRAMES,
    "PING": frame(PING, payload=b"12345678") * FRAMES,
    "CONTINUATION": frame(HEADERS, 0, 1, block(ECHO)) + frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b" * 100) * 5_000,
    "empty DATA": frame(HEADERS, END_HEADERS, 1, block(ECHO)) + frame(DATA, 0, 1) * FRAMES,
    "WINDOW_UPDATE": window_update(0, 1) * FRAMES,
    "PRIORITY": frame(PRIORITY, 0, 3, b"\x00\x00\x00\x00\x01") * FRAMES,
    "HPACK bomb": _bomb(),
    "streams by the thousand": b"".join(call(stream, ECHO, b"\x12\x0aecho-agent") for stream in range(1, 10_000, 2)),
    "garbage": random.Random(1).randbytes(1 << 20),
}


class Attacker:
    """Sends one flood again and again from one connection after the other, until `stop`."""

    def __init__(self, target, flood):
        self.target = target
        self.bytes = PREFACE + settings() + flood
        self.stopped = threading.Event()
        self.connections = self.cut = self.sent = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.is_set():
            begun = time.monotonic()
            self._once()
            self.stopped.wait(max(0.0, begun + RECONNECT - time.monotonic()))

    def _once(self):
        try:
            with connect(self.target, limit=0.5) as connection:
                self.connections += 1
                view = memoryview(self.bytes)
                while view and not self.stopped.is_set():
                    sent = connection.send(view[: 1 << 16])
                    self.sent += sent
                    view = view[sent:]
                # Whether it was cut off shows in the end of what it reads.
                while not self.stopped.is_set():
                    if not connection.recv(1 << 16):
                        self.cut += 1
                        return
        except TimeoutError:
            # It neither reads nor is read from any more.
            return
        except OSError:
            self.cut += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(10)


class Loris:
    """Hundreds of connections that go on sending, a byte a second: in the preface, in headers, in the first message."""

    def __init__(self, target, connections=200):
        head = frame(HEADERS, END_HEADERS, 1, block(ECHO)) + frame(DATA, 0, 1, b"\x00\x00\x00\x00\x20")
        parts = (b"", PREFACE + settings() + frame(HEADERS, 0, 1, block(ECHO)), PREFACE + settings() + head)
        drips = (PREFACE, frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b") * 100, frame(DATA, 0, 1, b"\x12") * 100)
        self.stopped = threading.Event()
        self.target, self.count, self.parts, self.drips = target, connections, parts, drips
        self.connections = self.cut = self.sent = 0
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        open_ones = []
        for number in range(self.count):
            try:
                connection = connect(self.target)
                connection.sendall(self.parts[number % 3])
                open_ones.append([connection, self.drips[number % 3]])
                self.connections += 1
            except OSError:
                self.cut += 1
        while not self.stopped.wait(1):
            for entry in list(open_ones):
                try:
                    entry[0].send(entry[1][:1])
                    self.sent += 1
                    entry[1] = entry[1][1:]
                except OSError:
                    self.cut += 1
                    open_ones.remove(entry)
        for connection, _ in open_ones:
            connection.close()

    __enter__ = Attacker.__enter__
    __exit__ = Attacker.__exit__


@scenario("floods", quick=True)
def floods(fire):
    """Each flood from one client, while a second one calls through the same router."""
    router = fire.cluster.routers[0]
    target = f"127.0.0.1:{router.grpc}"
    rate = fire.either(50, 400)
    for name, attack in [*FLOODS.items(), ("slow-loris", None)]:
        # Longer than what the router bears with, which is 10 s.
        seconds = fire.either(1, 6 if attack else 15)
        attacker = Attacker(target, attack) if attack else Loris(target)
        with fire.memory(router) as memory, fire.load(rate=rate, target=target, connections=4, mix="echo=1") as load:
            if not fire.quick:
                load.run_for(seconds)
            with attacker:
                load.run_for(fire.either(seconds, seconds + 1))
            totals = load.stop()
        row = fire.row(f"flood: {name}", "59", totals, refused=0, memory=memory)
        if not fire.quick:
            # Of each second's p99, without the seconds in which something begins or ends.
            quiet, flooded = (
                statistics.median(entry["p99_us"] for entry in load.seconds[begin : begin + seconds - 1]) / 1000
                for begin in (1, seconds + 1)
            )
            row.figure(flooded < 2 * quiet, f"median p99 of a second {flooded:.2f} ms, {quiet:.2f} ms without the flood")
        row.promise(memory.growth < GROWTH_MIB, f"the router grew by {memory.growth:.0f} MiB")
        row.note(f"{attacker.connections} connections, {attacker.cut} of them cut off, {attacker.sent >> 10} KiB sent")
        assert router.running, "the router ended"
