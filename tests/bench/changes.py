"""Changes to a cluster under load: what they cost those who ask. Nothing may fail, and each answer
is counted once in shared memory."""

import json
import os
import random
import select
import socket
import subprocess
import threading
import time

from lab import PATIENCE, CannotMeasure, Cluster, median, wait_ms
from table import Row

CONNECTIONS = 8


class Client:
    """One bench_client, from its first answers until stop()."""

    def __init__(self, lab, address, *words):
        host, port = address
        self.process = subprocess.Popen(
            [lab.program("bench_client"), host, str(port), str(CONNECTIONS), *map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=lab.env)
        lab.running.append(self.process)
        self.lab = lab
        if not select.select([self.process.stdout], [], [], PATIENCE)[0] or \
                self.process.stdout.readline() != "going\n":
            raise CannotMeasure("the clients had no first answers")

    def stop(self):
        text, _ = self.process.communicate("", PATIENCE)
        self.lab.end(self.process)
        if self.process.returncode != 0:
            raise CannotMeasure(f"bench_client ended with {self.process.returncode}")
        return json.loads(text)


class Load:
    """Clients that keep their connections and clients that do not, at the highest rate."""

    def __init__(self, lab, address):
        self.clients = [Client(lab, address), Client(lab, address, "--close")]

    def stop(self):
        """(answers, {what failed: how often})"""
        answers, failed = 0, {}
        for said in [client.stop() for client in self.clients]:
            answers += said["answers"]
            for what, count in said["failed"].items():
                failed[what] = failed.get(what, 0) + count
        return answers, failed


def under_load(lab, cluster, name, change):
    """A row: `change` says what it did."""
    before = cluster.status()["counters"].get("http_requests", {"total": 0})["total"]
    load = Load(lab, cluster.address())
    began = time.monotonic()
    what = change()
    seconds = time.monotonic() - began
    answers, failed = load.stop()
    counted = cluster.status()["counters"]["http_requests"]["total"] - before
    lost = sum(failed.values()) + abs(counted - answers)
    measured = f"{sum(failed.values())} of {answers} requests failed"
    if counted != answers:
        measured += f", {counted} counted"
    return Row(name, measured, f"{what} in {seconds:.1f} s", float(lost), "<=", 0,
               raw={"failed": failed, "answers": answers, "counted": counted})


class Changing(Cluster):
    """A cluster that is changed, and whose master is killed."""

    def __init__(self, lab, workers):
        self.ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ready.bind(str(lab.dir / f"ready-{lab.clusters}"))
        self.ready.settimeout(PATIENCE)
        self.turn = 0
        super().__init__(lab, [lab.program("topsman-http")], workers)
        lab.helper("bench_start", "board", self.name, workers)
        self.http = super().address()

    def start(self, **env):
        super().start(NOTIFY_SOCKET=self.ready.getsockname(), **env)
        while b"READY=1" not in self.ready.recv(4096):
            pass

    def address(self):
        return self.http  # whatever other listeners there are

    def write_new(self, good=True, delay="0s", **more):
        """Another version: each of its workers has to be replaced."""
        self.turn += 1
        pool = f"    environment: {{ TURN: '{self.turn}' }}\n" \
               f"    rollout: {{ observe: 0s, delay: {delay} }}\n"
        self.write(pool if good else "    workres: 3\n", address="{}:{}".format(*self.http), **more)

    def kill_master(self):
        """Seconds from its death until the next one is ready."""
        self.master.kill()
        self.master.wait(PATIENCE)
        self.lab.end(self.master)
        began = time.monotonic()
        self.start()
        return time.monotonic() - began

    def workers_alive(self):
        return [slot["pid"] for slot in self.status()["pools"][0]["slots"] if slot["state"] == "serving"]


def restarts(cluster, count):
    for _ in range(count):
        cluster.topsman_says("restart", "web")
    return f"{count * cluster.workers} workers replaced"


def reloads(cluster, count):
    for _ in range(count):
        cluster.write_new()
        cluster.topsman_says("reload")
    return f"{count} reloads of {cluster.workers} workers"


def scalings(cluster, count):
    for _ in range(count):
        cluster.topsman_says("scale", "web=64")
        cluster.topsman_says("scale", "web=1")
    cluster.topsman_says("scale", f"web={cluster.workers}")
    return f"1 to 64 to 1, {count} times"


def moves(cluster, count):
    spare = socket.create_server(("127.0.0.2", 0)).getsockname()[1]
    for turn in range(count):
        cluster.write_new(
            listeners=f'  other: {{ address: "127.0.0.{2 + turn % 2}:{spare}" }}\n')
        cluster.topsman_says("reload")
    return f"another listener moved {count} times"


def adoptions(cluster, count):
    times = [cluster.kill_master() for _ in range(count)]
    return f"{count} masters killed and followed, {median(times) * 1000:.0f} ms each,"


def upgrades(cluster, count):
    """Of the program by itself: the same file, executed anew."""
    began = time.monotonic()
    for _ in range(count):
        cluster.topsman_says("upgrade")
    each = (time.monotonic() - began) / count
    return f"{count} upgrades, {each * 1000:.0f} ms each with its check,"


def storm(cluster, seconds):
    """Saves good and bad files until `seconds` are over; the last one is good."""
    dice = random.Random(1)
    descriptors = f"/proc/{cluster.master.pid}/fd"
    before = len(os.listdir(descriptors))
    saved, until, pause = 0, time.monotonic() + seconds, threading.Event()
    while time.monotonic() < until:
        cluster.write_new(good=saved % 2 == 0, workers=dice.randint(1, 8))
        saved += 1
        pause.wait(dice.uniform(0, 0.025))
    cluster.write_new()
    cluster.topsman_says("reload")
    alive = cluster.workers_alive()
    if len(alive) != cluster.workers or cluster.master.poll() is not None:
        raise CannotMeasure(f"after the storm there are {alive}; its log ends: {cluster.lab.log_tail()}")
    after = len(os.listdir(descriptors))
    if after > before + 1:  # the command's own connection may still be there
        raise CannotMeasure(f"{before} descriptors before the storm, {after} after it")
    return f"{saved} files saved, every other one bad,"


def p99_while_restarting(lab, cluster, delay):
    """At half of the highest rate: at the highest, a new process's start takes its time from the
    clients, whatever the supervisor does."""
    cluster.write_new(delay=delay)
    cluster.topsman_says("reload")
    seconds, rounds = (1, 1) if lab.quick else (3, 3)

    def rate_of(*words, change=lambda: wait_ms(100)):
        client = Client(lab, cluster.address(), *words)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            change()
        return client.stop()

    highest = rate_of()
    half = highest["answers"] / highest["seconds"] / 2
    times = {"undisturbed": [], "restarting": []}
    for _ in range(rounds):
        times["undisturbed"].append(rate_of("--rate", half)["p99_us"])
        times["restarting"].append(
            rate_of("--rate", half, change=lambda: cluster.topsman_says("restart", "web"))["p99_us"])
    best = {name: min(values) for name, values in times.items()}
    return Row(f"changes: p99 while all are replaced, {delay} apart", f"{best['restarting']} us",
               f"{best['undisturbed']} us undisturbed, {half:.0f} requests/s",
               best["restarting"] / max(1, best["undisturbed"]), "<=", 2.0, raw=times)


def changes(lab):
    few = 0.1 if lab.quick else 1.0
    turns = [("rolling restarts", restarts, 125), ("reloads", reloads, 200),
             ("scaling", scalings, 20), ("listeners", moves, 50), ("killed masters", adoptions, 50),
             ("upgrades", upgrades, 50), ("a storm of files", storm, 30)]
    with Changing(lab, 8) as cluster:
        cluster.write_new()
        cluster.topsman_says("reload")
        for name, change, count in turns:
            yield under_load(lab, cluster, f"changes: {name}",
                             lambda: change(cluster, max(1, int(count * few))))
        for delay in ("0s", "100ms"):
            yield p99_while_restarting(lab, cluster, delay)
