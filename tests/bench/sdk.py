"""The worker library's numbers, taken by sdk_bench (Google Benchmark)."""

import json
import os
import pathlib
import subprocess

from lab import CannotMeasure, NotInstalled, median
from table import Row


def ns(value):
    return f"{value:.2f} ns"


def time_of(times, name):
    if name not in times:
        raise CannotMeasure(f"sdk_bench has no {name}, only {', '.join(times)}")
    return times[name]


def sdk(lab):
    """Counters and mutexes against what a program would have without the library."""
    seconds = "0.05" if lab.quick else "0.2"
    rounds = 1 if lab.quick else 5
    text = lab.run([lab.program("sdk_bench"), "--benchmark_format=json",
                    f"--benchmark_min_time={seconds}", f"--benchmark_repetitions={rounds}"])
    runs, busy = {}, {}
    for run in json.loads(text)["benchmarks"]:
        if run.get("run_type") != "aggregate":
            runs.setdefault(run["name"].split("/")[0], []).append(run["real_time"])
            busy.setdefault(run["name"].split("/")[0], []).append(run["cpu_time"])
    times = {name: median(values) for name, values in runs.items()}
    cpu_times = {name: median(values) for name, values in busy.items()}
    add, hot = time_of(times, "CounterAdd"), time_of(times, "FetchAddOnOneHotWord")
    yield Row("a counter's add in the worker's lane", ns(add),
              f"{ns(hot)} fetch_add on one word of two processes", hot / add, ">=", 10, raw=times)
    own, plain = time_of(times, "MutexLockUnlock"), time_of(times, "PlainMutexLockUnlock")
    yield Row("a mutex's lock and unlock", ns(own), f"{ns(plain)} plain process-shared pthread mutex",
              own / plain, "<=", 3)
    over, copy = time_of(times, "BlockHandOver"), time_of(times, "CopyOfOneMiB")
    yield Row("a block of 1 MiB passed and taken", ns(over), f"{ns(copy)} memcpy of 1 MiB",
              copy / over, ">=", 100)
    # A difference of two small numbers: of the CPU's time, lest it be that of a neighbour.
    record, alone = time_of(cpu_times, "HistogramRecord"), time_of(cpu_times, "NumbersAlone")
    yield Row("a histogram's record, over the empty loop", ns(record - alone),
              f"{ns(alone)} the same loop without it", record - alone, "<=", 1, limit="1 ns")


def queue(lab):
    """The job queue, which acknowledges and redelivers, beside Boost's message_queue, which does not."""
    jobs, rounds = ("100000", "1") if lab.quick else ("1000000", "5")
    times = json.loads(lab.run([lab.program("queue_bench"), jobs, rounds]))
    for processes, goal in (("1", 1.3), ("1_and_1", 1.5), ("2_and_2", 1.7)):
        own, boost = time_of(times, f"ours_{processes}"), time_of(times, f"boost_{processes}")
        where = {"1": "in one process"}.get(processes, f"{processes.replace('_', ' ')} processes")
        beside = f"{ns(boost)} boost message_queue, send and receive"
        if processes == "1":
            beside += f"; {ns(time_of(times, 'bare_1'))} a job's exchanges and copies, and nothing else"
        yield Row(f"a job of 64 bytes submitted, taken, acked, {where}", ns(own), beside,
                  boost / own, ">=", goal, raw=times)


def sweep(lab):
    """The master's sweep of a worker that was killed with all jobs of a queue in its hands."""
    times = json.loads(lab.run([lab.program("sweep_bench"), "5" if lab.quick else "51"]))
    for jobs, limit in (("1024", 50), ("65536", 2000)):
        took = time_of(times, jobs)
        yield Row(f"sweep of a dead worker that ran {int(jobs):,} jobs", f"{took:.1f} us", "",
                  took, "<=", limit, limit=f"{limit} us", raw=times)


def piscina(lab):
    """Tasks that come back, over two workers: Node's way to the same shape of work. What the numbers
    do not compare: a task of Piscina is any JavaScript value and function, and resolves a promise;
    ours is bytes in a queue, and is executed even when its worker is killed."""
    environment = dict(lab.env, NODE_PATH=os.pathsep.join(
        [os.environ.get("NODE_PATH", ""), "/usr/local/lib/node_modules", "/usr/lib/node_modules"]))
    script = pathlib.Path(__file__).with_name("piscina.js")
    done = subprocess.run([lab.tool("node"), script, "20000" if lab.quick else "200000"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env=environment, timeout=600)
    if done.returncode == 3:
        raise NotInstalled("node has no piscina: npm install -g piscina, or say NODE_PATH")
    if done.returncode != 0:
        raise CannotMeasure(f"piscina.js: {done.stderr.strip() or done.returncode}")
    theirs = json.loads(done.stdout)["tasks_per_s"]
    own = lab.helper("queue_bench", "tasks", 200_000 if lab.quick else 2_000_000)["tasks_per_s"]
    yield Row("n + 1 by two workers, 256 on their way", f"{own / 1e6:.2f} M tasks/s",
              f"{theirs / 1e3:.0f} k tasks/s Piscina, two threads", own / theirs, ">=", 50)


def channel(lab):
    """Messages between workers, beside what the kernel has for that."""
    count, rounds = ("100000", "1") if lab.quick else ("1000000", "5")
    times = json.loads(lab.run([lab.program("channel_bench"), count, rounds]))
    pipe, futex = time_of(times, "pipe"), time_of(times, "futex_there_and_back")
    for name, what in (("one_way", "one by one"), ("one_way_together", "32 at a time")):
        own, bare = time_of(times, name), time_of(times, f"{name}_bare")
        yield Row(f"a message of 64 bytes to another process, {what}", ns(own),
                  f"{ns(bare)} over bare lines of cache, {ns(pipe)} through a pipe", own / 6, "<=", 1,
                  limit="6 ns", raw=times)
    own = time_of(times, "in_one_process")
    yield Row("a message sent, received, acked, in one process", ns(own), "", own)
    own, bare = time_of(times, "there_and_back"), time_of(times, "there_and_back_bare")
    word = time_of(times, "there_and_back_bare_word")
    yield Row("a message there and back, between two processes", ns(own),
              f"{ns(bare)} over bare lines of cache, {ns(word)} a word alone", own / 500, "<=", 1,
              limit="500 ns")
    own = time_of(times, "there_and_back_asleep")
    yield Row("the same between two that sleep", ns(own), f"{ns(futex)} a bare futex", own / futex, "<=", 1.3)
    own = time_of(times, "block")
    yield Row("a block of 1 MiB handed over by a message", ns(own), "", own / 200, "<=", 1, limit="200 ns")
