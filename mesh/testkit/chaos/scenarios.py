"""The list of scenarios, and what each is given."""

import dataclasses
import time

from figures import Memory, Row
from load import Load

ALL = {}


def scenario(name, *, quick=False, default=True):
    """Registers a scenario. `quick`: it also runs in the short form, in `make test`. Not `default`: only by name."""

    def register(function):
        ALL[name] = dataclasses.make_dataclass("Scenario", ["name", "run", "quick", "default", "about"])(
            name, function, quick, default, (function.__doc__ or "").strip().splitlines()[0]
        )
        return function

    return register


class Fire:
    """What a scenario gets: the cluster, how hard to press, and where its rows go."""

    def __init__(self, cluster, name, quick, rate, show):
        self.cluster = cluster
        self.name = name
        self.quick = quick
        self.rate = rate
        self.rows = []
        self._show = show

    def load(self, rate=None, target=None, **options):
        options.setdefault("connections", 12)
        return Load(target or self.cluster.target, rate=rate or self.rate, **options)

    def memory(self, *processes):
        return Memory(*(processes or self.cluster.routers))

    def row(self, what, complaints="", totals=None, *, refused=None, memory=None):
        """Begins a row; it is shown when the next one begins or the scenario ends."""
        self.flush()
        row = Row(self.name, complaints, what)
        if totals:
            row.account(totals, refused=refused)
        if memory:
            row.rss_mib = memory.most
        self.rows.append(row)
        return row

    def flush(self):
        if self.rows and not getattr(self.rows[-1], "shown", False):
            self.rows[-1].shown = True
            self._show(self.rows[-1])

    def either(self, quick, full):
        return quick if self.quick else full

    @staticmethod
    def rest(seconds):
        """Time that is itself the scenario, as in "30 s without a leader"."""
        time.sleep(seconds)
