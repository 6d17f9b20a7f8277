"""From the death of the only worker to the first answer of the next one, with a spare and without."""

import json
import os
import select
import signal
import socket
import time

from lab import PATIENCE, CannotMeasure, Cluster, median, percentile
from table import Row

START_MS = 2_000
SPARES = 8
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def gap_ms(cluster, address):
    """One death: the worker's, by SIGKILL."""
    [pid] = [line["pid"] for line in cluster.status()["pools"][0]["slots"] if line["role"] == "current"]
    pidfd = os.pidfd_open(pid)
    try:
        # Dead before anybody asks: else the one that dies could take the connection along.
        began = time.monotonic()
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        if not select.select([pidfd], [], [], PATIENCE)[0]:
            raise CannotMeasure("the worker did not die")
        with socket.create_connection(address, timeout=PATIENCE) as client:
            client.sendall(REQUEST)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise CannotMeasure("no answer after the death of the worker")
        return (time.monotonic() - began) * 1_000
    finally:
        os.close(pidfd)


def wait_for_spares(lab, cluster, since):
    """Until one is parked; the last event then."""
    while True:
        pool = cluster.status()["pools"][0]
        if any(line["state"] == "parked" for line in pool["slots"]) and pool["ready"] == 1:
            return since
        text = lab.run([cluster.topsman, "events", "-n", cluster.name, "--since", str(since),
                        "--until", "spare.parked", "--timeout", f"{int(PATIENCE)}s"])
        since = json.loads(text.splitlines()[-1])["seq"]


def gaps(lab, command, spares, count):
    cluster = Cluster(lab, command, 1)
    cluster.write(pool=f"    spares: {spares}\n    backoff: {{ initial: 0ms }}\n")
    with cluster:
        cluster.topsman_says("reload")
        address = cluster.address()
        measured, since = [], 0
        for _ in range(count):
            if spares > 0:
                since = wait_for_spares(lab, cluster, since)
            measured.append(gap_ms(cluster, address))
        return measured


def spares(lab):
    slow = [lab.program("plain_server"), "0", str(START_MS)]
    kinds = [("frozen", slow), ("parked", [lab.program("topsman-http")])]
    for kind, command in kinds:
        bare = median(gaps(lab, command, 0, 1 if lab.quick else 3))
        with_spare = gaps(lab, command, SPARES, 20 if lab.quick else 200)
        half, most = median(with_spare), percentile(with_spare, 99)
        without = f"{bare:.1f} ms without a spare"
        name = f"spare {kind}: death to answer"
        yield Row(name, f"median {half:.2f} ms", without, half / 1, "<=", 1, "1 ms", with_spare)
        yield Row(f"{name}, p99", f"{most:.2f} ms", without, most / 5, "<=", 1, "5 ms")
