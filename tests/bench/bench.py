#!/usr/bin/env python3
"""Measures topsman against yardsticks of the same machine and run. See README.md beside it."""

import argparse
import datetime
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True

import changes  # noqa: E402
import measures  # noqa: E402
import sdk  # noqa: E402
import spares  # noqa: E402
import traffic  # noqa: E402
from lab import CannotMeasure, Lab, NotInstalled  # noqa: E402
from table import Row, as_text  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]

MEASURES = {
    "respawn": measures.respawn,
    "spares": spares.spares,
    "start": measures.start,
    "idle": measures.idle,
    "status": measures.status,
    "load": traffic.load,
    "fairness": traffic.fairness,
    "skew": traffic.skew,
    "changes": changes.changes,
    "sdk": sdk.sdk,
    "queue": sdk.queue,
    "sweep": sdk.sweep,
    "piscina": sdk.piscina,
    "channel": sdk.channel,
}


def arguments():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME",
                        help=f"only these: {' '.join(MEASURES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a look, not a result")
    parser.add_argument("--realtime", action="store_true",
                        help="at a real-time priority (root): other work disturbs less")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path,
                        default=ROOT / "build" / "dev" / "bench.json", help="where to write it")
    parser.add_argument("--bin", metavar="DIR", type=pathlib.Path,
                        default=ROOT / "build" / "dev" / "bin", help="where the programs are")
    wanted = parser.parse_args()
    for name in wanted.names:
        if name not in MEASURES:
            parser.error(f"no measure is called {name}; there are {', '.join(MEASURES)}")
    return wanted


def machine():
    model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
             if line.startswith("model name")]
    return {"cpus": os.cpu_count(), "cpu": model[0] if model else platform.machine(),
            "kernel": platform.release(), "load": os.getloadavg()[0],
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds")}


def measure(lab, name):
    """The rows of one measure; a failure is a row too."""
    try:
        yield from MEASURES[name](lab)
    except NotInstalled as problem:
        yield Row.skipped(name, str(problem))
    except (CannotMeasure, subprocess.TimeoutExpired) as problem:
        yield Row.failed(name, str(problem))


def main():
    wanted = arguments()
    # Ended by a signal it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    facts = machine()
    if facts["load"] > 0.5 * facts["cpus"]:
        print(f"bench: load average {facts['load']:.1f}: other work disturbs these numbers",
              file=sys.stderr)
    if wanted.realtime:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))  # inherited by all it starts
    lab = Lab(wanted.bin, wanted.quick)
    rows = []
    try:
        for name in wanted.names or MEASURES:
            began = time.monotonic()
            print(f"bench: {name} ...", end="", file=sys.stderr, flush=True)
            rows += measure(lab, name)
            print(f" {time.monotonic() - began:.0f} s", file=sys.stderr)
    finally:
        lab.close()
    print(f"{facts['cpus']} x {facts['cpu']}, Linux {facts['kernel']}, {facts['date']}"
          f"{', quick' if wanted.quick else ''}"
          f"{', at real-time priority' if wanted.realtime else ''}\n\n{as_text(rows)}")
    wanted.json.parent.mkdir(parents=True, exist_ok=True)
    wanted.json.write_text(json.dumps(
        {"machine": facts, "quick": wanted.quick, "realtime": wanted.realtime,
          "rows": [row.as_json() for row in rows]},
        indent=1) + "\n")
    missed = [row.name for row in rows if row.met is False]
    print(f"\n{sum(row.met is True for row in rows)} met, {len(missed)} missed, "
          f"{sum(row.measured == 'skipped' for row in rows)} skipped, "
          f"{sum(row.measured == 'FAILED' for row in rows)} failed; {wanted.json}")
    return 1 if missed or any(row.measured == "FAILED" for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
