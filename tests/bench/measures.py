"""The supervisor's own numbers: deaths, starts, memory, wake-ups, the status command."""

import pathlib
import re
import subprocess
import time

from lab import CannotMeasure, Cluster, median, percentile, wait_ms
from table import Row

MANY = 64  # workers


def us(ns):
    return f"{ns / 1000:.0f} us"


def ms(ns):
    return f"{ns / 1e6:.2f} ms"


def respawn(lab):
    """A worker is killed: when is its replacement there, and when is it ready?"""
    kills = 60 if lab.quick else 300
    stamps = f"@topsman-bench.{lab.dir.name}"
    lab.env["BENCH_STAMPS"] = stamps
    probe = lab.program("bench_probe")
    with Cluster(lab, [probe], 32) as cluster:
        wait_ms(300)
        small = lab.helper("bench_respawn", cluster.name, 32, kills, stamps, probe)
    del lab.env["BENCH_STAMPS"]
    death, execed = median(small["bare_death"]), median(small["bare_exec"])
    bare = death + execed
    act = death + median(small["bare_first_act"])
    yardstick = f"{us(death)} bare SIGKILL to pidfd + {us(execed)} bare fork to exec"
    yield Row("kill to the new pid, median", us(median(small["pid"])), yardstick,
              median(small["pid"]) / bare, "<=", 1.0, raw=summary(small))
    yield Row("kill to the new pid, p99", us(percentile(small["pid"], 99)), yardstick,
              percentile(small["pid"], 99) / bare, "<=", 4.0)
    yield Row("kill to exec of the new one done, median", us(median(small["spawned"])), yardstick,
              median(small["spawned"]) / bare)
    yield Row("kill to the new program's first act, median", us(median(small["first_act"])),
              f"{us(act)} bare, likewise", median(small["first_act"]) / act)
    yield from ready(lab, kills)


def ready(lab, kills):
    http = lab.program("topsman-http")
    with Cluster(lab, [http], 32) as cluster:
        wait_ms(300)
        times = lab.helper("bench_respawn", cluster.name, 32, kills, "-", http)
    own = median(times["bare_ready"])
    took = median(times["ready"])
    yield Row("kill to topsman-http ready, median", ms(took),
              f"{ms(own)} its own start-up + 2 ms", took / (own + 2e6), "<=", 1.0,
              raw=summary(times))


def summary(arrays):
    return {name: {"n": len(values), "min_ns": min(values), "median_ns": median(values),
                   "p90_ns": percentile(values, 90), "p99_ns": percentile(values, 99),
                   "max_ns": max(values)} for name, values in arrays.items()}


def start(lab):
    """64 workers, from the start of topsman itself until the last is ready."""
    http = lab.program("topsman-http")
    rounds = 3 if lab.quick else 7
    bare, topsman, inside = [], [], []
    for _ in range(rounds):
        bare.append(lab.helper("bench_start", "bare", MANY, http)["ready_ns"])
        wait_ms(200)
        with Cluster(lab, [http], MANY) as cluster:
            last = max(cluster.board["ready_at_ns"])
            topsman.append(last - cluster.began_ns)
            inside.append(last - min(cluster.board["spawned_at_ns"]))
        wait_ms(200)
    yardstick = f"{ms(median(bare))} bare loop of fork and exec"
    raw = {"bare_ns": bare, "topsman_ns": topsman, "from_first_spawn_ns": inside}
    yield Row(f"{MANY} workers ready, from `topsman run`", ms(median(topsman)), yardstick,
              median(topsman) / median(bare), "<=", 1.3, raw=raw)
    yield Row(f"{MANY} workers ready, from the first spawn", ms(median(inside)), yardstick,
              median(inside) / median(bare))


def rollup(pid):
    """The Pss lines of smaps_rollup, in bytes (proc(5))."""
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return {name: int(kib) * 1024
            for name, kib in re.findall(r"^(Pss_\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def threads(pid):
    """By thread: its name, and how often it went to sleep or was made to stop."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        text = (task / "status").read_text()
        value = {key: int(number) for key, number in
                 re.findall(r"^((?:non)?voluntary_ctxt_switches):\s+(\d+)$", text, re.MULTILINE)}
        found[int(task.name)] = ((task / "comm").read_text().strip(),
                                 value["voluntary_ctxt_switches"] +
                                 value["nonvoluntary_ctxt_switches"])
    return found


def idle(lab):
    """What the master costs while 64 workers have nothing to do."""
    seconds = 5 if lab.quick else 30
    with Cluster(lab, [lab.program("topsman-http")], MANY) as cluster:
        pid = cluster.master.pid
        wait_ms(2500)
        before = threads(pid)
        wait_ms(seconds * 1000)
        after = threads(pid)
        memory = rollup(pid)
    own = memory["Pss_Anon"] + memory["Pss_File"]
    limit = 8 << 20
    mib = {name: f"{value / (1 << 20):.2f} MiB" for name, value in memory.items()}
    yield Row(f"master's memory, {MANY} workers", f"{own / (1 << 20):.2f} MiB",
              f"anon {mib['Pss_Anon']}, file {mib['Pss_File']}; segment {mib['Pss_Shmem']} apart",
              own / limit, "<=", 1.0, limit="8 MiB", raw=memory)
    woken = {task: count - before.get(task, ("", 0))[1] for task, (_, count) in after.items()}
    others = sum(woken.values()) - woken[pid]
    yield Row(f"master's wake-ups in {seconds} s", str(woken[pid]),
              f"{others} of its other {len(woken) - 1} threads", woken[pid], "<=", 0,
              raw={f"{after[task][0]}/{task}": count for task, count in woken.items()})


def wall(command, env):
    begin = time.perf_counter_ns()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=env)
    took = time.perf_counter_ns() - begin
    if done.returncode != 0:
        raise CannotMeasure(f"{command}: {done.stderr.decode().strip()}")
    return took


def status(lab):
    """`topsman status` of 64 workers, as a program that is started."""
    rounds = 20
    with Cluster(lab, [lab.program("topsman-http")], MANY) as cluster:
        command = [cluster.topsman, "status", "-n", cluster.name]
        wait_ms(500)
        took, floor = [], []
        for _ in range(rounds):
            took.append(wall(command, lab.env))
            floor.append(wall(["/bin/true"], lab.env))
    yield Row(f"topsman status, {MANY} workers", ms(median(took)),
              f"{ms(median(floor))} /bin/true", median(took) / 20e6, "<=", 1.0, limit="20 ms",
              raw={"status_ns": took, "true_ns": floor,
                   "times_bin_true": median(took) / median(floor)})
