"""Replacing parts while 2,000 calls per second go on: no client may see any of it (complaints 17, 24, 28-30, 35)."""

import signal

from cluster import COMPLETE, REPAIR_LIMIT
from processes import Router, eventually
from scenarios import scenario

# Out of the catalogue, HAProxy's view of it, two steps of GOAWAY, calls that go on.
END_LIMIT = 60


def _replaced(fire, load, process, service, count):
    """SIGTERM, an orderly end, and the same process again."""
    code = process.terminate(END_LIMIT)
    assert code == 0, f"{process.name} ended with {code}"
    load.run_for(1)
    process.start()
    eventually(REPAIR_LIMIT, lambda: len(fire.cluster.consul.passing(service)) == count)


@scenario("rolling-routers", quick=True)
def rolling_routers(fire):
    """All routers are replaced one by one, by SIGTERM."""
    cluster = fire.cluster
    with fire.memory() as memory, fire.load() as load:
        load.run_for(2)
        for router in cluster.routers[: fire.either(1, 3)]:
            _replaced(fire, load, router, "router", COMPLETE["router"])
            eventually(REPAIR_LIMIT, lambda: len(cluster.haproxy.up()) == len(cluster.routers))
            load.run_for(2)
        totals = load.stop()
    fire.row("rolling restart of the routers", "28 29", totals, refused=0, memory=memory)


@scenario("rolling-backends", quick=True)
def rolling_backends(fire):
    """All backends are replaced one by one, by SIGTERM; those with one instance after their successor has started."""
    cluster = fire.cluster
    with fire.memory() as memory, fire.load() as load:
        load.run_for(2)
        for echo in cluster.echoes:
            _replaced(fire, load, echo, "agent-echo", COMPLETE["agent-echo"])
            load.run_for(1)
        for worker in fire.either([], cluster.workers):
            _replaced(fire, load, worker, "worker-itinerary", COMPLETE["worker-itinerary"])
            load.run_for(1)
        for name in fire.either(["bytes"], cluster.singles.copy()):
            old = cluster.successor(name)
            load.run_for(1)
            assert old.terminate(END_LIMIT) == 0, old.tail()
            load.run_for(1)
        totals = load.stop()
    fire.row("rolling restart of the backends", "17 28 30", totals, refused=0, memory=memory)


@scenario("haproxy-reload", quick=True)
def haproxy_reload(fire):
    """HAProxy is reloaded three times under load, with open streams and with clients that connect anew for each call."""
    cluster = fire.cluster
    fresh = fire.load(rate=fire.either(200, 200), mix="echo=1", fresh=True)
    with fire.load(streams=20) as load, fresh:
        load.run_for(2)
        for _ in range(fire.either(1, 3)):
            cluster.haproxy.reload()
            load.run_for(5)
        totals, fresh_totals = load.stop(), fresh.stop()
    fire.row("HAProxy reload", "29 35", totals, refused=0)
    fire.row("HAProxy reload, a connection for each call", "29", fresh_totals, refused=0)


@scenario("scale-out", quick=True)
def scale_out(fire):
    """Two routers are added and removed again during 20 open streams."""
    cluster = fire.cluster
    with fire.load(streams=20) as load:
        load.run_for(2)
        for number in (4, 5):
            cluster.spare.append(Router(cluster.folder, f"spare-{number}", cluster.agents[number % 2]).start())
        begun = load.now
        eventually(REPAIR_LIMIT, lambda: len(cluster.haproxy.up()) == 5)
        noticed = load.now - begun
        load.run_for(fire.either(2, 10))
        # Out again: their drain waits for no stream, because the streams were open before they came.
        for router in cluster.spare:
            router.child.send_signal(signal.SIGTERM)
        load.run_for(fire.either(3, 10))
        totals = load.stop()
    row = fire.row("routers added and removed during 20 streams", "24 35", totals, refused=0)
    row.figure(noticed <= 5, f"HAProxy had both after {noticed:.1f} s")
