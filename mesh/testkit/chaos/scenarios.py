"""The list of scenarios, and what each is given."""

import collections.abc
import dataclasses

from figures import Memory, Row
from load import Load
from security import security


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    run: collections.abc.Callable
    # It also runs in the short form, in `make test`.
    quick: bool

    @property
    def about(self):
        return self.run.__doc__.strip().splitlines()[0]


ALL = {}


def scenario(name, *, quick=False):
    """Registers a function that plays a scenario. `quick`: it is part of the short form."""

    def register(function):
        ALL[name] = Scenario(name, function, quick)
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
        self._shown = 0

    def load(self, rate=None, target=None, **options):
        """A load on the front door, or on `target`; not yet begun. See `Load`."""
        options = {"connections": 12, **security.load(), **options}
        return Load(target or self.cluster.target, rate=rate or self.rate, **options)

    def memory(self, *processes):
        return Memory(*(processes or self.cluster.routers))

    def row(self, what, complaints="", totals=None, *, refused=None, memory=None):
        """Begins a row with the books of a load, of which at most `refused` calls may have been refused."""
        self.flush()
        row = Row(self.name, complaints, what)
        if totals:
            row.account(totals, refused=refused)
        if memory:
            row.rss_mib = memory.most
        self.rows.append(row)
        return row

    def flush(self):
        """Shows the rows that are complete: a row is when the next begins, or the scenario ends."""
        for row in self.rows[self._shown :]:
            self._show(row)
        self._shown = len(self.rows)

    def either(self, quick, full):
        return quick if self.quick else full
