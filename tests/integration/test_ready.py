"""When a worker is ready: a probe of it succeeds; and what holds where the file does not say by what."""

import os
import pathlib
import shutil
import signal
import unittest

from harness import Pidfd, TestCase, get, main, pool_yaml as pool, port_of
from test_any_program import ASYNCIO, NODE_HTTP

LISTENER = "listeners:\n  http: { address: '127.0.0.1:0' }\n"
PROBE = """
env > environment.new; pwd >> environment.new; id -u >> environment.new; mv environment.new environment
test -e go || { echo connecting; echo no database; exit 7; }
"""
# Says which process it is, and waits for ever.
HANGS = "echo $$ > probe.new; mv probe.new probe; exec sleep inf\n"


WAITS_FOR_GO = """
import socket
listener = socket.socket(fileno=3)
listener.settimeout(600)  # it is shared and does not block: python polls, then accepts
open("go").read()
listener.accept()
"""


def probed(more="", timeout="25s"):
    return (f"    ready: {{ by: exec, command: [sh, probe.sh], interval: 160ms, "
            f"timeout: {timeout}{more} }}\n    backoff: {{ initial: 50ms }}\n")


class Probe(TestCase):
    def test_a_worker_is_ready_when_its_probe_succeeds(self):
        c = self.cluster(pool("[sleep, inf]", probed() + "    environment: { COLOR: blue }\n"),
                         files={"probe.sh": PROBE}).start(wait_ready=False)
        lines = c.wait_file("environment").splitlines()
        slot = c.slot(0)
        self.assertEqual(slot["state"], "starting")
        facts = dict(line.split("=", 1) for line in lines if "=" in line)
        self.assertEqual(facts["TOPSMAN_CLUSTER"], c.name)
        self.assertEqual(facts["TOPSMAN_POOL"], "web")
        self.assertEqual(facts["TOPSMAN_SLOT"], "0")
        self.assertEqual(facts["TOPSMAN_WORKER"], str(slot["worker"]))
        self.assertEqual(facts["TOPSMAN_PID"], str(slot["pid"]))
        self.assertEqual(facts["COLOR"], "blue")
        for absent in "NOTIFY_SOCKET", "LISTEN_FDS", "TOPSMAN_SEGMENT_FD":
            self.assertNotIn(absent, facts)
        self.assertIn(str(c.dir), lines, "where the worker runs")
        c.write("go", "")
        c.wait_event("worker.ready", slot=0)

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_it_runs_as_the_workers_user(self):
        c = self.cluster(pool("[sleep, inf]", probed(timeout="400ms") + "    user: nobody\n"),
                         files={"probe.sh": "echo user $(id -un); exit 1\n"}).start(wait_ready=False)
        self.assertIn("exited with code 1: user nobody", c.wait_event("worker.exited")["reason"])

    def test_what_it_said_last_is_in_the_answer(self):
        c = self.cluster(pool("[sleep, inf]", "    ready: { min_uptime: 10ms }\n"),
                         files={"probe.sh": PROBE}).start()
        before = c.pids()
        c.write_yaml(pool("[sleep, infinity]", probed(timeout="1s")))
        done = c.cli("reload", expect=4)
        self.assertIn("not ready within 1s; its probe exited with code 7: no database", done.stderr)
        self.assertEqual(c.pids(), before)

    def test_one_that_hangs_is_named_with_what_it_has_said(self):
        c = self.cluster(pool("[sleep, inf]", probed(timeout="400ms")),
                         files={"probe.sh": "echo waiting for the lock; sleep inf\n"}).start(wait_ready=False)
        why = c.wait_event("worker.exited")["reason"]
        self.assertIn("its probe has not ended after", why)
        self.assertIn(": waiting for the lock", why)

    def test_a_run_that_takes_too_long_is_ended_and_another_one_begun(self):
        script = "test -e second && exit 0; touch second; " + HANGS
        c = self.cluster(pool("[sleep, inf]", probed(", run_timeout: 200ms")), files={"probe.sh": script}).start()
        self.assertFalse(pathlib.Path(f"/proc/{c.wait_file('probe').strip()}").exists())

    def probe_of(self, c):
        return Pidfd(int(c.wait_file("probe")))

    def test_it_ends_with_its_worker(self):
        c = self.cluster(pool("[sleep, inf]", probed()), files={"probe.sh": HANGS}).start(wait_ready=False)
        with self.probe_of(c) as probe:
            os.kill(c.slot(0)["pid"], signal.SIGKILL)
            self.assertTrue(probe.wait())

    def test_it_ends_with_its_master_and_the_next_one_begins_anew(self):
        c = self.cluster(pool("[sleep, inf]", probed()), files={"probe.sh": HANGS}).start(wait_ready=False)
        with self.probe_of(c) as probe:
            worker = c.slot(0)["pid"]
            c.kill_master()
            self.assertTrue(probe.wait())
        c.write("probe.sh", "exit 0\n")
        c.start()
        self.assertEqual(c.pids(), [worker])

    def test_an_upgrade_begins_it_anew(self):
        c = self.cluster(pool("[sleep, inf]", probed()), files={"probe.sh": HANGS}).start(wait_ready=False)
        with self.probe_of(c) as probe:
            worker = c.slot(0)["pid"]
            c.write("probe.sh", "exit 0\n")
            c.cli("upgrade")
            self.assertTrue(probe.wait())
        c.wait_up()
        self.assertEqual(c.pids(), [worker])
        children = pathlib.Path(f"/proc/{c.master.pid}/task/{c.master.pid}/children").read_text().split()
        self.assertEqual(children, [str(worker)], "the probe was reaped")


class Default(TestCase):
    """The file does not say by what a worker is ready, and it has a listener."""

    def serve(self, command, files, name):
        c = self.cluster(LISTENER + pool(command, "    listeners: [http]\n", 2), files=files).start()
        self.assertIn(name, get(port_of(c))[1])
        self.assertNotIn("cannot tell", c.log())
        self.assertNotIn("not seen", c.log())

    @unittest.skipUnless(shutil.which("node"), "needs node")
    def test_node_is_seen_listening(self):
        self.serve("[node, app.js]", {"app.js": NODE_HTTP}, "node")

    def test_asyncio_is_seen_listening(self):
        self.serve("[/usr/bin/python3, app.py]", {"app.py": ASYNCIO}, "asyncio")

    def test_it_is_not_ready_by_its_age(self):
        c = self.cluster(
            LISTENER + pool("[/usr/bin/python3, app.py]",
                            "    listeners: [http]\n    ready: { min_uptime: 10ms }\n") +
            "  clock:\n    command: [sleep, inf]\n    ready: { min_uptime: 400ms }\n",
            files={"app.py": WAITS_FOR_GO})
        os.mkfifo(c.dir / "go")
        c.start(wait_ready=False)
        c.wait_event("worker.ready", pool="clock")
        self.assertEqual(c.slot(0)["state"], "starting")
        with open(c.dir / "go", "w"):
            pass
        c.wait_event("worker.ready", pool="web")

    def test_who_says_ready_is_believed(self):
        script = ("import os, signal, socket\n"
                  "n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
                  "n.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'])\nsignal.pause()\n")
        c = self.cluster(LISTENER + pool("[/usr/bin/python3, app.py]", "    listeners: [http]\n"),
                         files={"app.py": script}).start()
        self.assertNotIn("reason", c.wait_event("worker.ready"))

    def test_where_nobody_can_tell_its_age_has_to_do_and_the_log_says_so(self):
        c = self.cluster(LISTENER + pool("[sh, -c, 'exec 3<&-; exec sleep inf']", "    listeners: [http]\n", 2))
        c.start()
        said = "ready: cannot tell whether it listens, it has closed a listener that it was given"
        self.assertEqual(c.log().count(said), 1, "once for the pool")
        self.assertIn("by its age", c.wait_event("worker.ready")["reason"])

    def test_who_is_never_seen_is_ready_in_the_end_and_so_are_its_like_by_their_age(self):
        c = self.cluster(LISTENER + pool("[sleep, inf]", "    listeners: [http]\n    ready: { timeout: 400ms,"
                                         " min_uptime: 10ms }\n")).start()
        self.assertIn("not seen listening within 400ms", c.wait_event("worker.ready")["reason"])
        seq = c.last_seq()
        os.kill(c.pids()[0], signal.SIGKILL)
        self.assertIn("by its age", c.wait_event("worker.ready", since=seq)["reason"])

    def test_one_that_was_starting_when_the_master_died_is_looked_at_by_the_next(self):
        c = self.cluster(LISTENER + pool("[/usr/bin/python3, app.py]", "    listeners: [http]\n"),
                         files={"app.py": WAITS_FOR_GO})
        os.mkfifo(c.dir / "go")
        c.start(wait_ready=False)
        c.wait_event("worker.spawned")
        worker = c.slot(0)["pid"]
        c.kill_master()
        c.start(wait_ready=False)
        c.wait_event("worker.adopted")
        with open(c.dir / "go", "w"):
            pass
        c.wait_up()
        self.assertEqual(c.pids(), [worker])
        self.assertNotIn("reason", c.wait_event("worker.ready"))


if __name__ == "__main__":
    main()
