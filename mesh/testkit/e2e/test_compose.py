"""What docker-compose.yml says to the services, said to their binaries: without an engine for containers, yet with the same
words and variables. Names become addresses of the mesh of this suite, ports become free ones, volumes become folders."""

import json
import os
import ssl
import subprocess

import pytest

from eventually import eventually
from processes import Process, find, free_port
from security import BINARIES, SECURE, SERVICES, security
from stubs import ROOT

COMPOSE = find("COMPOSE_BIN", ROOT / ".tools/compose/docker-compose", "docker-compose")
FILES = ["docker-compose.yml", *(["docker-compose.secure.yml"] if SECURE else [])]
IMAGE = "switchboard:dev"


def read():
    """The services of our image, with the certificates of this suite."""
    argv = [COMPOSE, *(word for file in FILES for word in ("-f", ROOT / file)), "config", "--format", "json"]
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("SWITCHBOARD_", "CONSUL_"))}
    certs = {"SWITCHBOARD_CERTS": str(security.dir)} if SECURE else {}
    found = json.loads(subprocess.check_output(argv, env={**ours, **certs}))["services"]
    return {name: service for name, service in found.items() if service.get("image") == IMAGE}


class Container(Process):
    """A process with the words and variables of a service."""

    def __init__(self, mesh, folder, name, service):
        consul = f"127.0.0.1:{mesh.consul.http}"
        self.places = {"consul:8500": consul, "consul:8501": consul, "haproxy:50051": mesh.target}
        for volume in service.get("volumes", []):
            self.places[volume["target"]] = volume["source"] if volume["type"] == "bind" else str(folder / name)
        env = {key: self.outside(value) for key, value in service["environment"].items() if value}
        self.port, self.service = free_port(), SERVICES.get(name, "router")
        # What the file leaves as it is would be a fixed port; checks of health find theirs by these.
        env |= {variable: f"127.0.0.1:{self.port}" for variable in ("SWITCHBOARD_GRPC", "SWITCHBOARD_LISTEN")}
        for variable in ("SWITCHBOARD_ADMIN", "SWITCHBOARD_WORKFLOW_HTTP", "SWITCHBOARD_WORKFLOW_METRICS"):
            env[variable] = f"127.0.0.1:{free_port()}"
        # The suite's Consul asks more of its clients than that of the file.
        env |= security.consul_client(self.service)
        super().__init__(folder, f"compose-{name}", self.words(service["command"]), **env)
        self.health = self.words(service.get("healthcheck", {}).get("test", [])[1:])

    def words(self, argv):
        """The words, with free ports in the place of those that are asked of every address."""
        ours = []
        for word in map(self.outside, argv):
            address, _, port = word.rpartition(":")
            if address == "0.0.0.0":
                word = f"127.0.0.1:{self.port if ours[-1] == '--listen' else free_port()}"
            ours.append(word)
        return [BINARIES / ours[0], *ours[1:]] if ours else []

    def outside(self, text):
        """A text of the file, as it is outside of containers."""
        for inside, here in self.places.items():
            text = text.replace(inside, here)
        return text

    def instances(self, mesh):
        """Itself in Consul, if it is there and good."""
        found = [entry["Service"] for entry in mesh.consul.passing(self.service)]
        return [instance["ID"] for instance in found if instance["Port"] == self.port]

    def healthy(self):
        return subprocess.run(self.health, env=self.env, capture_output=True, timeout=5).returncode == 0


@pytest.fixture
def containers(mesh, tmp_path):
    containers = [Container(mesh, tmp_path, name, service) for name, service in read().items()]
    try:
        yield [container.start() for container in containers]
    finally:
        for container in containers:
            container.kill()
            for instance in container.instances(mesh):
                mesh.consul.deregister(instance)
        # The tests that follow have the mesh as it was.
        mesh.wait_until_complete()


def test_every_service_starts_with_the_words_of_the_file_and_joins(mesh, containers):
    assert {process.name for process in containers} >= {"compose-router", "compose-echo-agent", "compose-workflow-worker"}
    for process in containers:
        eventually(20, lambda: not process.running or process.instances(mesh))
        assert process.running, process.tail()
        eventually(20, lambda: not process.health or process.healthy())
        if SECURE:
            shown = ssl.get_server_certificate(("127.0.0.1", process.port), timeout=5)
            assert shown.split() == security.read(f"{process.service}.pem").decode().split(), process.name
