"""`make chaos`: breaks a whole mesh in every way that it must survive, under constant load with every call accounted for.

    run.py [--quick] [--rate N] [--list] [SCENARIO ...]

Prints what was found row by row and then as a table, and writes both to target/chaos/. A verdict is `holds`, `misses`
(a figure is off the number that its row asks for, on this machine) or `BROKEN` (a promise that holds on any machine, or
the books). Exit code 1 if anything is broken. SWITCHBOARD_BIN_DIR says where the binaries are.
"""

import argparse
import importlib
import os
import pathlib
import signal
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

import report  # noqa: E402
from cluster import Cluster  # noqa: E402
from processes import BINARIES  # noqa: E402
from scenarios import ALL, Fire  # noqa: E402
from stubs import ROOT  # noqa: E402

for _group in ("rolling", "streams", "losses", "registry", "memory", "floods"):
    importlib.import_module(_group)

# Calls per second: what issue 6 asks for, and what a debug build carries on two busy cores.
RATE, QUICK_RATE = 2000, 150


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the short form, for any build and any machine")
    parser.add_argument("--rate", type=float, help=f"calls per second; {RATE}, or {QUICK_RATE} with --quick")
    parser.add_argument("--list", action="store_true", help="list the scenarios")
    parser.add_argument("--repeat", type=int, default=1, help="how many times")
    parser.add_argument("scenario", nargs="*", help="only these, or those that begin so")
    return parser.parse_args()


def chosen(words, quick):
    if not words:
        return [entry for entry in ALL.values() if entry.quick or not quick]
    found = [entry for entry in ALL.values() if any(entry.name.startswith(word) for word in words)]
    if not found:
        sys.exit(f"no scenario {' '.join(words)}; there are: {' '.join(ALL)}")
    return found


def play(entry, cluster, quick, rate):
    """Runs one scenario; whatever goes wrong in it becomes a row."""
    fire = Fire(cluster, entry.name, quick, rate, report.show)
    try:
        entry.run(fire)
        fire.flush()
    except Exception as error:  # noqa: BLE001 it is reported, and the others run
        row = fire.row(f"{entry.name}: did not come to its end")
        row.promise(False, f"{type(error).__name__}: {error}")
        fire.flush()
        traceback.print_exc(file=sys.stdout)
        print(cluster.tails())
    try:
        cluster.repair()
    except Exception as error:  # noqa: BLE001 likewise
        row = fire.row(f"{entry.name}: the mesh does not become complete again")
        row.promise(False, f"{type(error).__name__}: {error}")
        fire.flush()
        print(cluster.tails())
        raise SystemExit(finish(fire.rows, "the mesh could not be repaired")) from None
    return fire.rows


def finish(rows, about):
    print("\n" + report.table(rows))
    folder = pathlib.Path(os.environ.get("SWITCHBOARD_CHAOS_OUT", ROOT / "target/chaos"))
    report.write(rows, folder, about)
    broken = report.failed(rows)
    print(f"\n{about}\n{len(rows) - len(broken)} of {len(rows)} rows without a broken promise; {folder}/report.md")
    return 1 if broken else 0


def main():
    options = arguments()
    if options.list:
        for entry in ALL.values():
            print(f"{entry.name:20} {entry.about}" + (" [quick]" if entry.quick else ""))
        return 0
    # An end by SIGTERM goes through `finally` too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    rate = options.rate or (QUICK_RATE if options.quick else RATE)
    begun = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory(prefix="switchboard-chaos-") as folder:
        cluster = Cluster(pathlib.Path(folder))
        try:
            cluster.start()
            print(f"the mesh is complete after {time.monotonic() - begun:.0f} s; {rate:.0f} calls/s", flush=True)
            for _ in range(options.repeat):
                for entry in chosen(options.scenario, options.quick):
                    started = time.monotonic()
                    rows += play(entry, cluster, options.quick, rate)
                    print(f"        {entry.name}: {time.monotonic() - started:.0f} s with repairs", flush=True)
        except AssertionError:
            print(cluster.tails())
            raise
        finally:
            cluster.stop()
    build = f"{BINARIES.name} build, {os.cpu_count()} cores, {rate:.0f} calls/s"
    return finish(rows, f"{build}, {time.monotonic() - begun:.0f} s.")


if __name__ == "__main__":
    sys.exit(main())
