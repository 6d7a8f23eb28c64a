"""The processes of one mesh: Consul, HAProxy, routers and backends, each real, each on free ports of 127.0.0.1."""

import csv
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request

from eventually import eventually
from security import BINARIES, security
from stubs import ROOT

_given = set()


def free_port():
    """A port that is free for TCP and UDP, below the kernel's ephemeral range, and not given out before."""
    for _ in range(1000):
        port = random.randrange(20000, 32000)
        try:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                with socket.socket(socket.AF_INET, kind) as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        if port not in _given:
            _given.add(port)
            return port
    raise RuntimeError("no free port")


def find(variable, *places):
    """The binary named by an environment variable, else the first place that has it."""
    if os.environ.get(variable):
        return os.environ[variable]
    for place in places:
        found = shutil.which(str(place))
        if found:
            return found
    raise RuntimeError(f"none of {[str(place) for place in places]}: run `make tools`, `cargo build --workspace --bins`")


# The kernel kills a process when the one that started it is gone, however that ended. Not by a `preexec_fn`: that forks
# this whole process, and gRPC's threads do not survive it.
_LEASH = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []


class Process:
    """One child process with its output in a file. Start it from the main thread: it ends with the one that did."""

    def __init__(self, folder, name, argv, **env):
        self.name = name
        self.argv = [str(word) for word in argv]
        # What the caller's shell says about registries and routers must not reach the mesh under test.
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("SWITCHBOARD_", "CONSUL_"))}
        self.env = {**ours, "RUST_LOG": os.environ.get("RUST_LOG", "info"), **env}
        self.log = pathlib.Path(folder) / f"{name}.log"
        self.child = None

    def start(self):
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*_LEASH, *self.argv],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    @property
    def running(self):
        return self.child is not None and self.child.poll() is None

    def kill(self):
        """SIGKILL; returns when the process is gone."""
        if self.running:
            self.child.kill()
            self.child.wait()

    def terminate(self, limit):
        """SIGTERM; returns the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(limit)

    def tail(self, lines=30):
        text = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        state = "running" if self.running else f"ended with {self.child and self.child.returncode}"
        return "\n".join([f"--- {self.name} ({state}): {' '.join(self.argv[:1])}", *text[-lines:]])


class Consul(Process):
    """A Consul server with consul/server-1.8.hcl. Its data survives `kill` and `start`, not `wipe`."""

    def __init__(self, folder, name="consul", extra=""):
        """`extra` is HCL that stands above the file."""
        self.http, self.dns, self.rpc, self.lan, wan = (free_port() for _ in range(5))
        self.data = pathlib.Path(folder) / f"{name}-data"
        http, more = security.consul(folder, self.http)
        ports = f"ports {{ {http} dns={self.dns} server={self.rpc} serf_lan={self.lan} serf_wan={wan} }}"
        binary = find("CONSUL_BIN", ROOT / ".tools/consul/consul", "consul")
        config = ROOT / "consul" / "server-1.8.hcl"
        argv = [binary, "agent", f"-node={name}", "-bind=127.0.0.1", "-client=127.0.0.1", "-data-dir", self.data]
        super().__init__(folder, name, [*argv, "-config-file", config, *more, "-hcl", f"{ports}\n{extra}"])

    @property
    def url(self):
        return f"{security.scheme}://127.0.0.1:{self.http}"

    def start(self):
        super().start()
        eventually(30, lambda: ":" in self.request("GET", "/v1/status/leader"))
        security.consul_started(self)
        return self

    def wipe(self):
        shutil.rmtree(self.data)

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method, headers=security.consul_headers)
        with urllib.request.urlopen(request, timeout=5, context=security.consul_context) as answer:
            text = answer.read().decode()
        return json.loads(text) if text else ""

    def passing(self, service):
        return self.request("GET", f"/v1/health/service/{service}?passing")

    def register(self, name, port, meta=None, tags=(), service_id=None):
        """Registers 127.0.0.1:`port` without a check and returns the instance's ID.

        Returns when reads see it: Consul's agent answers before it has told the catalogue.
        """
        service_id = service_id or f"{name}-{port}"
        body = {"ID": service_id, "Name": name, "Address": "127.0.0.1", "Port": port, "Tags": list(tags), "Meta": meta or {}}
        self.request("PUT", "/v1/agent/service/register", body)
        eventually(2, lambda: service_id in [entry["Service"]["ID"] for entry in self.passing(name)], rest=0.002)
        return service_id

    def deregister(self, service_id):
        self.request("PUT", f"/v1/agent/service/deregister/{service_id}")


class Haproxy(Process):
    """HAProxy with haproxy/haproxy.cfg as it is."""

    def __init__(self, folder, consul):
        self.grpc, self.ops = free_port(), free_port()
        super().__init__(
            folder,
            "haproxy",
            [find("HAPROXY_BIN", "haproxy", "/usr/sbin/haproxy"), "-db", "-f", ROOT / "haproxy/haproxy.cfg"],
            SWITCHBOARD_GRPC_BIND=f"127.0.0.1:{self.grpc}",
            SWITCHBOARD_OPS_BIND=f"127.0.0.1:{self.ops}",
            SWITCHBOARD_ADMIN_SOCKET=str(pathlib.Path(folder) / "haproxy.sock"),
            CONSUL_DNS_ADDR=f"127.0.0.1:{consul.dns}",
            **security.haproxy(),
        )

    def get(self, path):
        """Status code and text of a page of the stats port."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ops}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def routers(self):
        """The rows of the ten router slots."""
        rows = csv.DictReader(self.get("/stats;csv")[1].lstrip("# ").splitlines())
        return [row for row in rows if row["pxname"] == "routers" and row["svname"].startswith("router")]

    def up(self):
        return [row["svname"] for row in self.routers() if row["status"].startswith("UP")]


class Router(Process):
    """A router that registers itself."""

    def __init__(self, folder, number, consul, **env):
        self.grpc, self.admin = free_port(), free_port()
        address = f"127.0.0.1:{self.grpc}"
        argv = [BINARIES / "switchboard-router", "--grpc", address, "--admin", f"127.0.0.1:{self.admin}"]
        argv += ["--registry", consul.url, "--advertise", address, "--workers", "2"]
        super().__init__(folder, f"router-{number}", argv, **{**security.router(), **env})

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}{path}", timeout=5) as answer:
            return answer.read().decode()

    def tail(self, lines=30):
        """With what it knows, which says more than its log."""
        try:
            known = self.get("/endpoints")
        except OSError as error:
            known = f"no /endpoints: {error}"
        return f"{super().tail(lines)}\n{known}"


class Backend(Process):
    """One of our backends, on a free port, that registers itself."""

    def __init__(self, folder, binary, number, consul, **env):
        self.port = free_port()
        argv = [BINARIES / binary, "--listen", f"127.0.0.1:{self.port}"]
        env = {**security.backend(binary), "CONSUL_HTTP_ADDR": consul.url, **env}
        super().__init__(folder, f"{binary}-{number}", argv, **env)


class Mesh:
    """Consul, HAProxy, 3 routers, 2 echo agents, a weather tool and 2 itinerary workers."""

    def __init__(self, folder):
        self.folder = folder
        self.consul = Consul(folder)
        self.haproxy = Haproxy(folder, self.consul)
        self.routers = [Router(folder, number, self.consul) for number in (1, 2, 3)]
        self.echoes = [Backend(folder, "echo-agent", number, self.consul) for number in (1, 2)]
        self.weather = Backend(folder, "weather-tool", 1, self.consul)
        # A worker calls tools through the same door as everybody.
        door = f"{security.scheme}://127.0.0.1:{self.haproxy.grpc}"
        workers = [Backend(folder, "itinerary-worker", number, self.consul, SWITCHBOARD_ROUTER=door) for number in (1, 2)]
        self.workers = workers

    @property
    def target(self):
        """The one address that clients know."""
        return f"127.0.0.1:{self.haproxy.grpc}"

    @property
    def processes(self):
        return [self.consul, self.haproxy, *self.routers, *self.echoes, self.weather, *self.workers]

    def start(self):
        self.consul.start()
        for process in self.processes[1:]:
            process.start()
        self.wait_until_complete()

    def wait_until_complete(self, limit=30):
        """Returns when every instance is healthy in Consul and every router is up in HAProxy."""
        expected = {"router": 3, "agent-echo": 2, "tool-weather": 1, "worker-itinerary": 2}
        for service, count in expected.items():
            eventually(limit, lambda: len(self.consul.passing(service)) == count)
        eventually(limit, lambda: len(self.haproxy.up()) == len(self.routers))

    def stop(self):
        # Consul last, so that nothing complains about its loss.
        for process in reversed(self.processes):
            process.kill()

    def tails(self):
        return "\n".join(process.tail() for process in self.processes)
