"""Every certificate and key is replaced under load, the authority's and Consul's among them, and no call notices.

Once in the test command; ten times, as the promise has it, with SWITCHBOARD_E2E_ROTATIONS=10: it takes four minutes, because
members look at the files for Consul every few seconds only.
"""

import os
import signal
import ssl
import sys

import pytest

from processes import eventually
from security import security
from stubs import ROOT

sys.path.append(str(ROOT / "mesh/testkit/chaos"))
from load import Load, refusals  # noqa: E402

pytestmark = pytest.mark.secure("in the clear form nobody has a certificate")

ROUNDS = int(os.environ.get("SWITCHBOARD_E2E_ROTATIONS", "1"))
# What leaves two cores of any machine some room; the promise is 1,000.
RATE = float(os.environ.get("SWITCHBOARD_E2E_RATE", "200"))


class Holders:
    """Everybody who has certificates, and how to see which."""

    def __init__(self, mesh, load):
        self.mesh, self.load = mesh, load
        self.routers = [(router, router.grpc, "router") for router in mesh.routers]
        backends = [(echo, echo.port, "agent-echo") for echo in mesh.echoes]
        backends += [(mesh.weather, mesh.weather.port, "tool-weather")]
        self.backends = backends + [(worker, worker.port, "worker-itinerary") for worker in mesh.workers]

    def show_the_newest(self):
        """Whether every port shows the certificate that is in its file."""
        for process, port, service in [*self.routers, *self.backends]:
            shown = ssl.get_server_certificate(("127.0.0.1", port), timeout=5)
            if shown.split() != security.read(f"{service}.pem").decode().split():
                raise AssertionError(f"{process.name} shows another certificate")
        return True

    def counts(self):
        """How often each has read its files again: those of its ports, and those for Consul."""
        counts = {f"load {number}": load.reloads for number, load in enumerate(self.load)}
        for process, _, _ in [*self.routers, *self.backends]:
            log = process.log.read_text()
            for what in ("listener's certificates: changed, and loaded anew", "connection to Consul have changed"):
                counts[f"{process.name}: {what}"] = log.count(what)
        for router, _, _ in self.routers:
            what = "certificates towards instances: changed, and loaded anew"
            counts[f"{router.name}: {what}"] = router.log.read_text().count(what)
        return counts

    def step(self, *flags):
        """Replaces files and returns when everybody has read them."""
        before = self.counts()
        security.switchboard("renew", security.dir, *flags)
        for process, _, _ in [*self.routers, *self.backends]:
            process.child.send_signal(signal.SIGHUP)
        # Consul reads its files at SIGHUP alone.
        self.mesh.consul.child.send_signal(signal.SIGHUP)

        def read():
            behind = [name for name, count in self.counts().items() if count <= before[name]]
            assert not behind, behind
            return True

        eventually(30, read, rest=0.1)


def test_everything_is_replaced_without_a_failed_call(mesh):
    mix = "echo=70,weather=20,chunks=10"
    steady = Load(mesh.target, rate=RATE, connections=12, mix=mix, **security.load())
    # A handshake for each call.
    fresh = Load(mesh.target, rate=RATE / 20, fresh=True, mix="echo=1", **security.load())
    with steady, fresh:
        holders = Holders(mesh, [steady, fresh])
        for load in holders.load:
            load.run_for(2)
        for number in range(ROUNDS):
            holders.step("--next-ca")
            holders.step()
            eventually(20, holders.show_the_newest)
            holders.step("--forget-old-ca")
            if number % 4 == 0:
                # New connections between routers and backends, with the newest certificates.
                echo = mesh.echoes[number // 4 % 2]
                assert echo.terminate(40) == 0, echo.tail()
                echo.start()
                eventually(20, lambda: len(mesh.consul.passing("agent-echo")) == len(mesh.echoes))
        totals = [load.stop() for load in holders.load]
    for books in totals:
        assert books["ok"] == books["sent"] and not books["wrong_count"], refusals(books)
        print(f"{books['sent']} calls at {books['sent'] / books['seconds']:.0f}/s, 0 failed")
    print(f"{ROUNDS} times, in {totals[0]['seconds']:.0f} s; longest pause {totals[0]['longest_pause_ms']:.0f} ms")
