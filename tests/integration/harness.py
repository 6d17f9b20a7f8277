"""Runs real clusters in a directory of their own and waits for what happens in them.

Nothing here sleeps: it waits for a line of `topsman events`, a pidfd or a line of output, each with a
deadline that only a broken program reaches. After each test nothing may be left: no process, no
file in /dev/shm, no socket.
"""

import http.client
import itertools
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

DEADLINE = 30.0  # seconds; a safety net, never a measure
ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TOPSMAN_BIN", ROOT / "build" / "dev" / "bin"))
TOPSMAN = str(BIN / "topsman")
HTTP = str(BIN / "topsman-http")
MISBEHAVING = str(BIN / "misbehaving_worker")

_numbers = itertools.count(1)


def pool_yaml(command, more="", workers=1, name="web"):
    """A file with one pool; `more` are further lines of it."""
    return f"pools:\n  {name}:\n    command: {command}\n    workers: {workers}\n{more}"


def http_yaml(workers=2, address="127.0.0.1:0", more=""):
    """A pool of topsman-http behind the listener `http`."""
    return (f"listeners:\n  http: {{ address: \"{address}\" }}\n" +
            pool_yaml("[topsman-http]", f"    listeners: [http]\n    ready: {{ by: notify }}\n{more}", workers))


AT_ONCE = "    ready: { min_uptime: 10ms }\n"  # for programs that do not say when they are
SHARED = "shared:\n  counters: [orders]\n  mutexes: [stock]\n"


class Pidfd:
    """A process that can be waited for and signalled without its number being mistaken."""

    def __init__(self, pid):
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    def wait(self, timeout=DEADLINE):
        ready, _, _ = select.select([self.fd], [], [], timeout)
        return bool(ready)

    def send(self, number):
        signal.pidfd_send_signal(self.fd, number)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Cluster:
    """One cluster: a YAML file, its master, and the commands that look at it."""

    def __init__(self, test, yaml, name=None, env=None, args=(), files=()):
        self.test = test
        self.name = name or f"t{os.getpid()}-{next(_numbers)}"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="topsman-"))
        os.chmod(self.dir, 0o755)  # workers of another user read their files here
        self.runtime = self.dir / "run"
        self.runtime.mkdir(mode=0o755)
        self.file = self.dir / "cluster.yaml"
        self.args = list(args)
        self.env = dict(os.environ, RUNTIME_DIRECTORY=str(self.runtime), CLUSTER_DIR=str(self.dir))
        self.env["PATH"] = f"{BIN}:{self.env['PATH']}"
        self.env.pop("NOTIFY_SOCKET", None)
        self.env.update(env or {})
        for path, text in dict(files).items():
            self.write(path, text)
        self.write_yaml(yaml)
        self.master = None
        self.log_path = self.dir / "log"
        self.pids_seen = set()
        self.topsman = TOPSMAN
        self.program = TOPSMAN  # what the master is started from
        self.enter = []  # how commands get into another namespace
        test.addCleanup(self.clean_up)

    @property
    def segment(self):
        """Where the segment lies; an ordinary user's name has their number in it."""
        user = f"{os.getuid()}." if os.getuid() != 0 else ""
        return pathlib.Path(f"/dev/shm/topsman.{user}{self.name}")

    # ---- files ------------------------------------------------------------------------------

    def write(self, name, text, mode=0o644):
        path = self.dir / name
        path.write_text(text)
        os.chmod(path, mode)
        return path

    def wait_file(self, name, timeout=DEADLINE):
        """The text of a file that a worker writes, once it is there and ends in a newline."""
        end = time.monotonic() + timeout
        while True:
            path = self.dir / name
            text = path.read_text() if path.exists() else ""
            if text.endswith("\n"):
                return text
            if time.monotonic() >= end:
                self.test.fail(f"{name} was never written: {self.log()}")
            wait_for_change(path.parent, 0.2)

    def text(self, yaml):
        return f"cluster: {self.name}\n" + yaml

    def write_yaml(self, yaml):
        """Saves in place, as `cat >` and nano do."""
        self.file.write_text(self.text(yaml))

    def rename_yaml(self, yaml):
        """Writes beside and renames over, as vim and most editors do."""
        beside = self.dir / ".cluster.yaml.new"
        beside.write_text(self.text(yaml))
        os.rename(beside, self.file)

    # ---- the master -------------------------------------------------------------------------

    # wait_ready: True: until all are ready; False: until it can be looked at; None: not at all.
    def start(self, wait_ready=True, preexec_fn=None, expect=None, args=()):
        log = open(self.log_path, "ab")
        self.master = subprocess.Popen(
            [self.program, "run", *self.args, *args, str(self.file)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env, cwd=self.dir,
            preexec_fn=preexec_fn, start_new_session=True)
        log.close()
        if expect is not None:
            code = self.master.wait(DEADLINE)
            self.test.assertEqual(code, expect, self.log())
        elif wait_ready:
            self.wait_up()
        elif wait_ready is not None:
            self.wait_status(lambda s: s["master"]["state"] == "running" and s["pools"])
        return self

    def wait_up(self):
        """Every pool has as many ready workers as it wants."""
        self.wait_status(lambda s: s["master"]["state"] == "running" and s["pools"] and
                         all(p["ready"] == p["wanted"] for p in s["pools"]))

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def stop(self, *args, expect=0):
        self.cli("stop", *args, expect=expect)
        return self.wait_master()

    def wait_master(self):
        code = self.master.wait(DEADLINE)
        return code

    def kill_master(self):
        self.master.kill()
        self.master.wait(DEADLINE)

    def stop_master(self):
        """By SIGSTOP, and it has stopped."""
        self.master.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.master.pid, os.WSTOPPED | os.WNOWAIT)

    # ---- the commands -----------------------------------------------------------------------

    def cli(self, command, *args, expect=0, timeout=DEADLINE, stdin=""):
        done = subprocess.run([*self.enter, self.topsman, *command.split(), "-n", self.name, *args], env=self.env,
                              cwd=self.dir, input=stdin, capture_output=True, text=True,
                              timeout=timeout + 5)
        if expect is not None:
            self.test.assertEqual(done.returncode, expect,
                                  f"topsman {command} {args}: {done.stdout}{done.stderr}\n{self.log()}")
        return done

    def background(self, command, *args):
        """The same, not waited for."""
        return subprocess.Popen([*self.enter, self.topsman, *command.split(), "-n", self.name, *args],
                                env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_log(self, words, timeout=DEADLINE):
        end = time.monotonic() + timeout
        while words not in self.log():
            if time.monotonic() >= end:
                self.test.fail(f"never said {words!r}: {self.log()}")
            wait_for_change(self.log_path.parent, 0.2)

    def status(self):
        state = json.loads(self.cli("status", "--json").stdout)
        for pool in state["pools"]:
            for slot in pool["slots"]:
                if slot["pid"]:
                    self.pids_seen.add(slot["pid"])
        return state

    def pool(self, name="web"):
        return next(p for p in self.status()["pools"] if p["name"] == name)

    def pids(self, name="web", state="serving"):
        return [s["pid"] for s in self.pool(name)["slots"] if s["state"] == state]

    def slot(self, index, name="web"):
        """The current worker's line of a slot, or the empty slot's."""
        lines = [s for s in self.pool(name)["slots"] if s["slot"] == index]
        return next((s for s in lines if s["role"] == "current"), lines[0])

    def counter(self, name):
        done = self.cli("counters", "--json")
        return json.loads(done.stdout).get(name, {}).get("total", 0)

    # ---- events -----------------------------------------------------------------------------

    def events(self, since=0):
        done = self.cli("events", "--since", str(since))
        return [json.loads(line) for line in done.stdout.splitlines()]

    def last_seq(self):
        events = self.events()
        return events[-1]["seq"] if events else 0

    def wait_event(self, event, since=0, timeout=DEADLINE, **fields):
        """The first such event after `since` with these fields."""
        end = time.monotonic() + timeout
        while True:
            left = max(0.0, end - time.monotonic())
            done = self.cli("events", "--since", str(since), "--until", event, "--timeout",
                            f"{int(left * 1000)}ms", expect=None, timeout=timeout)
            lines = [json.loads(line) for line in done.stdout.splitlines()]
            for line in lines:
                if line["event"] == event and all(line.get(k) == v for k, v in fields.items()):
                    return line
            if lines:
                since = lines[-1]["seq"]
            if done.returncode not in (0,) or time.monotonic() >= end:
                self.test.fail(f"no event {event} {fields}: {done.stderr}\n{self.log()}")

    def wait_next(self, since, timeout):
        """Returns when anything has happened after `since`, or the time is over."""
        with subprocess.Popen([*self.enter, self.topsman, "events", "-n", self.name, "--since", str(since),
                               "--follow"], env=self.env, cwd=self.dir, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as following:
            select.select([following.stdout], [], [], timeout)
            following.kill()

    def wait_status(self, good, timeout=DEADLINE):
        """Waits for a state: looks again after each event, and each second for what is none."""
        end = time.monotonic() + timeout
        while True:
            # Before the master has made its segment there is nothing to follow: inotify is ours.
            done = self.cli("status", "--json", expect=None)
            if done.returncode == 0:
                seq = self.last_seq()
                state = self.status()
                if good(state):
                    return state
                self.wait_next(seq, min(1.0, max(0.0, end - time.monotonic())))
            else:
                if self.master.poll() is not None:
                    self.test.fail(f"the master ended with {self.master.returncode}: {self.log()}")
                wait_for_change(self.runtime, 0.2)
            if time.monotonic() >= end:
                self.test.fail(f"never so: {json.dumps(self.status(), indent=1)}\n{self.log()}")

    # ---- the end ----------------------------------------------------------------------------

    def clean_up(self):
        if self.master is not None and self.master.poll() is None:
            try:
                self.status()
            except Exception:  # noqa: BLE001  the master may be hung on purpose
                pass
            self.master.send_signal(signal.SIGCONT)
            self.master.terminate()
            try:
                self.master.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.master.kill()
                self.master.wait()
                self.test.fail("the master did not stop: " + self.log())
        if self.master is not None and self.master.returncode is not None and self.master.returncode >= 0:
            left = [f.name for f in self.runtime.iterdir() if not f.name.endswith(".lock")]
            self.test.assertEqual(left, [], "files left in the runtime directory")
            segments = [f for f in os.listdir("/dev/shm")
                        if f.startswith("topsman.") and f.endswith("." + self.name)]
            self.test.assertEqual(segments, [], "segments left")
            alive = [p for p in self.pids_seen if is_ours(p, self.name)]
            self.test.assertEqual(alive, [], "workers left")
        else:
            for pid in self.pids_seen:
                if is_ours(pid, self.name):
                    os.kill(pid, signal.SIGKILL)
            for f in os.listdir("/dev/shm"):
                if f.startswith("topsman.") and self.name in f:
                    os.unlink("/dev/shm/" + f)
        shutil.rmtree(self.dir, ignore_errors=True)


def is_ours(pid, cluster):
    """Is that number still a worker of that cluster? Numbers are used again."""
    try:
        environ = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z" and f"TOPSMAN_CLUSTER={cluster}".encode() in environ.split(b"\0")


def wait_for_change(directory, timeout):
    """Returns when something in the directory changes, or the time is over."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        libc.inotify_add_watch(fd, str(directory).encode(), 0x100 | 0x80 | 0x8)  # IN_CREATE | IN_MOVED_TO | IN_CLOSE_WRITE
        select.select([fd], [], [], timeout)
    finally:
        os.close(fd)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def port_of(cluster, listener="http"):
    address = next(l["address"] for l in cluster.status()["listeners"] if l["name"] == listener)
    return int(address.rsplit(":", 1)[1])


def get(port, path="/", method="GET", body=None, timeout=DEADLINE, host="127.0.0.1"):
    """(status, text) of one request on a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers={"Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


class TestCase(unittest.TestCase):
    def cluster(self, yaml, **options):
        return Cluster(self, yaml, **options)


def main():
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[1:]])
