"""Long and quiet streams, and small messages (complaints 14, 39, 42, 48)."""

import os
import queue
import time

import grpc

from processes import Backend, Router, eventually, free_port
from scenarios import scenario

# HAProxy's timeouts before a stream is one are a minute; only the tunnel's hour may count for this.
SILENCE = float(os.environ.get("SWITCHBOARD_CHAOS_SILENCE_SECONDS", "75"))
GHOST_LIMIT = 90


@scenario("small-messages")
def small_messages(fire):
    """Messages of 100 bytes to and fro: what HAProxy and a router add."""
    cluster = fire.cluster

    def measured(target):
        with fire.load(rate=50, target=target, connections=6, mix="chat=1") as load:
            load.run_for(10)
            return load.stop()

    direct = measured(f"127.0.0.1:{cluster.singles['bytes'].port}")
    totals = measured(cluster.target)
    row = fire.row("messages of 100 bytes to and fro", "42", totals, refused=0)
    through, alone = (entry["message"] for entry in (totals, direct))
    added = (through["p99_us"] - alone["p99_us"]) / 1000
    row.figure(added < 2, f"p99 of a round trip: {added:.2f} ms added")
    row.note(
        f"through HAProxy and a router p50 {through['p50_us']} us, p99 {through['p99_us']} us; "
        f"direct p50 {alone['p50_us']} us, p99 {alone['p99_us']} us"
    )


@scenario("silence")
def silence(fire):
    """Streams say nothing for longer than HAProxy waits for anything else; meanwhile a killed instance is forgotten."""
    cluster = fire.cluster
    ghost = Backend(cluster.folder, "echo-agent", "ghost", cluster.agents[0]).start()
    cluster.spare.append(ghost)
    eventually(60, lambda: len(cluster.consul.passing("agent-echo")) == 3)
    # PINGs of the client would be no silence.
    with fire.load(rate=10, streams=20, stream_rest=SILENCE, ping=36_000) as load:
        load.run_for(2)
        ghost.kill()
        killed = time.monotonic()
        all_ids = lambda: [entry["Service"]["Port"] for entry in cluster.consul.request("GET", "/v1/health/service/agent-echo")]  # noqa: E731
        eventually(150, lambda: ghost.port not in all_ids(), rest=0.5)
        gone = time.monotonic() - killed
        eventually(SILENCE + 60, lambda: load.last("streams_messages") >= 40)
        totals = load.stop()
    cluster.spare.remove(ghost)
    row = fire.row(f"20 streams silent for {SILENCE:.0f} s", "39 41", totals)
    row.promise(totals["streams"]["messages"] >= 40, "each said something before and after")
    row = fire.row("a killed instance leaves the catalogue", "14")
    row.figure(gone <= GHOST_LIMIT, f"after {gone:.0f} s")


@scenario("pings")
def pings(fire):
    """A C server that punishes PINGs, at a thirtieth of the real times: the router slows down to what it permits."""
    from concurrent import futures

    cluster = fire.cluster
    # The defaults are 5 min between PINGs without data, and two strikes.
    options = [("grpc.http2.min_ping_interval_without_data_ms", 10_000), ("grpc.http2.max_ping_strikes", 2)]
    server = grpc.server(futures.ThreadPoolExecutor(4), options=options)
    chat = grpc.stream_stream_rpc_method_handler(lambda requests, context: requests)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("chaos.Strict", {"Chat": chat})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    router = Router(cluster.folder, f"pings-{free_port()}", cluster.agents[0], SWITCHBOARD_UPSTREAM_PING="1s", SWITCHBOARD_DRAIN_LIMIT="1s")
    cluster.spare.append(router.start())
    cluster.consul.register("tool-strict", port, meta={"grpc_services": "chaos.Strict"}, service_id="strict")
    lost, lived = 0, 0.0
    try:
        eventually(30, lambda: "ready" in router.get("/readyz"))
        until = time.monotonic() + 60
        with grpc.insecure_channel(f"127.0.0.1:{router.grpc}") as channel:
            while time.monotonic() < until:
                said = queue.Queue()
                answers = channel.stream_stream("/chaos.Strict/Chat")(iter(said.get, None), wait_for_ready=True)
                begun = time.monotonic()
                try:
                    said.put(b"x")
                    assert next(answers) == b"x"
                    # It ends when the connection does, or with the scenario.
                    answers.add_callback(lambda said=said: said.put(None))
                    while answers.is_active() and time.monotonic() < until:
                        time.sleep(0.1)
                    if answers.is_active():
                        lived = time.monotonic() - begun
                        said.put(b"y")
                        assert next(answers) == b"y"
                        said.put(None)
                        break
                    lost += 1
                except grpc.RpcError:
                    lost += 1
    finally:
        server.stop(0)
        cluster.consul.deregister("strict")
    row = fire.row("a server that permits a PING every 10 s, PINGs every 1 s", "48")
    row.promise(lost == 0, f"{lost} connections lost; the last lived {lived:.0f} s")
