"""Requests: how many per second, and who answers them."""

import collections
import http.client
import re
import socket
import time

from lab import Alone, CannotMeasure, Cluster, NotInstalled, Ports, percentile, wait_listening, wait_ms
from table import Row

WORKERS = 2
CONNECTIONS = 16


class Nginx:
    """As many workers, each with a socket of its own, that answer a constant string."""

    def __init__(self, lab, workers):
        self.lab = lab
        self.workers = workers
        self.program = lab.tool("nginx")

    def __enter__(self):
        self.held = Ports()
        folder = self.lab.dir / "nginx"
        folder.mkdir(exist_ok=True)
        file = folder / "nginx.conf"
        file.write_text(f"""\
daemon off;
worker_processes {self.workers};
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{self.held.port} reuseport;
        location / {{ default_type text/plain; return 200 "web/0 pid 1234\\n"; }}
    }}
}}
""")
        self.master = self.lab.start([self.program, "-c", str(file), "-p", str(folder)])
        wait_listening(self.held.port, self.workers, self.master)
        return self

    def address(self):
        return "127.0.0.1", self.held.port

    def __exit__(self, *_):
        self.lab.end(self.master)
        self.held.close()


def wrk(lab, address, seconds, headers=()):
    """Requests per second, and what went wrong."""
    host, port = address
    command = [lab.tool("wrk"), "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    for header in headers:
        command += ["-H", header]
    text = lab.run([*command, f"http://{host}:{port}/"])
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", text, re.MULTILINE)
    if not rate:
        raise CannotMeasure(f"wrk said: {text}")
    trouble = re.findall(r"^\s*(Socket errors: .*|Non-2xx.*)$", text, re.MULTILINE)
    return float(rate.group(1)), trouble


def rounds(lab, servers, headers):
    """Each server's rates, taken in turns, so that a noisy minute hits them all."""
    seconds, count = (1, 2) if lab.quick else (1, 12)
    rates = {name: [] for name in servers}
    trouble = []
    for _ in range(count):
        for name, server in servers.items():
            rate, lines = wrk(lab, server.address(), seconds, headers)
            rates[name].append(rate)
            trouble += [f"{name}: {line}" for line in lines]
            wait_ms(100)
    return rates, trouble


def measured(lab, servers):
    modes = {"keep-alive": ((), 0.97), "a connection each": (("Connection: close",), 0.85)}
    for mode, (headers, goal) in modes.items():
        rates, trouble = rounds(lab, servers, headers)
        best = {name: max(values) for name, values in rates.items()}
        yield Row(f"requests/s, {mode}", f"{best['topsman']:.0f}",
                  f"{best['alone']:.0f} the same program alone", best["topsman"] / best["alone"],
                  ">=", goal, raw={"rates": rates, "trouble": trouble})
        if "nginx" in servers:
            # Only the keep-alive number has a goal: it is the parser and the loop that it compares.
            against = (">=", 0.6) if mode == "keep-alive" else (None, None)
            yield Row(f"requests/s against nginx, {mode}", f"{best['topsman']:.0f}",
                      f"{best['nginx']:.0f} nginx, a constant string",
                      best["topsman"] / best["nginx"], *against)


def load(lab):
    """topsman-http under topsman, alone, and nginx; two workers each."""
    lab.tool("wrk")
    with Cluster(lab, [lab.program("topsman-http")], WORKERS) as cluster, \
            Alone(lab, WORKERS) as alone:
        servers = {"alone": alone, "topsman": cluster}
        try:
            nginx = Nginx(lab, WORKERS)
        except NotInstalled as problem:
            yield from measured(lab, servers)
            yield Row.skipped("requests/s against nginx", str(problem))
            return
        with nginx:
            yield from measured(lab, {**servers, "nginx": nginx})


def answers(address, count):
    """How many of `count` connections, one after another, each process answered."""
    by = collections.Counter()
    for _ in range(count):
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("GET", "/", headers={"Connection": "close"})
        by[connection.getresponse().read().decode().split("pid")[-1].strip()] += 1
        connection.close()
    return sorted(by.values(), reverse=True)


def spread(counts, workers):
    counts = counts + [0] * (workers - len(counts))
    return max(counts) / max(1, min(counts))


def fairness(lab):
    """400 connections, one after another, over 4 workers that have nothing else to do."""
    workers, connections = 4, 400
    with Cluster(lab, [lab.program("topsman-http")], workers) as cluster:
        address = cluster.address()
        runs = [answers(address, connections) for _ in range(3)]
    with Alone(lab, workers) as alone:
        hashed = answers(alone.address(), connections)
    best = min(runs, key=lambda counts: spread(counts, workers))
    yield Row("fairness of 400 connections, max/min", "/".join(map(str, best)),
              f"{'/'.join(map(str, hashed))} by SO_REUSEPORT's hash", spread(best, workers), "<=",
              1.2, raw={"runs": runs, "reuse_port": hashed})


class Stuck:
    """A worker that works on one thing for `STUCK_S` and looks at nothing else meanwhile: its loop
    answers what was sent ahead without a pause."""

    STUCK_S = 2.0
    ASK = b"GET /fib?n=40 HTTP/1.1\r\nHost: bench\r\n\r\n"

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=60)
        self.file = self.socket.makefile("rb")
        began = time.monotonic()
        self.socket.sendall(self.ASK)
        self.read_answer()
        self.asked = max(1, round(self.STUCK_S / (time.monotonic() - began)))
        self.socket.sendall(self.ASK * self.asked)

    def read_answer(self):
        length = 0
        while (line := self.file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        self.file.read(length)

    def close(self):
        for _ in range(self.asked):
            self.read_answer()
        self.socket.close()


def latencies(address, until):
    """Seconds of each request on a connection of its own, one after another."""
    times = []
    while time.monotonic() < until:
        began = time.monotonic()
        connection = http.client.HTTPConnection(*address, timeout=30)
        connection.request("GET", "/", headers={"Connection": "close"})
        connection.getresponse().read()
        connection.close()
        times.append(time.monotonic() - began)
    return times


def skew(lab):
    """Requests to 4 workers while one of them is stuck, beside 4 idle ones while another program,
    which shares nothing but the processors with them, is as busy."""
    rounds_wanted = 1 if lab.quick else 3
    p99 = {"stuck": [], "idle": []}
    with Cluster(lab, [lab.program("topsman-http")], 4) as cluster, Alone(lab, 1) as other:
        for _ in range(rounds_wanted):
            for name, server in (("idle", other), ("stuck", cluster)):
                stuck = Stuck(server.address())
                times = latencies(cluster.address(), time.monotonic() + 0.75 * Stuck.STUCK_S)
                stuck.close()
                p99[name].append(percentile(times, 99))
    best = {name: min(values) for name, values in p99.items()}
    yield Row("p99 of requests beside a stuck worker", f"{best['stuck'] * 1e6:.0f} us",
              f"{best['idle'] * 1e6:.0f} us: beside another program as busy",
              best["stuck"] / best["idle"], "<=", 1.5, raw=p99)
