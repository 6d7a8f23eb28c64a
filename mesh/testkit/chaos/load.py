"""Runs `chaos-load`, which makes calls at a fixed rate and keeps the books."""

import json
import subprocess
import threading
import time

from processes import BINARIES, eventually


class Load:
    """A constant load, from `with` to its end or to `stop`. `totals` are the books when it has ended.

    Options are those of chaos-load: `Load(target, rate=500, streams=20, ping=2)`.
    """

    def __init__(self, target, **options):
        words = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        # A flag has no value.
        words = [word for word in words if word != "True"]
        self.argv = [str(BINARIES / "chaos-load"), "--target", target, *words]
        self.seconds = []
        # How often it has read its certificates again.
        self.reloads = 0
        self.totals = None

    def start(self):
        self.began = time.monotonic()
        # Its standard input is the leash: it ends with this process.
        self.child = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def _read(self):
        for line in self.child.stdout:
            entry = json.loads(line)
            if "reloads" in entry:
                self.reloads = entry["reloads"]
            elif entry.get("final"):
                self.totals = entry
            else:
                self.seconds.append(entry)

    @property
    def now(self):
        """Seconds since it began, as the books have them."""
        return time.monotonic() - self.began

    def last(self, key):
        return self.seconds[-1][key] if self.seconds else 0

    def run_for(self, seconds):
        """Returns when that many more seconds were booked: wall time on a machine that keeps up."""
        goal = len(self.seconds) + seconds
        eventually(seconds * 4 + 30, lambda: len(self.seconds) >= goal or self.child.poll() is not None)
        assert self.child.poll() is None, f"chaos-load ended with {self.child.returncode}"

    def settle(self, limit=60):
        """Returns when calls succeed and nothing is refused for two seconds on end."""
        begun = len(self.seconds)
        calm = lambda: len(self.seconds) >= begun + 2 and all(  # noqa: E731
            entry["refused"] == 0 and entry["ok"] > 0 for entry in self.seconds[-2:]
        )
        eventually(limit, calm)

    def stop(self):
        """Ends it; returns the books when every call has ended."""
        if self.totals is None:
            self.child.stdin.close()
            try:
                self.child.wait(60)
            except subprocess.TimeoutExpired:
                self.child.kill()
                raise AssertionError("chaos-load did not end") from None
            self.reader.join(10)
            assert self.totals is not None, f"chaos-load ended with {self.child.returncode} and without its books"
        return self.totals

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.child.kill()
            self.child.wait()


def refusals(totals, worst=4):
    """The refusals of the books, most frequent first, in words."""
    entries = sorted(totals["refused"].items(), key=lambda entry: -entry[1]["count"])
    return [
        f"{entry['count']} x {key} at {entry['first_second']:.1f}-{entry['last_second']:.1f} s: {entry['message'][:140]}"
        for key, entry in entries[:worst]
    ]
