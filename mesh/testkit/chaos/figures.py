"""What a scenario found: rows of the table, each with its checks; and what /proc says about processes."""

import dataclasses
import os
import pathlib
import threading

from load import refusals

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")

HOLDS, MISSES, BROKEN = "holds", "misses", "BROKEN"


@dataclasses.dataclass
class Row:
    """One line of the table. A promise that fails is broken; a figure that is off depends on the machine and misses."""

    scenario: str
    complaints: str
    what: str
    totals: dict = None
    rss_mib: float = None
    notes: list = dataclasses.field(default_factory=list)
    broken: list = dataclasses.field(default_factory=list)
    missed: list = dataclasses.field(default_factory=list)

    def promise(self, kept, text):
        """Something that holds on any machine."""
        (self.notes if kept else self.broken).append(text)

    def figure(self, kept, text):
        """A number that the complaint's row asks for."""
        (self.notes if kept else self.missed).append(text)

    def note(self, text):
        self.notes.append(text)

    def account(self, totals, *, refused=None):
        """Takes the books in: every call must have ended, and rightly. At most `refused` of them with a status."""
        self.totals = totals
        ends = {key: totals[key] for key in ("wrong_count", "lost", "unended")}
        balance = totals["sent"] == totals["ok"] + totals["refused_count"] + sum(ends.values())
        if not balance or any(ends.values()):
            self.broken.append(f"the books do not balance: {ends} of {totals['sent']}; {totals['wrong'][:3]}")
        if totals["held_back"]:
            self.missed.append(f"the load generator held back {totals['held_back']} calls")
        if refused is not None and totals["refused_count"] > refused:
            self.broken.append(f"{totals['refused_count']} calls refused, at most {refused} may be")
        self.notes.extend(refusals(totals))
        if totals["sent_anew"]:
            self.notes.append(f"{totals['sent_anew']} calls had not been sent when their connection ended, and were made again")
        streams = totals["streams"]
        if streams["opened"]:
            broken = streams["broken"]
            text = f"{len(broken)} of {streams['opened']} open streams broken, {streams['messages']} messages"
            self.promise(not broken, f"{text} {broken[:3]}" if broken else text)

    @property
    def verdict(self):
        return BROKEN if self.broken else MISSES if self.missed else HOLDS


def rss_mib(process):
    """Resident memory of a process; 0 when it has ended."""
    try:
        return int(pathlib.Path(f"/proc/{process.child.pid}/statm").read_text().split()[1]) * _PAGE / 2**20
    except (OSError, IndexError):
        return 0.0


def cpu_seconds(process):
    """Processor time of a process so far."""
    try:
        fields = pathlib.Path(f"/proc/{process.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICK
    except (OSError, IndexError):
        return 0.0


class Memory:
    """Watches the resident memory of processes from `with` to its end: the most of any of them."""

    def __init__(self, *processes):
        self.processes = processes
        self.stopped = threading.Event()
        self.most = 0.0

    def __enter__(self):
        self.before = max(rss_mib(process) for process in self.processes)
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        while True:
            self.most = max(self.most, *(rss_mib(process) for process in self.processes))
            if self.stopped.wait(0.02):
                return

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    @property
    def growth(self):
        return self.most - self.before
