"""P3: the master dies, its workers serve on, and the next master goes on with them."""

import ctypes
import json
import os
import pathlib
import platform
import signal
import subprocess
import time
import unittest

from harness import Pidfd, TestCase, get, is_ours, main, port_of, wait_for_change
from test_promises import Load, yaml

HTTP = """
listeners:
  http: {{ address: "{address}"{listener} }}
pools:
  web:
    command: [topsman-http]
    listeners: [http]
    workers: {workers}
    ready: {{ by: notify }}
{more}
"""

# A program without the worker library: it says what the files it is told of say, by sd_notify(3).
TALKER = """
import os, signal, socket, sys
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        try:
            s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
        except OSError:
            pass
def on_signal(number, _):
    if number == signal.SIGUSR1:
        say("READY=1")
        open(os.path.join(os.environ["CLUSTER_DIR"], "said"), "w").write("READY\\n")
    elif number == signal.SIGUSR2:
        say("STATUS=still here")
    else:
        sys.exit(0)
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, on_signal)
print("hello from", os.getpid(), flush=True)
open(os.path.join(os.environ["CLUSTER_DIR"], "up"), "w").write("%d\\n" % os.getpid())
while True:
    signal.pause()
"""


def http(workers=3, more="", address="127.0.0.1:0", listener=""):
    return HTTP.format(workers=workers, more=more, address=address, listener=listener)


def command(words, more="", workers=1):
    return f"pools:\n  web:\n    command: {words}\n    workers: {workers}\n{more}"


def environ_of(pid):
    return pathlib.Path(f"/proc/{pid}/environ").read_bytes()


def kernel_tells_exits():
    """Linux 6.15, once the process is reaped: here by us, where pid 1 may take its time."""
    return tuple(int(n) for n in platform.release().split("-")[0].split(".")[:2]) >= (6, 15)


class Adopting(TestCase):
    def setUp(self):
        # The workers of a dead master become our children.
        ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER

    def end(self, pid, number):
        """Ends an adopted worker, and reaps it as the process that inherits it does."""
        os.kill(pid, number)
        os.waitid(os.P_PID, pid, os.WEXITED)

    def again(self, c, **options):
        """The master is killed and another one started. The log and what happened since."""
        before = len(c.log())
        seq = c.last_seq()
        c.kill_master()
        self.assertEqual(c.status()["master"]["state"], "dead")
        c.start(**options)
        return seq, c.log()[before:]

    def notify_sockets(self, c):
        return sum(".notify." in f.name for f in c.runtime.iterdir())

    def living(self, c):
        """Every process of the cluster, whoever knows of it: the workers, by their environment."""
        pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
        return sorted(p for p in pids if is_ours(p, c.name))


class GoingOn(Adopting):
    def test_a_new_master_goes_on_with_the_living_workers(self):
        c = self.cluster(http(4)).start()
        port = port_of(c)
        for _ in range(10):
            get(port)
        c.cli("restart", "web/1")
        before = c.status()
        c.kill_master()
        self.assertEqual(c.status()["master"]["state"], "dead")
        for _ in range(5):
            self.assertEqual(get(port)[0], 200)
        seq = c.last_seq()
        c.start()
        after = c.status()
        self.assertEqual(after["master"]["state"], "running")
        self.assertEqual(port_of(c), port)
        keep = ("slot", "worker", "role", "pid", "state", "generation", "restarts", "last_exit")
        for old, new in zip(before["pools"][0]["slots"], after["pools"][0]["slots"]):
            self.assertEqual([new[k] for k in keep], [old[k] for k in keep])
            self.assertGreater(new["uptime_s"], old["uptime_s"])
        self.assertEqual(c.counter("http_requests"), 15)
        events = c.events(seq)
        self.assertEqual([e["event"] for e in events].count("worker.adopted"), 4)
        self.assertNotIn("worker.spawned", [e["event"] for e in events])
        self.assertEqual(self.living(c), sorted(c.pids()))

    def test_an_adopted_cluster_is_repaired_reloaded_scaled_and_stopped(self):
        c = self.cluster(http(3)).start()
        port = port_of(c)
        self.again(c)
        victim = c.slot(0)
        seq = c.last_seq()
        self.end(victim["pid"], signal.SIGKILL)
        died = c.wait_event("worker.exited", since=seq, pid=victim["pid"])
        if kernel_tells_exits():
            self.assertIn("SIGKILL", died["reason"])
        c.wait_event("worker.ready", since=seq, slot=0)
        self.assertEqual(c.slot(0)["restarts"], 1)
        c.cli("scale", "web=5")
        self.assertEqual(len(self.living(c)), 5)
        c.cli("scale", "web=2")
        self.assertEqual(len(self.living(c)), 2)
        c.write_yaml(http(2, "    environment: { ROUND: '2' }\n"))
        old = set(c.pids())
        c.cli("reload")
        self.assertEqual(set(c.pids()) & old, set())
        self.assertEqual(get(port)[0], 200)
        self.again(c)
        self.assertEqual(c.stop(), 0)
        self.assertEqual(self.living(c), [])

    def test_what_was_scaled_and_given_up_stays_so(self):
        c = self.cluster(http(2) + "  bad:\n    command: [sh, -c, 'exit 78']\n    workers: 1\n")
        c.start(wait_ready=False)
        c.wait_status(lambda s: s["pools"][0]["ready"] == 2 and s["pools"][1]["breaker"] == "open")
        c.cli("scale", "web=4")
        seq, _ = self.again(c, wait_ready=False)
        c.wait_event("worker.adopted", since=seq)
        state = c.wait_status(lambda s: s["pools"][0]["ready"] == 4)
        self.assertEqual(state["pools"][1]["breaker"], "open")
        self.assertIn("78", state["pools"][1]["slots"][0]["last_exit"])
        self.assertNotIn("worker.spawned", [e["event"] for e in c.events(seq)])
        # The file is true again when it says something else.
        c.kill_master()
        c.write_yaml(http(3) + "  bad:\n    command: [sh, -c, 'exit 78']\n    workers: 1\n")
        c.start(wait_ready=False)
        c.wait_status(lambda s: s["pools"][0]["ready"] == s["pools"][0]["wanted"] == 3)

    def test_who_dies_while_there_is_no_master_is_mourned_and_replaced(self):
        c = self.cluster(http(3)).start()
        victim = c.slot(1)
        seq = c.last_seq()
        c.kill_master()
        with Pidfd(victim["pid"]) as process:
            process.send(signal.SIGKILL)
            self.assertTrue(process.wait())
        c.start()
        died = c.wait_event("worker.exited", since=seq, pid=victim["pid"])
        self.assertIn("unknown", died["reason"])
        now = c.slot(1)
        self.assertEqual(now["restarts"], 1)
        self.assertIn("unknown", now["last_exit"])
        self.assertEqual(self.notify_sockets(c), 3, "the dead one's is left")

    def test_twenty_masters_killed_under_load_drop_nothing_and_count_each(self):
        c = self.cluster(yaml(3)).start()
        pids = c.pids()
        with Load(port_of(c)) as load:
            for _ in range(20):
                self.again(c)
        self.assertEqual(load.failures, [])
        self.assertEqual(c.counter("http_requests"), load.answers)
        self.assertEqual(c.pids(), pids)

    def test_reuse_port_and_unix_sockets_are_taken_over_too(self):
        c = self.cluster(http(3, address="127.0.0.1:0", listener=", accept: reuse_port")).start()
        port = port_of(c)
        self.again(c)
        self.assertEqual(port_of(c), port)
        self.assertEqual(len({get(port)[1].split()[2] for _ in range(90)}), 3)
        c.cli("restart", "web")
        self.assertEqual(len({get(port)[1].split()[2] for _ in range(90)}), 3)

    def test_output_that_was_waiting_and_what_is_said_later_reach_the_new_master(self):
        c = self.cluster("", files={"talker.py": TALKER})
        c.write_yaml(command(f"[python3, -B, {c.dir}/talker.py]",
                             "    ready: { by: notify }\n    output: { to: prefix }\n"))
        c.start(wait_ready=None)
        pid = int(c.wait_file("up"))
        os.kill(pid, signal.SIGUSR1)
        c.wait_up()
        _, _ = self.again(c)
        os.kill(pid, signal.SIGUSR2)
        c.wait_status(lambda s: s["pools"][0]["slots"][0]["status"] == "still here" or
                      c.cli("status") is None)
        self.assertEqual(c.pids(), [pid])


class Bad(Adopting):
    def test_a_ready_that_nobody_heard_is_answered_by_a_replacement_first(self):
        c = self.cluster("", files={"talker.py": TALKER})
        c.write_yaml(command(f"[python3, -B, {c.dir}/talker.py]",
                             "    ready: { by: notify, timeout: 1s }\n"))
        c.start(wait_ready=None)
        pid = int(c.wait_file("up"))
        c.kill_master()
        os.kill(pid, signal.SIGUSR1)
        c.wait_file("said")
        os.unlink(c.dir / "up")
        c.start(wait_ready=None)
        heir = int(c.wait_file("up"))
        self.assertNotEqual(heir, pid)
        with Pidfd(pid) as old:
            self.assertFalse(old.wait(0), "it was sent away before its replacement was ready")
            os.kill(heir, signal.SIGUSR1)
            self.assertTrue(old.wait())
        c.wait_up()
        self.assertEqual(c.pids(), [heir])

    def test_the_worker_library_s_ready_is_not_lost(self):
        c = self.cluster(http(2)).start()
        # Stopped before it is ready: it goes on when there is no master.
        seq = c.last_seq()
        c.cli("restart", "web/0", "--no-wait")
        born = c.wait_event("worker.spawned", since=seq, slot=0)
        os.kill(born["pid"], signal.SIGSTOP)
        c.kill_master()
        os.kill(born["pid"], signal.SIGCONT)
        c.start()
        self.assertEqual(len(self.living(c)), 2)

    @unittest.skipUnless(kernel_tells_exits(), "the kernel does not tell how another's child ended")
    def test_the_exit_of_an_adopted_worker_is_judged_as_always(self):
        c = self.cluster("pools:\n" + "".join(
            f"  {name}:\n    command: [sh, -c, \"trap 'exit {code}' TERM; while :; do sleep 1000 & wait; done\"]\n"
            f"    restart: on-failure\n    workers: 1\n    ready: {{ by: none, min_uptime: 0s }}\n"
            for name, code in (("done", 0), ("bad", 78), ("failed", 3)))).start()
        self.again(c)
        seq = c.last_seq()
        for name in ("done", "bad", "failed"):
            self.end(c.pids(name)[0], signal.SIGTERM)
        for name, code in (("done", 0), ("bad", 78), ("failed", 3)):
            died = c.wait_event("worker.exited", since=seq, pool=name)
            self.assertIn(f"code {code}", died["reason"])
        c.wait_event("worker.spawned", since=seq, pool="failed")
        c.wait_event("slot.tripped", since=seq, pool="bad")
        self.assertEqual(c.slot(0, "done")["state"], "finished")

    def test_a_file_that_changed_meanwhile_is_rolled_out(self):
        c = self.cluster(http(3)).start()
        old = set(c.pids())
        generation = c.slot(0)["generation"]
        with Load(port_of(c)) as load:
            c.kill_master()
            c.write_yaml(http(3, "    environment: { CHANGED: 'yes' }\n"))
            seq = c.last_seq()
            c.start(wait_ready=None)
            c.wait_event("rollout.done", since=seq)
        self.assertEqual(load.failures, [])
        c.wait_up()
        self.assertEqual(set(c.pids()) & old, set())
        self.assertGreater(c.slot(0)["generation"], generation)
        for pid in c.pids():
            self.assertIn(b"CHANGED=yes", environ_of(pid))

    def test_a_bad_file_does_not_take_down_what_was_adopted(self):
        c = self.cluster(http(2)).start()
        old = c.pids()
        port = port_of(c)
        c.kill_master()
        c.write_yaml(http(2).replace("[topsman-http]", "[sh, -c, 'exit 1']"))
        seq = c.last_seq()
        c.start(wait_ready=None)
        c.wait_event("rollout.failed", since=seq)
        self.assertEqual(c.pids(), old)
        self.assertEqual(get(port)[0], 200)

    def test_a_pool_that_the_file_has_not_any_more_leaves(self):
        more = "  jobs:\n    command: [sleep, '1000']\n    workers: 2\n    ready: { by: none, min_uptime: 0s }\n"
        c = self.cluster(http(2) + more).start()
        jobs = c.pids("jobs")
        c.kill_master()
        c.write_yaml(http(2))
        c.start(wait_ready=None)
        for pid in jobs:
            with Pidfd(pid) as job:
                self.assertTrue(job.wait())
        self.assertEqual([p["name"] for p in c.wait_status(lambda s: len(s["pools"]) == 1)["pools"]], ["web"])

    def test_a_listener_that_moved_is_bound_and_its_workers_replaced(self):
        c = self.cluster(http(2)).start()
        first = port_of(c)
        old = [Pidfd(p) for p in c.pids()]
        c.kill_master()
        c.write_yaml(http(2, address="127.0.0.2:0"))
        seq = c.last_seq()
        c.start(wait_ready=None)
        for process in old:
            self.assertTrue(process.wait())
            process.close()
        c.wait_up()
        self.assertEqual(get(port_of(c), host="127.0.0.2")[0], 200)
        c.wait_event("listener.closed", since=seq)
        with self.assertRaises(OSError):
            get(first)

    def test_a_worker_that_cannot_be_proven_is_never_touched(self):
        """A record names a stranger's process: it lives on, and one sentence says why."""
        c = self.cluster(command("[sleep, '1000']", "    ready: { by: none, min_uptime: 0s }\n")).start()
        worker = c.pids()[0]
        stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        c.kill_master()
        self.lie(c, worker, stranger.pid)
        c.start(expect=1)
        self.assertIn(f"not adoptable: web/0 (pid {stranger.pid})", c.log())
        self.assertIsNone(stranger.poll())
        self.lie(c, stranger.pid, worker)
        c.start()
        self.assertEqual(c.pids(), [worker])

    def test_a_stranger_in_the_record_is_not_ended_either(self):
        """Neither by stop nor by a take-over, and the workers beside it are not touched."""
        c = self.cluster(command("[sleep, '1000']", "    ready: { by: none, min_uptime: 0s }\n", workers=2)).start()
        workers = c.pids()
        stranger = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        self.addCleanup(stranger.wait)
        self.addCleanup(stranger.kill)
        c.kill_master()
        self.lie(c, workers[1], stranger.pid)
        sentence = f"web/1 (pid {stranger.pid}): nothing shows that it is a worker of cluster {c.name}"
        for how in ((), ("--fast",), ("--now",)):
            self.assertIn(sentence, c.cli("stop", *how, expect=1).stderr)
        c.start(expect=1, args=["--take-over"])
        self.assertIn(sentence, c.log())
        self.assertIsNone(stranger.poll())
        for pid in workers:
            with Pidfd(pid) as worker:
                self.assertFalse(worker.wait(0))
        self.lie(c, stranger.pid, workers[1])
        c.start()
        self.assertEqual(c.pids(), workers)

    def lie(self, c, pid, other):
        """Writes another process's number and start time where a worker may write: its own lane."""
        path = c.segment
        data = bytearray(path.read_bytes())

        def ticks(p):
            return int(pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[19])

        def number(value, size):
            return value.to_bytes(size, "little")
        lane = data.find(number(ticks(pid), 8))
        while data[lane - 16:lane - 12] != number(pid, 4):
            lane = data.find(number(ticks(pid), 8), lane + 1)
            self.assertGreater(lane, 0)
        with open(path, "r+b") as f:
            f.seek(lane - 16)
            f.write(number(other, 4))
            f.seek(lane)
            f.write(number(ticks(other), 8))
            f.seek(lane - 16 + 56)
            f.write(number(0, 8))  # the pidfd's inode


class Kept(Adopting):
    """What the generations of the living are is known, whatever the file says by now."""

    CRASHES = "[sh, -c, 'echo no database >&2; exit 3']"
    GOOD = "    environment: { RELEASE: good }\n"

    def good(self, more=""):
        return http(2, self.GOOD + more)

    def crashing(self, more=""):
        return self.good(more).replace("[topsman-http]", self.CRASHES)

    def check_repaired_with_the_good(self, c):
        """An old worker dies: its replacement is what it was."""
        seq = c.last_seq()
        generation = c.slot(1)["generation"]
        os.kill(c.slot(1)["pid"], signal.SIGKILL)
        born = c.wait_event("worker.ready", since=seq, slot=1)
        self.assertIn(b"RELEASE=good", environ_of(born["pid"]))
        self.assertEqual(c.slot(1)["generation"], generation)
        self.assertEqual(get(port_of(c))[0], 200)

    def roll_back(self, c):
        c.write_yaml(self.crashing("    output: { to: prefix }\n"))
        c.cli("reload", expect=4)

    def test_a_file_that_cannot_be_read_is_refused_and_the_old_goes_on(self):
        c = self.cluster(self.good()).start()
        pids = c.pids()
        c.kill_master()
        c.write_yaml("pools: [\n")
        seq = c.last_seq()
        c.start(wait_ready=None)
        refused = c.wait_event("config.refused", since=seq)
        self.assertIn(str(c.file), refused["reason"])
        self.assertIn("the file was refused: cluster.yaml:", c.status()["master"]["note"])
        self.assertEqual(c.pids(), pids)
        self.check_repaired_with_the_good(c)
        c.write_yaml(http(3, self.GOOD))
        c.cli("reload")
        self.assertEqual(c.status()["master"]["note"], "")
        self.assertEqual(len(c.pids()), 3)

    def test_a_file_whose_workers_crash_is_rolled_back_and_the_old_goes_on(self):
        c = self.cluster(self.good()).start()
        pids = c.pids()
        c.kill_master()
        c.write_yaml(self.crashing())
        seq = c.last_seq()
        c.start(wait_ready=None)
        c.wait_event("rollout.rolled_back", since=seq)
        self.assertEqual(c.pids(), pids)
        self.check_repaired_with_the_good(c)

    def test_what_was_rolled_back_stays_so_and_says_so(self):
        c = self.cluster(self.good()).start()
        self.roll_back(c)
        before = c.status()
        seq, log = self.again(c)
        after = c.status()
        self.assertIn("the file differs from what runs", after["master"]["note"])
        self.assertEqual(after["master"]["note"], before["master"]["note"])
        self.assertIn("rolled back: web/0: new worker exited with code 3", c.cli("status").stdout)
        self.assertIn("the file says what was rolled back", log)
        self.check_repaired_with_the_good(c)
        events = [e["event"] for e in c.events(seq)]
        self.assertNotIn("rollout.started", events)
        self.assertEqual(events.count("worker.spawned"), 1)
        c.cli("reload", expect=4)
        c.write_yaml(self.good())
        c.cli("reload")
        self.assertEqual(c.status()["master"]["note"], "")

    def test_what_was_rolled_back_stays_so_when_everybody_is_killed(self):
        c = self.cluster(self.good()).start()
        self.roll_back(c)
        self.kill_all(c)
        c.start()
        self.assertIn("the file differs from what runs", c.status()["master"]["note"])
        self.check_repaired_with_the_good(c)
        self.kill_all(c)
        c.write_yaml("pools: [\n")
        c.start()
        self.check_repaired_with_the_good(c)
        # What was not rolled back is simply started, though it will not run.
        self.kill_all(c)
        c.write_yaml(self.crashing("    nice: 1\n"))
        seq = c.last_seq()
        c.start(wait_ready=None)
        self.assertIn("code 3", c.wait_event("worker.exited", since=seq)["reason"])

    def kill_all(self, c):
        pids = c.pids()
        c.kill_master()
        for pid in pids:
            self.end(pid, signal.SIGKILL)

    def test_a_stop_forgets(self):
        c = self.cluster(self.good()).start()
        self.assertEqual(c.stop(), 0)
        c.write_yaml("pools: [\n")
        c.start(expect=78)

    def test_a_reload_that_its_master_did_not_survive_can_still_be_taken_back(self):
        c = self.cluster(self.good()).start()
        old = c.pids()
        c.write_yaml(http(4, "    environment: { RELEASE: new }\n    rollout: { observe: 1h }\n"))
        seq = c.last_seq()
        c.cli("reload", "--no-wait")
        canary = c.wait_event("worker.ready", since=seq)
        c.wait_status(lambda s: any(x["pid"] == canary["pid"] and x["state"] == "serving" for x in s["pools"][0]["slots"]))
        seq, _ = self.again(c, wait_ready=None)
        again = c.wait_event("worker.ready", since=seq)
        self.assertNotEqual(again["pid"], canary["pid"])
        self.assertIn(b"RELEASE=new", environ_of(again["pid"]))
        self.assertIn("canary", c.pool()["rollout"])
        c.cli("rollback")
        self.assertEqual(c.pids(), old)
        self.check_repaired_with_the_good(c)

    def test_what_was_paused_stays_paused_and_each_dies_into_its_own_generation(self):
        c = self.cluster(http(3, self.GOOD)).start()
        # The third new worker fails; the first two are what the file says.
        c.write_yaml(http(3, self.GOOD + "    rollout: { on_failure: pause, observe: 10ms }\n").replace(
            "[topsman-http]", "[sh, -c, 'test $TOPSMAN_SLOT -lt 2 && exec topsman-http']"))
        c.cli("reload", expect=1)
        before = c.status()["pools"][0]
        self.assertEqual([s["generation"] for s in before["slots"]], [2, 2, 1])
        seq, _ = self.again(c)
        after = c.status()["pools"][0]
        self.assertEqual([s["pid"] for s in after["slots"]], [s["pid"] for s in before["slots"]])
        self.assertEqual(after["rollout"], "paused")
        for slot, generation in ((0, 2), (2, 1)):
            seq = c.last_seq()
            os.kill(c.slot(slot)["pid"], signal.SIGKILL)
            c.wait_event("worker.ready", since=seq, slot=slot)
            self.assertEqual(c.slot(slot)["generation"], generation)
        c.cli("rollback")
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {1})

    def test_what_is_kept_is_the_master_s_own_and_forgotten_with_its_generation(self):
        c = self.cluster(self.good("    env_file: extra.env\n"), files={"extra.env": "TOKEN=secret\n"})
        c.start()
        path = c.runtime / f"{c.name}.generations"
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        # What a generation was is known though its file of variables is gone.
        os.unlink(c.dir / "extra.env")
        self.again(c)
        self.check_repaired_with_the_good(c)
        self.assertIn(b"TOKEN=secret", environ_of(c.slot(1)["pid"]))
        for word in ("second", "third"):
            self.assertIn("RELEASE: good", path.read_text())
            c.write_yaml(http(2, f"    environment: {{ RELEASE: {word} }}\n"))
            c.cli("reload")
        self.assertNotIn("RELEASE: good", path.read_text())
        self.assertNotIn("secret", path.read_text())

    def test_what_others_may_write_is_not_believed(self):
        c = self.cluster(self.good()).start()
        self.roll_back(c)
        pids = c.pids()
        path = c.runtime / f"{c.name}.generations"
        c.kill_master()
        os.chmod(path, 0o666)
        c.start(wait_ready=None)
        c.wait_log("is not a file that only its owner")
        self.assertEqual(c.pids(), pids)


class AtAnyTime(Adopting):
    def test_stop_ends_what_a_dead_master_has_left(self):
        c = self.cluster(http()).start()
        workers = [Pidfd(pid) for pid in c.pids()]
        c.kill_master()
        done = c.cli("stop")
        self.assertIn("its workers are ended", done.stdout)
        self.assertEqual(done.stdout.count("asked to leave"), 3, done.stdout)
        for worker in workers:
            self.assertTrue(worker.wait(0), done.stdout)
        self.assertEqual(sorted(os.listdir(c.runtime)), [c.name + ".lock"])
        self.assertFalse(os.path.exists(c.segment))
        c.cli("stop", expect=3)

    def test_stop_without_a_master_knows_the_pool_s_own_way(self):
        stubborn = command('[/bin/sh, -c, "trap : TERM; trap \'exit 0\' USR1; echo up > $CLUSTER_DIR/up; while :; do sleep 0.01; done"]',
                           "    stop_signal: USR1\n    stop_timeout: 1h\n")
        c = self.cluster(stubborn).start()
        c.wait_file("up")
        c.kill_master()
        self.assertIn("its workers are ended", c.cli("stop").stdout)

    def test_stop_without_a_master_and_without_a_readable_file(self):
        c = self.cluster(command('[/bin/sh, -c, "trap : TERM; echo up > $CLUSTER_DIR/up; while :; do sleep 0.01; done"]')).start()
        c.wait_file("up")
        worker = Pidfd(c.pids()[0])
        c.kill_master()
        c.file.write_text("no: configuration")
        self.assertIn("killing it", c.cli("stop", "--now").stdout)
        self.assertTrue(worker.wait(0))

    def test_workers_that_shall_not_outlive_the_master_get_their_stop_signal(self):
        asked = ("[/bin/sh, -c, \"trap 'echo INT > $CLUSTER_DIR/got; exit 0' INT; echo up > $CLUSTER_DIR/up; "
                 "while :; do sleep 0.01; done\"]")
        user = "    user: nobody\n" if os.geteuid() == 0 else ""
        c = self.cluster(command(asked, "    stop_signal: SIGINT\n    on_master_death: stop\n") +
                         "  kept:\n    command: [sleep, '1000']\n" +
                         f"  other:\n    command: [sleep, '1000']\n    on_master_death: stop\n{user}").start()
        c.wait_file("up")
        web, kept, other = (Pidfd(c.pids(name)[0]) for name in ("web", "kept", "other"))
        self.again(c)
        self.assertTrue(web.wait() and other.wait())
        self.assertEqual((c.dir / "got").read_text(), "INT\n")
        self.assertFalse(kept.wait(0))
        c.wait_up()
        self.assertEqual(c.pids("kept"), [kept.pid])
        self.assertNotIn(web.pid, c.pids())
        self.assertNotIn(other.pid, c.pids("other"))

    def test_killed_while_it_starts_workers(self):
        c = self.cluster(http(8))
        c.start(wait_ready=None)
        while not (c.runtime / f"{c.name}.json").exists():
            wait_for_change(c.runtime, 0.2)
        for spawned in range(1, 9):
            seen = 0
            while seen < spawned and c.master.poll() is None:
                done = c.cli("events", "--since", "0", expect=None)
                events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
                seen = events.count("worker.spawned") + events.count("worker.adopted")
            c.kill_master()
            c.start(wait_ready=None)
        c.wait_up()
        self.assertEqual(self.living(c), sorted(c.pids()))
        self.assertEqual(len(c.pids()), 8)

    def test_killed_during_a_reload(self):
        c = self.cluster(yaml(4)).start()
        with Load(port_of(c)) as load:
            for i in range(5):
                seq = c.last_seq()
                c.write_yaml(yaml(4, more=f"    environment: {{ ROUND: '{i}' }}\n"))
                c.cli("reload", "--no-wait")
                for _ in range(i):
                    seq = c.wait_event("worker.ready", since=seq)["seq"]
                self.again(c, wait_ready=None)
                c.wait_status(lambda s: s["master"]["state"] == "running" and all(
                    p["ready"] == p["wanted"] and p["rollout"] == "" and len(p["slots"]) == 4 for p in s["pools"]))
                for pid in c.pids():
                    self.assertIn(f"ROUND={i}".encode(), environ_of(pid).split(b"\0"), c.log())
        self.assertEqual(load.failures, [])
        self.assertEqual(self.living(c), sorted(c.pids()))

    def test_killed_while_it_adopts(self):
        c = self.cluster(http(6)).start()
        pids = c.pids()
        for i in range(12):
            c.kill_master()
            started = time.monotonic()
            c.start(wait_ready=None)
            while time.monotonic() < started + i * 0.003:
                pass  # a moment of its start, whichever it is
        c.kill_master()
        c.start()
        self.assertEqual(c.pids(), pids)
        self.assertEqual(self.living(c), sorted(pids))


if __name__ == "__main__":
    main()
