"""What stalled readers and very large messages cost a router (complaints 47, 57, 58)."""

import grpc

from processes import Router, eventually
from scenarios import scenario
from wires import PREFACE, call, connect, settings, window_update

STALLED = 100
EACH_MIB = 2
ENDLESS = "/chaos.Bytes/Endless"
MESSAGE = b"16384"
LARGE = 100 << 20
LARGE_GROWTH_MIB = 8


def _produced(target):
    with grpc.insecure_channel(target) as channel:
        return int(channel.unary_unary("/chaos.Bytes/Produced")(b"", timeout=10))


def _still(target):
    """Waits until no message has been made for a second."""
    seen = []

    def stands():
        seen.append(_produced(target))
        return len(seen) > 1 and seen[-1] == seen[-2]

    eventually(30, stands, rest=1)
    return seen[-1]


def _one_connection(target):
    connection = connect(target)
    requests = b"".join(call(stream, ENDLESS, MESSAGE) for stream in range(1, 2 * STALLED, 2))
    connection.sendall(PREFACE + settings() + requests)
    return [connection]


def _many_connections(target):
    connections = []
    for _ in range(STALLED):
        connection = connect(target, receive_buffer=4096)
        most = (1 << 31) - 1
        request = call(1, ENDLESS, MESSAGE)
        connection.sendall(PREFACE + settings(window=most) + window_update(0, most - 65_535) + request)
        connections.append(connection)
    return connections


@scenario("stalled-readers", quick=True)
def stalled_readers(fire):
    """100 readers of an endless stream stop reading: with small windows on one connection, with huge ones on many."""
    cluster = fire.cluster
    ways = {
        "windows of 64 KiB, one connection": _one_connection,
        "windows of 2 GiB, 100 connections, no socket read": _many_connections,
    }
    for way, stall in ways.items():
        # A router of its own: what it has grown by is theirs.
        router = Router(cluster.folder, f"memory-{len(cluster.spare)}", cluster.agents[0])
        cluster.spare.append(router.start())
        eventually(30, lambda: "ready" in router.get("/readyz"))
        target = f"127.0.0.1:{router.grpc}"
        _produced(target)
        held = []
        try:
            with fire.memory(router) as memory:
                held = stall(target)
                made = _still(target)
            with fire.load(rate=50, target=target, connections=2, mix="echo=1,bytes=1") as load:
                load.run_for(2)
                totals = load.stop()
        finally:
            for connection in held:
                connection.close()
        row = fire.row(f"{STALLED} stalled readers, {way}", "57 58", totals, refused=0, memory=memory)
        each = memory.growth / STALLED
        row.promise(each < EACH_MIB, f"{each:.2f} MiB each")
        row.note(f"the producer stopped after {made} messages of 16 KiB in all; calls beside them go on")


@scenario("large-messages", quick=True)
def large_messages(fire):
    """A message of 100 MB passes in each direction, and is nowhere held whole."""
    cluster = fire.cluster
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(cluster.target, options=options) as channel:
        blob, size = (channel.unary_unary(f"/chaos.Bytes/{name}") for name in ("Blob", "Size"))
        # What one ordinary call costs is there already.
        assert len(blob(b"100000", timeout=30)) == 100_000
        for way, made in (
            ("down", lambda: len(blob(str(LARGE).encode(), timeout=120))),
            ("up", lambda: int(size(bytes(LARGE), timeout=120))),
        ):
            with fire.memory() as memory:
                arrived = made()
            row = fire.row(f"a message of 100 MiB, {way}", "47", memory=memory)
            row.promise(arrived == LARGE, f"{arrived >> 20} MiB arrived")
            row.figure(memory.growth < LARGE_GROWTH_MIB, f"the routers grew by {memory.growth:.1f} MiB at most")
