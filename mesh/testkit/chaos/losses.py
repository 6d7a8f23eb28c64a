"""Instances and routers that die with kill -9, or stop without dying (complaints 9, 14, 31, 53, 61).

What was in flight on them is refused with a status; nothing else is, and nothing is lost.
"""

import socket

from processes import Router, eventually
from scenarios import scenario

# Calls end within their deadline, which is shorter here so that a frozen peer does not fill the load generator.
DEADLINE = 3
# How soon a connection with calls notices that its router is frozen: PING after 1 s of silence, answer within 1 s.
PING = 1


def _last_refusal(totals):
    return max((entry["last_second"] for entry in totals["refused"].values()), default=0.0)


def _only_statuses(row, totals, *origins):
    """Each refusal is the router's own word, or the client library's that lost its connection."""
    strange = [key for key in totals["refused"] if not any(origin in key for origin in origins)]
    row.promise(not strange, f"refusals of another kind: {strange}" if strange else f"all refusals are by {' or '.join(origins)}")


@scenario("backend-killed", quick=True)
def backend_killed(fire):
    """One of two echo agents is killed with SIGKILL."""
    cluster = fire.cluster
    with fire.load() as load:
        load.run_for(3)
        killed = load.now
        cluster.echoes[0].kill()
        load.run_for(fire.either(4, 10))
        cluster.echoes[0].start()
        eventually(60, lambda: len(cluster.consul.passing("agent-echo")) == 2)
        load.run_for(2)
        totals = load.stop()
    row = fire.row("kill -9 of one of two instances", "14 31 53", totals)
    _only_statuses(row, totals, "router/")
    after = _last_refusal(totals) - killed
    row.figure(after <= 1, f"the last refusal came {max(after, 0):.2f} s after the kill")


@scenario("router-killed", quick=True)
def router_killed(fire):
    """One of three routers is killed with SIGKILL: its connections break, those of the others do not."""
    cluster = fire.cluster
    with fire.load() as load:
        load.run_for(3)
        killed = load.now
        cluster.routers[0].kill()
        load.run_for(fire.either(4, 10))
        cluster.routers[0].start()
        eventually(60, lambda: len(cluster.haproxy.up()) == 3)
        load.run_for(2)
        totals = load.stop()
    row = fire.row("kill -9 of one of three routers", "29", totals)
    _only_statuses(row, totals, "client/")
    after = _last_refusal(totals) - killed
    row.figure(after <= 1, f"the last refusal came {max(after, 0):.2f} s after the kill")
    in_flight = max((entry["in_flight"] for entry in load.seconds), default=0)
    row.note(f"at most {in_flight} calls were in flight at a second's end")


@scenario("backend-frozen", quick=True)
def backend_frozen(fire):
    """One of two echo agents is stopped with SIGSTOP: connections stay open and nothing answers."""
    cluster = fire.cluster
    seconds = fire.either(5, 20)
    with fire.load(deadline=DEADLINE) as load:
        load.run_for(3)
        begun = load.now
        cluster.freeze(cluster.echoes[0])
        load.run_for(seconds)
        cluster.thaw()
        load.settle()
        totals = load.stop()
    row = fire.row(f"SIGSTOP of one of two instances for {seconds} s", "53 54", totals)
    _only_statuses(row, totals, "router/", "client/deadline")
    row.note(f"refusals from {begun:.0f} s to {_last_refusal(totals):.1f} s; frozen from {begun:.0f} s to {begun + seconds:.0f} s")


@scenario("router-frozen", quick=True)
def router_frozen(fire):
    """One of three routers is stopped with SIGSTOP: clients find out by PING, HAProxy by its check."""
    cluster = fire.cluster
    seconds = fire.either(5, 20)
    with fire.load(deadline=DEADLINE, ping=PING) as load:
        load.run_for(3)
        begun = load.now
        cluster.freeze(cluster.routers[0])
        load.run_for(seconds)
        cluster.thaw()
        load.settle()
        totals = load.stop()
    row = fire.row(f"SIGSTOP of one of three routers for {seconds} s", "9", totals)
    _only_statuses(row, totals, "client/", "router/DEADLINE")
    row.note(f"refusals from {begun:.0f} s to {_last_refusal(totals):.1f} s; frozen from {begun:.0f} s to {begun + seconds:.0f} s")


@scenario("descriptors")
def descriptors(fire):
    """A router without file descriptors for 5 s: its connections go on, and it accepts again afterwards."""
    cluster = fire.cluster
    router = Router(cluster.folder, "starved", cluster.agents[0], SWITCHBOARD_DRAIN_LIMIT="1s")
    # It must not become one of HAProxy's: the others carry the load meanwhile.
    router.argv = ["bash", "-c", 'ulimit -n 80; exec "$0" "$@"', *router.argv]
    cluster.spare.append(router.start())
    eventually(30, lambda: "ready" in router.get("/readyz"))
    held = []
    target = f"127.0.0.1:{router.grpc}"
    try:
        with fire.load(rate=fire.either(20, 100), target=target, connections=2, mix="echo=1") as load:
            load.run_for(2)
            held = [socket.create_connection(("127.0.0.1", router.grpc)) for _ in range(200)]
            load.run_for(5)
            for connection in held:
                connection.close()
            with fire.load(rate=10, target=target, connections=2, mix="echo=1") as later:
                later.run_for(2)
                totals, after = load.stop(), later.stop()
    finally:
        for connection in held:
            connection.close()
    fire.row("no file descriptors for 5 s, connections that were there", "61", totals, refused=0)
    fire.row("no file descriptors for 5 s, new connections afterwards", "61", after, refused=0)
