"""What the measurements share: a cluster in a directory of its own, processes that end, numbers."""

import json
import os
import pathlib
import select
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

PATIENCE = 60.0  # seconds; ends a run that hangs, measures nothing


class CannotMeasure(Exception):
    """Why there is no number: what is measured did not work."""


class NotInstalled(CannotMeasure):
    """A program is missing: no fault of what is measured."""


def median(values):
    return statistics.median(values)


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def place():
    """A file system in memory, as services have it for such files: /run, or /dev/shm."""
    for folder in ("/run", os.environ.get("XDG_RUNTIME_DIR", ""), "/dev/shm"):
        if folder and os.access(folder, os.W_OK) and kind_of(folder) == "tmpfs":
            return folder
    return None


def kind_of(folder):
    """The type of a mount point's file system; "" if nothing is mounted there."""
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind = line.split()[:3]
        if where == folder:
            return kind
    return ""


class Lab:
    """Where the programs are, how long to measure, and what has to be ended afterwards."""

    def __init__(self, bin_dir, quick):
        self.bin = pathlib.Path(bin_dir).resolve()
        self.quick = quick
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="topsman-bench-", dir=place()))
        os.chmod(self.dir, 0o755)
        self.runtime = self.dir / "run"
        self.runtime.mkdir(mode=0o700)
        # As a service manager gives it, for all that is measured: a spawn copies each variable, so
        # a developer's long environment would be part of the number.
        self.env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER", "LOGNAME")
                    if name in os.environ}
        self.env["RUNTIME_DIRECTORY"] = str(self.runtime)
        self.running = []
        self.clusters = 0

    def program(self, name):
        path = self.bin / name
        if not path.exists():
            raise NotInstalled(f"{path} is not built")
        return str(path)

    def tool(self, name):
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if path is None:
            raise NotInstalled(f"{name} is not installed")
        return path

    def start(self, command, env={}, **options):
        log = open(self.dir / "log", "ab")
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env={**self.env, **env}, **options)
        log.close()
        self.running.append(process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process in self.running:
            self.running.remove(process)

    def run(self, command, timeout=600):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=self.env, timeout=timeout)
        if done.returncode != 0:
            raise CannotMeasure(f"{pathlib.Path(command[0]).name}: "
                                f"{done.stderr.strip() or done.returncode}")
        return done.stdout

    def helper(self, name, *words, timeout=600):
        return json.loads(self.run([self.program(name), *map(str, words)], timeout))

    def log_tail(self):
        path = self.dir / "log"
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    def close(self):
        for process in reversed(list(self.running)):
            self.end(process)
        shutil.rmtree(self.dir, ignore_errors=True)


class Cluster:
    """One pool `web` of `workers` under topsman, on a free port of the loopback interface."""

    def __init__(self, lab, command, workers):
        lab.clusters += 1
        self.lab = lab
        self.name = f"bench{os.getpid()}-{lab.clusters}"
        self.command = command
        self.workers = workers
        self.file = lab.dir / f"{self.name}.yaml"
        self.write()
        self.topsman = lab.program("topsman")
        self.start()

    def start(self, **env):
        self.began_ns = time.monotonic_ns()
        self.master = self.lab.start([self.topsman, "run", str(self.file)], env)

    def write(self, pool="", listeners="", address="127.0.0.1:0", workers=None):
        """The file, with more lines of the pool and of the listeners."""
        self.file.write_text(f"""\
cluster: {self.name}
listeners:
  http: {{ address: "{address}" }}
{listeners}pools:
  web:
    command: {json.dumps(self.command)}
    listeners: [http]
    workers: {workers or self.workers}
    ready: {{ by: notify }}
{pool}shared:
  counters: [orders]
  mutexes: [stock]
watch: true
""")

    def __enter__(self):
        try:
            self.board = self.lab.helper("bench_start", "board", self.name, self.workers)
        except CannotMeasure as problem:
            self.lab.end(self.master)
            raise CannotMeasure(f"{problem}; its log ends: {self.lab.log_tail()}") from None
        return self

    def __exit__(self, *_):
        self.lab.end(self.master)

    def topsman_says(self, *words):
        command, *more = words
        return self.lab.run([self.topsman, command, "-n", self.name, *more])

    def status(self):
        return json.loads(self.topsman_says("status", "--json"))

    def address(self):
        host, port = self.status()["listeners"][0]["address"].rsplit(":", 1)
        return host, int(port)


class Ports:
    """A port that several programs may bind by SO_REUSEPORT: held, but not listened on."""

    def __init__(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    def close(self):
        self.socket.close()


class Alone:
    """`count` topsman-http without a supervisor, each with a socket of its own on one port."""

    def __init__(self, lab, count):
        self.lab = lab
        self.count = count

    def __enter__(self):
        self.held = Ports()
        self.processes = []
        for _ in range(self.count):
            self.processes.append(self.lab.start(
                [self.lab.program("topsman-http"), "--listen", f"127.0.0.1:{self.held.port}",
                 "--reuse-port"]))
        for process in self.processes:
            wait_listening(self.held.port, self.count, process)
        return self

    def address(self):
        return "127.0.0.1", self.held.port

    def __exit__(self, *_):
        for process in self.processes:
            self.lab.end(process)
        self.held.close()


def listening_sockets(port):
    """How many sockets listen on the port, by proc(5)."""
    wanted = f":{port:04X}"
    count = 0
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        count += fields[1].endswith(wanted) and fields[3] == "0A"
    return count


def wait_listening(port, count, process):
    """Looks again every 10 ms, or as soon as the process ends."""
    pidfd = os.pidfd_open(process.pid)
    try:
        deadline = time.monotonic() + PATIENCE
        while listening_sockets(port) < count:
            ended, _, _ = select.select([pidfd], [], [], 0.01)
            if ended or time.monotonic() > deadline:
                raise CannotMeasure(f"{process.args[0]} does not listen on port {port}")
    finally:
        os.close(pidfd)


def wait_ms(milliseconds):
    """The machine comes to rest; nothing is waited for."""
    select.select([], [], [], milliseconds / 1000)
