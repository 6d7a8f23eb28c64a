"""The mesh under fire: three Consul servers, a Consul agent on each of two "hosts", HAProxy, routers and backends.

    host a: agent-a   router-1             echo-1   itinerary-1   weather
    host b: agent-b   router-2   router-3  echo-2   itinerary-2   bytes     HAProxy (DNS)

Members talk to the agent of their own host, as Consul is meant to be used; an agent knows all servers and finds another
when one dies. That an agent dies is a failure of its own: its host's members serve on with what they know.
"""

import shutil
import pathlib
import signal

from processes import BINARIES, Backend, Consul, Haproxy, Process, Router, eventually
from security import security

# What the catalogue has when nothing is broken.
COMPLETE = {"router": 3, "agent-echo": 2, "tool-weather": 1, "worker-itinerary": 2, "tool-bytes": 1}
# A machine under load takes its time to start processes; this is no promise.
REPAIR_LIMIT = 120


class Server(Consul):
    """One of the three Consul servers, with the shipped configuration for one."""

    def __init__(self, folder, number, join):
        super().__init__(folder, f"consul-{number}", f'bootstrap_expect = 3\nretry_interval = "1s"\nretry_join = {join}')

    start = Process.start


class Agent(Consul):
    """A Consul client agent: it has the services of its host and passes reads on to the servers."""

    def __init__(self, folder, name, join):
        extra = f'server = false\nbootstrap_expect = 0\nretry_interval = "1s"\nretry_join = {join}'
        super().__init__(folder, f"agent-{name}", extra)

    start = Process.start


class Reloadable(Haproxy):
    """HAProxy as its README says for reloads: a master that replaces its worker on SIGUSR2."""

    def __init__(self, folder, consul):
        super().__init__(folder, consul)
        self.argv = ["-W" if word == "-db" else word for word in self.argv]

    def workers(self):
        """The process IDs of its workers: the one that accepts, and those that still have connections."""
        task = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return {int(pid) for pid in task.read_text().split()}

    def reload(self):
        """Returns when the new worker runs."""
        before = self.workers()
        self.child.send_signal(signal.SIGUSR2)
        eventually(20, lambda: self.workers() - before)


class Cluster:
    """All processes. Whatever a scenario breaks, `repair` makes complete again."""

    def __init__(self, folder):
        self.folder = folder
        joins = []
        self.servers = [Server(folder, number, "[]") for number in (1, 2, 3)]
        joins = "[" + ", ".join(f'"127.0.0.1:{server.lan}"' for server in self.servers) + "]"
        for server in self.servers:
            server.argv[-1] = server.argv[-1].replace("retry_join = []", f"retry_join = {joins}")
        self.agents = [Agent(folder, name, joins) for name in "ab"]
        a, b = self.agents
        self.haproxy = Reloadable(folder, b)
        self.routers = [Router(folder, number, agent) for number, agent in ((1, a), (2, b), (3, b))]
        self.echoes = [Backend(folder, "echo-agent", number, agent) for number, agent in ((1, a), (2, b))]
        self.workers = [self.worker(number, agent) for number, agent in ((1, a), (2, b))]
        self.singles = {"weather": Backend(folder, "weather-tool", 1, a), "bytes": Backend(folder, "chaos-bytes", 1, b)}
        self._successors = 1
        self.spare = []
        self.frozen = []

    def worker(self, number, agent):
        door = f"{security.scheme}://{self.target}"
        return Backend(self.folder, "itinerary-worker", number, agent, SWITCHBOARD_ROUTER=door)

    @property
    def target(self):
        """The one address that clients know."""
        return f"127.0.0.1:{self.haproxy.grpc}"

    @property
    def consul(self):
        """Whom the runner asks."""
        return self.agents[0]

    @property
    def registry(self):
        return [*self.servers, *self.agents]

    @property
    def backends(self):
        return [*self.echoes, *self.workers, *self.singles.values()]

    @property
    def processes(self):
        return [*self.registry, self.haproxy, *self.routers, *self.backends, *self.spare]

    def start(self):
        missing = [name for name in ("switchboard-router", "chaos-bytes", "chaos-load") if not (BINARIES / name).exists()]
        if missing:
            raise RuntimeError(f"no {', '.join(missing)} in {BINARIES}: run `make chaos`")
        for process in self.processes:
            process.start()
        self.wait_until_complete()

    def leader(self):
        """The server that leads, asked of whoever answers; None while there is none."""
        for node in self.servers:
            if node.running and node not in self.frozen:
                try:
                    address = node.request("GET", "/v1/status/leader")
                    peers = {f"127.0.0.1:{server.rpc}": server for server in self.servers}
                    if address in peers:
                        return peers[address]
                except OSError:
                    continue
        return None

    def complete(self):
        for service, count in COMPLETE.items():
            passing = len(self.consul.passing(service))
            if passing != count:
                return None
        return len(self.haproxy.up()) == COMPLETE["router"]

    def wait_until_complete(self, limit=REPAIR_LIMIT):
        """Returns when every instance passes in the catalogue and every router is up in HAProxy."""
        eventually(limit, self.complete, rest=0.05)

    def freeze(self, process):
        process.child.send_signal(signal.SIGSTOP)
        self.frozen.append(process)

    def thaw(self):
        for process in self.frozen:
            if process.running:
                process.child.send_signal(signal.SIGCONT)
        self.frozen.clear()

    def successor(self, name):
        """Starts a second instance of a backend that has one, waits for it, and returns the old one."""
        old = self.singles[name]
        self._successors += 1
        binary = old.name.rsplit("-", 1)[0]
        agent = next(agent for agent in self.agents if agent.url == old.env["CONSUL_HTTP_ADDR"])
        self.singles[name] = Backend(self.folder, binary, self._successors, agent).start()
        eventually(REPAIR_LIMIT, lambda: len(self.consul.passing(f"tool-{name}")) == 2)
        return old

    def repair(self):
        """Thaws and starts what is not running, ends what is too many, and waits until all is complete."""
        self.thaw()
        for process in self.spare:
            if process.running:
                process.child.send_signal(signal.SIGTERM)
        for process in self.spare:
            if process.running:
                process.child.wait(60)
        self.spare.clear()
        for process in self.processes:
            if not process.running:
                process.start()
        self.wait_until_complete()

    def stop(self):
        self.thaw()
        for process in reversed(self.processes):
            process.kill()

    def tails(self):
        return "\n".join(process.tail(12) for process in self.processes)
