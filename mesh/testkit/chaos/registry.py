"""Consul loses its leader, its quorum, everything it runs on and everything it knows (complaints 8, 9, 11, 15).

Calls to services that a router knows must not notice any of it.
"""

import json

from cluster import REPAIR_LIMIT
from processes import Backend, eventually
from scenarios import scenario


def _known_ports(router, service):
    """The ports of the instances that a router would call."""
    services = json.loads(router.get("/endpoints"))["services"]
    return {
        instance["address"].rsplit(":", 1)[1]
        for entry in services
        if entry["service"] == service
        for instance in entry["instances"]
        if instance["healthy"]
    }


def _followed(fire, load):
    """Changes are seen again: a new instance is known to all routers, without a restart of any. Returns the seconds."""
    cluster = fire.cluster
    begun = load.now
    echo = Backend(cluster.folder, "echo-agent", f"new-{fire.name}", cluster.agents[0]).start()
    cluster.spare.append(echo)
    eventually(75, lambda: all(str(echo.port) in _known_ports(router, "agent-echo") for router in cluster.routers))
    return load.now - begun


@scenario("consul-leader", quick=True)
def leader_killed(fire):
    """The leader of the three Consul servers is killed, and comes back."""
    cluster = fire.cluster
    with fire.load(streams=5) as load:
        load.run_for(2)
        leader = eventually(30, cluster.leader)
        leader.kill()
        begun = load.now
        eventually(60, lambda: cluster.leader() not in (None, leader))
        elected = load.now - begun
        load.run_for(fire.either(1, 5))
        leader.start()
        followed = _followed(fire, load)
        totals = load.stop()
    row = fire.row("Consul's leader killed", "8 11", totals, refused=0)
    row.note(f"next leader after {elected:.1f} s; a new instance was known to all routers {followed:.1f} s after its start")


@scenario("consul-leaderless", quick=True)
def leaderless(fire):
    """Two of three Consul servers are down for 30 s: no leader, no consistent read, no write."""
    cluster = fire.cluster
    seconds = fire.either(6, 30)
    with fire.load(streams=5) as load:
        load.run_for(3)
        before = load.last("total_ok") / len(load.seconds)
        leader = eventually(30, cluster.leader)
        others = [server for server in cluster.servers if server is not leader]
        for server in (leader, others[0]):
            server.kill()
        eventually(10, lambda: cluster.leader() is None)
        counted, at = load.last("total_ok"), len(load.seconds)
        load.run_for(seconds)
        during = (load.last("total_ok") - counted) / (len(load.seconds) - at)
        for server in (leader, others[0]):
            server.start()
        eventually(REPAIR_LIMIT, cluster.leader)
        followed = _followed(fire, load)
        totals = load.stop()
    row = fire.row(f"{seconds} s without a leader", "8", totals, refused=0)
    row.figure(during >= 0.98 * before, f"{during:.0f} calls/s answered meanwhile, {before:.0f} before")
    row.note(f"a new instance was known to all routers {followed:.1f} s after its start, when there was a leader again")


@scenario("consul-restart", quick=True)
def all_killed(fire):
    """Every Consul server and agent is killed, and started again with its data."""
    cluster = fire.cluster
    with fire.load(streams=5) as load:
        load.run_for(2)
        for node in cluster.registry:
            node.kill()
        load.run_for(fire.either(4, 20))
        for node in cluster.registry:
            node.start()
        eventually(REPAIR_LIMIT, cluster.leader)
        followed = _followed(fire, load)
        totals = load.stop()
    row = fire.row("all of Consul killed and restarted", "11", totals, refused=0)
    row.note(f"a new instance was known to all routers {followed:.1f} s after its start, no router restarted")


@scenario("consul-wiped", quick=True)
def wiped(fire):
    """All of Consul is killed and comes back without its data."""
    cluster = fire.cluster
    with fire.load(streams=5) as load:
        load.run_for(2)
        for node in cluster.registry:
            node.kill()
        for node in cluster.registry:
            node.wipe()
            node.start()
        eventually(REPAIR_LIMIT, cluster.leader)
        begun = load.now
        cluster.wait_until_complete()
        complete = load.now - begun
        followed = _followed(fire, load)
        totals = load.stop()
    row = fire.row("all of Consul wiped", "15", totals, refused=0)
    row.figure(complete <= 10, f"complete again {complete:.1f} s after there was a leader")
    row.note(f"a new instance was known to all routers {followed:.1f} s after its start")


@scenario("consul-frozen")
def frozen(fire):
    """All of Consul stops answering for 20 s, with its connections open."""
    cluster = fire.cluster
    with fire.load(streams=5) as load:
        load.run_for(2)
        for node in cluster.registry:
            cluster.freeze(node)
        load.run_for(20)
        cluster.thaw()
        eventually(REPAIR_LIMIT, cluster.leader)
        followed = _followed(fire, load)
        totals = load.stop()
    row = fire.row("all of Consul frozen for 20 s", "9", totals, refused=0)
    row.note(f"a new instance was known to all routers {followed:.1f} s after its start")


@scenario("consul-agent")
def agent_killed(fire):
    """The Consul agent of one of two hosts is killed for 30 s: its host's services leave the catalogue, alive."""
    cluster = fire.cluster
    lost = cluster.agents[1]
    with fire.load() as load:
        load.run_for(2)
        lost.kill()
        load.run_for(30)
        lost.start()
        cluster.wait_until_complete()
        load.settle()
        totals = load.stop()
    row = fire.row("the Consul agent of one host killed for 30 s", "16", totals)
    row.note("`bytes` runs on that host alone: what the other host's router answers for it is counted above")
