"""`topsman upgrade`: another program goes on in the master's place, and nobody notices; or it cannot,
and nobody notices that either."""

import json
import os
import pathlib
import shutil
import signal
import struct
import subprocess

from harness import BIN, DEADLINE, MISBEHAVING, TOPSMAN, Pidfd, TestCase, get, http_yaml, main, pool_yaml, port_of
from test_promises import Load, yaml

LAYOUT_VERSION = 16  # its offset in the segment (shm/header.hpp)
DOOMED = str(BIN / "doomed_upgrade")

# A program without the worker library: it says and prints what it is told to by signals.
TALKER = """
import os, signal, socket, sys
def say(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
def on_signal(number, _):
    if number == signal.SIGUSR1:
        say("READY=1\\nSTATUS=said meanwhile")
    elif number == signal.SIGUSR2:
        print("of it", flush=True)
    else:
        sys.exit(7)
    open(os.path.join(os.environ["CLUSTER_DIR"], "did%d" % number), "w").write("\\n")
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM):
    signal.signal(number, on_signal)
print("all ", end="", flush=True)
open(os.path.join(os.environ["CLUSTER_DIR"], "up"), "w").write("%d\\n" % os.getpid())
while True:
    signal.pause()
"""


class Upgrading(TestCase):
    def upgradable(self, text, **options):
        """A cluster whose master runs a program of its own, which can be exchanged."""
        c = self.cluster(text, **options)
        c.env["UPGRADE_FAILS"] = str(c.dir / "fails")
        c.program = str(c.dir / "topsman")
        self.install(c, TOPSMAN)
        return c

    def install(self, c, program):
        """As a package manager does: another file under the same name."""
        shutil.copy(program, c.program + ".new")
        os.rename(c.program + ".new", c.program)

    def install_script(self, c, text, mode=0o755):
        c.write("topsman.new", text, mode)
        os.rename(c.dir / "topsman.new", c.program)

    def fails(self, c, how):
        """The next program to be executed does that: "read:abort"."""
        c.write("fails", how + "\n")
        self.install(c, DOOMED)

    def stop_amid(self, c, stage="ready"):
        """An upgrade whose new program has got so far, and waits for SIGCONT; and who waits for it."""
        self.fails(c, f"{stage}:stop")
        waiting = c.background("upgrade")
        os.waitid(os.P_PID, c.master.pid, os.WSTOPPED)
        return waiting

    def go_on(self, c, waiting):
        c.master.send_signal(signal.SIGCONT)
        out, err = waiting.communicate(timeout=DEADLINE)
        self.assertEqual(waiting.returncode, 0, out + err + c.log())

    def unchanged(self, c):
        """What an upgrade must not change."""
        status = c.status()
        keep = ("slot", "worker", "role", "pid", "state", "generation", "restarts", "last_exit")
        return (status["master"]["pid"], status["listeners"][:1],
                [[slot[k] for k in keep] for pool in status["pools"] for slot in pool["slots"]],
                [(p["wanted"], p["ready"], p["breaker"]) for p in status["pools"]])

    def descriptors(self, c):
        return len(os.listdir(f"/proc/{c.master.pid}/fd"))

    def wait_dead(self, pid):
        """Reaped or not."""
        try:
            with Pidfd(pid) as process:
                self.assertTrue(process.wait())
        except ProcessLookupError:
            pass

    def told(self, c, since, event):
        return [e for e in c.events(since) if e["event"] == event]


class GoingOn(Upgrading):
    def test_fifty_upgrades_under_load_lose_no_request_and_count_each(self):
        c = self.upgradable(yaml()).start()
        c.cli("upgrade")
        before, open_before, seq = self.unchanged(c), self.descriptors(c), c.last_seq()
        with Load(port_of(c)) as load, Load(port_of(c), pause=0.05) as idle:
            for _ in range(50):
                c.cli("upgrade")
        self.assertEqual(load.failures + idle.failures, [])
        self.assertGreater(load.answers, 100)
        self.assertGreater(idle.kept, 10)
        self.assertEqual(c.counter("http_requests"), load.answers + idle.answers)
        self.assertEqual(self.unchanged(c), before)
        self.assertLessEqual(self.descriptors(c), open_before + 1)
        events = c.events(seq)
        self.assertEqual([e["event"] for e in events], ["master.upgraded"] * 50)
        self.assertEqual([e["seq"] for e in events], list(range(seq + 1, seq + 51)))

    def test_the_program_of_then_is_executed_and_who_asked_hears_of_it(self):
        c = self.upgradable(http_yaml(1)).start()
        self.install(c, TOPSMAN)  # another file, of the same name
        exe = pathlib.Path(f"/proc/{c.master.pid}/exe")
        self.assertTrue(os.readlink(exe).endswith(" (deleted)"))
        words = c.cli("upgrade").stdout
        self.assertIn("topsman", words)
        self.assertEqual(os.readlink(exe), c.program)
        self.assertEqual(pathlib.Path(f"/proc/{c.master.pid}/comm").read_text(), "topsman\n")
        self.assertNotIn(b"TOPSMAN_UPGRADE", pathlib.Path(f"/proc/{c.pids()[0]}/environ").read_bytes())
        done = json.loads(c.cli("upgrade --json").stdout)
        self.assertEqual(done["result"], "done")
        seq = c.last_seq()
        c.cli("upgrade", "--no-wait")
        c.wait_event("master.upgraded", since=seq, pid=c.master.pid)
        seq = c.last_seq()
        c.master.send_signal(signal.SIGUSR2)
        c.wait_event("master.upgraded", since=seq)

    def test_the_cluster_is_whole_afterwards(self):
        c = self.upgradable(yaml(2)).start()
        c.cli("upgrade")
        c.cli("scale", "web=4")
        c.cli("restart", "web/0")
        c.write_yaml(yaml(3, more="    environment: { A: b }\n"))
        c.cli("reload")
        c.cli("upgrade")
        c.cli("rollback")
        victim, seq = c.slot(1), c.last_seq()
        os.kill(victim["pid"], signal.SIGKILL)
        self.assertIn("SIGKILL", c.wait_event("worker.exited", since=seq, pid=victim["pid"])["reason"])
        c.wait_event("worker.ready", since=seq, slot=1)
        self.assertEqual(c.slot(1)["restarts"], victim["restarts"] + 1)
        # And the next master goes on with what an upgraded one leaves.
        pids = c.pids()
        c.kill_master()
        c.start()
        self.assertEqual(c.pids(), pids)

    def test_what_was_decided_about_slots_stays(self):
        c = self.upgradable(http_yaml(3) + f"  bad:\n    command: [{MISBEHAVING}, --crash-at-boot, '78']\n"
                                           "    workers: 1\n    ready: { by: notify }\n").start(wait_ready=False)
        c.wait_event("slot.tripped")
        os.kill(c.slot(1)["pid"], signal.SIGKILL)
        c.wait_status(lambda s: s["pools"][0]["ready"] == 3)
        c.cli("drain", "web/2")
        before, seq = self.unchanged(c), c.last_seq()
        c.cli("upgrade")
        self.assertEqual(self.unchanged(c), before)
        self.assertEqual([e["event"] for e in c.events(seq)], ["master.upgraded"])
        self.assertEqual(c.slot(2)["state"], "drained")
        self.assertIn("SIGKILL", c.slot(1)["last_exit"])

    def test_who_leaves_is_ended_in_time_however_often_the_master_is_upgraded(self):
        c = self.upgradable(pool_yaml(f"[{MISBEHAVING}, --ignore-term]",
                                      "    ready: { by: notify }\n    stop_timeout: 2s\n", 2)).start()
        seq = c.last_seq()
        c.cli("scale", "web=1", "--no-wait")
        c.wait_event("worker.draining", since=seq)
        for _ in range(1_000):
            c.cli("upgrade")
            gone = self.told(c, seq, "worker.exited")
            if gone:
                break
        self.assertIn("SIGKILL", gone[0]["reason"])
        self.assertLess(gone[0]["uptime_ms"], DEADLINE * 1_000)


class Meanwhile(Upgrading):
    """What happens while the programs change."""

    def test_whoever_dies_is_reaped_with_his_true_exit_code(self):
        for stage in ("begun", "ready"):
            with self.subTest(stage):
                c = self.upgradable(pool_yaml("[python3, w.py]", "    restart: on-failure\n", 1),
                                    files={"w.py": TALKER}).start()
                pid, seq = int(c.wait_file("up")), c.last_seq()
                waiting = self.stop_amid(c, stage)
                os.kill(pid, signal.SIGTERM)
                self.wait_dead(pid)
                self.go_on(c, waiting)
                died = c.wait_event("worker.exited", since=seq, pid=pid)
                self.assertIn("exited with code 7", died["reason"])
                c.wait_event("worker.spawned", since=seq)

    def test_what_workers_say_is_not_lost(self):
        c = self.upgradable(pool_yaml("[python3, w.py]", "    ready: { by: notify }\n    output: { to: prefix }\n"),
                            files={"w.py": TALKER}).start(wait_ready=False)
        pid = int(c.wait_file("up"))
        waiting = self.stop_amid(c)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            os.kill(pid, number)
            c.wait_file(f"did{int(number)}")
        self.go_on(c, waiting)
        c.wait_event("worker.ready", pid=pid)
        c.wait_status(lambda _: c.slot(0)["status"] == "said meanwhile")  # shown after the event
        c.wait_log("web/0 | all of it")  # begun before, ended after
        self.assertEqual(self.told(c, 0, "worker.exited"), [])

    def test_signals_and_commands_wait_and_are_heard(self):
        c = self.upgradable(http_yaml(1)).start()
        waiting = self.stop_amid(c, "begun")
        seq = c.last_seq()
        c.write_yaml(http_yaml(2))
        c.master.send_signal(signal.SIGHUP)
        c.master.send_signal(signal.SIGCHLD)
        scaling = c.background("scale", "web=1")
        c.write("fails", "\n")  # the next time it does not stop
        self.go_on(c, waiting)
        c.wait_event("config.loaded", since=seq)
        out, err = scaling.communicate(timeout=DEADLINE)
        self.assertEqual(scaling.returncode, 0, out + err)
        c.wait_status(lambda s: s["pools"][0]["ready"] == s["pools"][0]["wanted"])
        for number, event in ((signal.SIGUSR2, "master.upgraded"), (signal.SIGTERM, "master.stopping")):
            seq = c.last_seq()
            waiting = self.stop_amid(c, "begun")
            c.master.send_signal(number)
            c.write("fails", "\n")
            c.master.send_signal(signal.SIGCONT)
            waiting.communicate(timeout=DEADLINE)
            if number == signal.SIGUSR2:
                c.wait_event(event, since=c.wait_event(event, since=seq)["seq"])
        self.assertEqual(c.wait_master(), 0, c.log())

    def test_a_file_that_is_saved_meanwhile_is_loaded(self):
        c = self.upgradable(http_yaml(1) + "watch: true\n").start()
        waiting = self.stop_amid(c)
        seq = c.last_seq()
        c.rename_yaml(http_yaml(3) + "watch: true\n")
        self.go_on(c, waiting)
        c.wait_event("config.loaded", since=seq)
        c.wait_status(lambda s: s["pools"][0]["ready"] == 3)


class NotNow(Upgrading):
    """The old program goes on, and says why."""

    def refused(self, c, words, code=1):
        before, seq = self.unchanged(c), c.last_seq()
        done = c.cli("upgrade", expect=code)
        self.assertIn(words, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(self.unchanged(c), before)
        self.assertEqual([e["event"] for e in c.events(seq)], ["upgrade.failed"])
        self.assertIn(words, c.events(seq)[0]["reason"])

    def test_a_program_that_cannot_go_on_is_not_executed(self):
        c = self.upgradable(http_yaml(2)).start()
        port = port_of(c)
        for text, mode, words in [
                ("#!/bin/sh\necho libyaml is missing; exit 127\n", 0o755, "libyaml is missing"),
                ("#!/bin/sh\nkill -9 $$\n", 0o755, "killed by SIGKILL"),
                ("#!/bin/sh\nexit 0\n", 0o755, "did not answer as topsman does"),
                ("#!/bin/sh\n", 0o644, "Permission denied"),
                ("\x7fELF", 0o755, "Exec format error")]:
            with self.subTest(words):
                self.install_script(c, text, mode)
                self.refused(c, words)
        os.unlink(c.program)
        self.refused(c, "No such file or directory")
        self.assertEqual(get(port)[0], 200)
        self.install(c, TOPSMAN)
        c.cli("upgrade")

    def test_a_check_that_hangs_is_ended(self):
        c = self.upgradable(http_yaml(1)).start()
        self.install_script(c, "#!/bin/sh\necho $$ > \"$CLUSTER_DIR/checks\"\nwhile :; do read x < \"$CLUSTER_DIR/never\"; done\n")
        os.mkfifo(c.dir / "never")
        self.refused(c, "not done within 10s")
        self.wait_dead(int(c.wait_file("checks")))

    def test_a_segment_of_another_layout_is_refused_with_one_sentence(self):
        c = self.upgradable(http_yaml(1)).start()
        with open(c.segment, "r+b") as segment:
            segment.seek(LAYOUT_VERSION)
            version = segment.read(4)
            segment.seek(LAYOUT_VERSION)
            segment.write(struct.pack("<I", 4_711))
            segment.flush()
            done = c.cli("upgrade", expect=1)
            self.assertIn("it has layout version 4711", done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
            segment.seek(LAYOUT_VERSION)
            segment.write(version)
        c.cli("upgrade")

    def test_not_amid_a_rollout(self):
        c = self.upgradable(http_yaml(2, more="    rollout: { observe: 1h }\n")).start()
        seq = c.last_seq()
        c.write_yaml(http_yaml(2, more="    rollout: { observe: 1h }\n    environment: { A: b }\n"))
        c.cli("reload", "--no-wait")
        c.wait_event("rollout.started", since=seq)
        done = c.cli("upgrade", expect=1)
        self.assertIn("a rollout of web is under way: try again when it is done", done.stderr)
        c.cli("rollback")
        c.cli("upgrade")

    def test_not_amid_another_command(self):
        c = self.upgradable(pool_yaml(f"[{MISBEHAVING}, --ignore-term]",
                                      "    ready: { by: notify }\n    stop_timeout: 1h\n", 2)).start()
        seq = c.last_seq()
        scaling = c.background("scale", "web=1")
        c.wait_event("worker.draining", since=seq)
        self.assertIn("another command is under way", c.cli("upgrade", expect=1).stderr)
        c.cli("stop", "--now")
        scaling.communicate(timeout=DEADLINE)

    def test_nobody_else_asks_for_a_check(self):
        done = subprocess.run([TOPSMAN, "--upgrade-check"], capture_output=True, text=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("is what a running master asks", done.stderr)


class FallingBack(Upgrading):
    """The new program had begun, and failed."""

    WORDS = {"abort": "the new program aborted", "segv": "the new program was killed by SIGSEGV",
             "overflow": "the new program was killed by SIGSEGV", "throw": "the new program aborted",
             "check": "the new program aborted", "thread": "the new program aborted",
             "exit": "the new program ended", "hang": "the new program had not taken over within 5s"}

    def test_whatever_it_dies_of_the_old_one_goes_on(self):
        c = self.upgradable(yaml(2)).start()
        exe = pathlib.Path(f"/proc/{c.master.pid}/exe")
        before, image = self.unchanged(c), os.stat(exe).st_ino
        with Load(port_of(c)) as load:
            for stage in ("begun", "read", "opened", "made", "ready"):
                for how in ("abort", "segv", "overflow", "throw", "check", "thread", "exit"):
                    with self.subTest(f"{stage}:{how}"):
                        self.fall_back(c, stage, how, image)
        self.assertEqual(load.failures, [])
        self.assertEqual(c.counter("http_requests"), load.answers)
        self.assertEqual(self.unchanged(c), before)
        opened = self.descriptors(c)
        self.install(c, TOPSMAN)
        c.cli("upgrade")
        self.assertEqual(self.unchanged(c), before)
        self.assertLessEqual(self.descriptors(c), opened)
        self.assertEqual(os.readlink(exe), c.program)

    def fall_back(self, c, stage, how, image):
        self.fails(c, f"{stage}:{how}")
        seq = c.last_seq()
        done = c.cli("upgrade", expect=4)
        self.assertIn("upgrade rolled back: " + self.WORDS[how], done.stderr)
        events = c.events(seq)
        self.assertEqual([e["event"] for e in events], ["upgrade.failed"])
        self.assertIn(self.WORDS[how], events[0]["reason"])
        self.assertEqual(os.stat(f"/proc/{c.master.pid}/exe").st_ino, image)
        self.assertEqual(pathlib.Path(f"/proc/{c.master.pid}/comm").read_text(), "topsman\n")

    def test_one_that_hangs_is_not_waited_for(self):
        c = self.upgradable(yaml(2)).start()
        before, image = self.unchanged(c), os.stat(f"/proc/{c.master.pid}/exe").st_ino
        with Load(port_of(c)) as load:
            self.fall_back(c, "made", "hang", image)
        self.assertEqual(load.failures, [])
        self.assertEqual(self.unchanged(c), before)

    def test_the_old_one_is_whole_afterwards(self):
        c = self.upgradable(pool_yaml("[python3, w.py]", "    restart: on-failure\n", 1), files={"w.py": TALKER}).start()
        pid, seq = int(c.wait_file("up")), c.last_seq()
        self.fails(c, "ready:segv")
        c.cli("upgrade", expect=4)
        os.kill(pid, signal.SIGTERM)
        self.assertIn("exited with code 7", c.wait_event("worker.exited", since=seq, pid=pid)["reason"])
        c.wait_status(lambda s: s["pools"][0]["ready"] == 1)
        c.cli("restart")
        c.cli("scale", "web=2")
        self.assertEqual(c.stop(), 0)


if __name__ == "__main__":
    main()
