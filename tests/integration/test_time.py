"""Deadlines, backoff, restart policies, the start limit, stop signal and timeout, process groups."""

import os
import signal
import time

from harness import DEADLINE, Pidfd, TestCase, get, is_ours, main, pool_yaml as yaml, port_of, \
    wait_for_change

NOTIFY = """
import os, socket, sys
def notify(text):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
"""

READY = "    ready: { by: notify, timeout: 20s }\n"
AT_ONCE = "    ready: { min_uptime: 0s }\n"


class Time(TestCase):
    def test_a_crash_loop_is_paced(self):
        c = self.cluster(yaml("[sh, -c, 'exit 1']",
                              "    backoff: { initial: 50ms, max: 200ms, jitter: 0 }\n"))
        c.start(wait_ready=False)
        # Started at once, again at once, then after 50, 100, 200, 200 ms ...
        waits = []
        seq = 0
        while len(waits) < 4:
            event = c.wait_event("slot.waiting", since=seq)
            seq = event["seq"]
            waits.append(event)
        exits = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertLessEqual(len(exits), 8)
        self.assertIn("code 1", exits[0]["reason"])

    def test_a_pool_that_fails_does_not_disturb_the_other(self):
        c = self.cluster("pools:\n  bad:\n    command: [/does/not/exist]\n    workers: 1\n"
                         "  web:\n    command: [sleep, '1000']\n    workers: 2\n" + AT_ONCE)
        c.start(wait_ready=False)
        event = c.wait_event("worker.exited", pool="bad")
        self.assertIn("No such file", event["reason"])
        c.wait_status(lambda s: next(p for p in s["pools"] if p["name"] == "web")["ready"] == 2)

    def test_exit_78_trips_the_slot_until_reset_failed(self):
        c = self.cluster(yaml("[sh, -c, 'test -e $CLUSTER_DIR/good || exit 78; exec sleep 1000']",
                              AT_ONCE.replace("0s", "100ms")))
        c.start(wait_ready=False)
        c.wait_event("slot.tripped")
        pool = c.pool()
        self.assertEqual(pool["breaker"], "open")
        self.assertEqual(pool["slots"][0]["state"], "tripped")
        self.assertIn("78", pool["slots"][0]["last_exit"])
        c.write("good", "")
        c.cli("reset-failed", "web")
        c.wait_up()
        self.assertEqual(c.pool()["breaker"], "closed")

    def test_the_start_limit_opens_the_breaker(self):
        c = self.cluster(yaml("[sh, -c, 'exit 1']",
                              "    backoff: { initial: 1ms, max: 2ms, jitter: 0 }\n"
                              "    start_limit: { burst: 3, interval: 1m }\n"))
        c.start(wait_ready=False)
        c.wait_event("slot.tripped")
        self.assertEqual(len([e for e in c.events() if e["event"] == "worker.exited"]), 3)

    def test_the_start_limit_may_end_the_master(self):
        c = self.cluster(yaml("[sh, -c, 'exit 1']",
                              "    backoff: { initial: 1ms, max: 2ms, jitter: 0 }\n"
                              "    start_limit: { burst: 3, interval: 1m, action: exit }\n"))
        c.start(wait_ready=None)
        self.assertEqual(c.wait_master(), 1)

    def test_restart_policies(self):
        for policy, command, again in [("always", "exit 0", True), ("on-failure", "exit 0", False),
                                       ("on-failure", "exit 1", True), ("on-abnormal", "exit 1", False),
                                       ("on-abnormal", "kill -9 $$", True), ("no", "kill -9 $$", False)]:
            with self.subTest(policy=policy, command=command):
                c = self.cluster(yaml(f"[sh, -c, '{command}']",
                                      f"    restart: \"{policy}\"\n    backoff: {{ initial: 1ms, max: 10ms }}\n"))
                c.start(wait_ready=False)
                first = c.wait_event("worker.exited")
                if again:
                    c.wait_event("worker.exited", since=first["seq"])
                else:
                    c.wait_status(lambda s: s["pools"][0]["slots"][0]["state"] == "finished")
                    self.assertEqual(len([e for e in c.events() if e["event"] == "worker.exited"]), 1)
                c.stop()

    def test_a_worker_that_ignores_its_stop_signal_is_killed_after_the_timeout(self):
        script = "trap : TERM; while :; do sleep 1000 & wait; done"
        c = self.cluster(yaml(f"[sh, -c, '{script}']", AT_ONCE + "    stop_timeout: 200ms\n")).start()
        with Pidfd(c.pids()[0]) as process:
            seq = c.last_seq()
            c.cli("restart", "web")
            self.assertTrue(process.wait())
        event = c.wait_event("worker.exited", since=seq)
        self.assertIn("SIGKILL", event["reason"])
        self.assertIn("200ms", event["reason"])

    def test_the_stop_signal_is_the_pool_s_own(self):
        script = "trap \"exit 9\" USR2; trap : TERM; while :; do sleep 1000 & wait; done"
        c = self.cluster(yaml(f"[sh, -c, '{script}']", AT_ONCE + "    stop_signal: SIGUSR2\n")).start()
        seq = c.last_seq()
        c.cli("restart", "web")
        self.assertIn("code 9", c.wait_event("worker.exited", since=seq)["reason"])

    def test_what_a_worker_leaves_in_its_group_ends_with_it(self):
        c = self.cluster(yaml("[sh, -c, 'sleep 1000 & echo $! > $CLUSTER_DIR/child; wait']",
                              AT_ONCE)).start()
        child = int(c.wait_file("child"))
        with Pidfd(child) as orphan:
            os.kill(c.pids()[0], signal.SIGKILL)
            self.assertTrue(orphan.wait())

    def test_never_ready_is_aborted_after_the_start_timeout(self):
        c = self.cluster(yaml("[sleep, '1000']", "    ready: { by: notify, timeout: 200ms }\n"))
        c.start(wait_ready=False)
        event = c.wait_event("worker.exited")
        self.assertIn("SIGABRT", event["reason"])
        self.assertIn("200ms", event["reason"])

    def test_a_stopped_master_judges_nobody_when_it_goes_on(self):
        beat = NOTIFY + """
import select
notify("READY=1")
while True:
    notify("WATCHDOG=1")
    select.select([], [], [], 0.1)
"""
        c = self.cluster(yaml("[python3, beat.py]", READY + "    watchdog: { timeout: 1s }\n"),
                         files={"beat.py": beat}).start()
        before = c.pids()
        c.stop_master()
        c.wait_status(lambda s: s["master"]["state"] == "hung")
        # Longer than the watchdog's timeout: the worker's beats go nowhere meanwhile.
        with Pidfd(before[0]) as worker:
            self.assertFalse(worker.wait(3))
            c.master.send_signal(signal.SIGCONT)
            gone = worker.wait(0.5)
            self.assertFalse(gone, c.log())
        c.wait_status(lambda s: s["master"]["state"] == "running")
        self.assertEqual(c.pids(), before)

    def test_recycling_replaces_successor_first(self):
        script = NOTIFY + "notify('READY=1')\nimport signal\nsignal.pause()\n"
        c = self.cluster(yaml("[python3, w.py]", READY + "    recycle: { lifetime: 500ms, jitter: 0 }\n"),
                         files={"w.py": script}).start()
        first = c.pids()
        with Pidfd(first[0]) as old:
            self.assertTrue(old.wait())
        events = c.events()
        names = [e["event"] for e in events if e["event"].startswith("worker.")]
        # spawned ready | spawned ready draining exited ...: the successor was ready first.
        self.assertEqual(names[:5], ["worker.spawned", "worker.ready", "worker.spawned", "worker.ready",
                                     "worker.draining"])


    def test_recycling_by_requests_loses_none(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         yaml("[topsman-http]", READY + "    listeners: [http]\n"
                              "    recycle: { requests: 50, jitter: 0 }\n", 2)).start()
        port = port_of(c)
        leaving = 0
        answered = 0
        end = time.monotonic() + DEADLINE
        while leaving < 2 and time.monotonic() < end:
            self.assertEqual(get(port)[0], 200)
            answered += 1
            if answered % 20 == 0:
                drained = [e for e in c.events() if e["event"] == "worker.draining"]
                leaving = len(drained)
        self.assertGreaterEqual(leaving, 2, c.log())
        for event in drained:
            reason, number = event["reason"].split(": ")
            self.assertEqual(reason, "recycle.requests")
            self.assertGreaterEqual(int(number), 50)
        self.assertEqual(c.counter("http_requests"), answered)

    def test_recycling_by_memory_counts_the_children(self):
        # The program is small, its child is not.
        script = (NOTIFY + "import os, signal\n"
                  "if os.environ['TOPSMAN_WORKER'] == '1' and os.fork() == 0:\n"
                  "    held = b'x' * (64 << 20)\n    signal.pause()\n"
                  "notify('READY=1')\nsignal.pause()\n")
        c = self.cluster(yaml("[/usr/bin/python3, w.py]", READY + "    recycle: { memory: 48MiB }\n"),
                         files={"w.py": script}).start()
        gone = c.wait_event("worker.draining")
        self.assertRegex(gone["reason"], r"^recycle\.memory: [0-9]+ MiB$")
        self.assertGreaterEqual(int(gone["reason"].split()[1]), 64)
        self.assertEqual(c.wait_event("worker.exited", since=gone["seq"])["slot"], 0)

    def test_requests_of_a_foreign_program_are_said_to_be_uncounted(self):
        c = self.cluster(yaml("[sleep, inf]", "    ready: { min_uptime: 50ms }\n"
                              "    recycle: { requests: 10 }\n", 2)).start()
        end = time.monotonic() + DEADLINE
        while "nobody counts its requests" not in c.log() and time.monotonic() < end:
            wait_for_change(c.dir, 0.2)
        self.assertEqual(c.log().count("nobody counts its requests"), 1)


class Watchdog(TestCase):
    def test_a_hung_worker_is_aborted_and_replaced(self):
        script = NOTIFY + "notify('READY=1\\nWATCHDOG=1')\nimport signal\nsignal.pause()\n"
        c = self.cluster(yaml("[python3, w.py]", READY + "    watchdog: { timeout: 300ms }\n"),
                         files={"w.py": script}).start()
        event = c.wait_event("worker.exited")
        self.assertIn("SIGABRT", event["reason"])
        self.assertIn("watchdog", event["reason"])
        c.wait_event("worker.ready", since=event["seq"])

    def test_workers_that_beat_are_left_alone(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         yaml("[topsman-http]", READY + "    listeners: [http]\n"
                              "    watchdog: { timeout: 1s }\n", 6)).start()
        workers = [Pidfd(pid) for pid in c.pids()]
        self.assertFalse(workers[0].wait(3.5))
        self.assertEqual([w.pid for w in workers if w.wait(0)], [])

    def test_a_stopped_worker_is_replaced(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         yaml("[topsman-http]", READY + "    listeners: [http]\n"
                              "    watchdog: { timeout: 500ms, kill_after: 300ms }\n")).start()
        pid = c.pids()[0]
        with Pidfd(pid) as worker:
            worker.send(signal.SIGSTOP)
            self.assertTrue(worker.wait())
        c.wait_status(lambda s: s["pools"][0]["ready"] == 1 and s["pools"][0]["slots"][0]["pid"] != pid)

    def test_trigger_status_extend_and_errno(self):
        script = NOTIFY + """
import signal, select
if os.environ["TOPSMAN_WORKER"] == "1":
    notify("EXTEND_TIMEOUT_USEC=20000000\\nSTATUS=warming up")
    select.select([], [], [], 3.5)
    notify("READY=1\\nSTATUS=serving 3 tenants")
    signal.sigtimedwait([signal.SIGUSR1], 30) if signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]) is not None else 0
    notify("ERRNO=2\\nWATCHDOG=trigger")
    signal.pause()
notify("READY=1")
signal.pause()
"""
        c = self.cluster(yaml("[python3, w.py]", "    ready: { by: notify, timeout: 3s }\n"),
                         files={"w.py": script}).start()
        state = c.wait_status(lambda s: s["pools"][0]["slots"][0]["status"] == "serving 3 tenants")
        os.kill(state["pools"][0]["slots"][0]["pid"], signal.SIGUSR1)
        event = c.wait_event("worker.exited")
        self.assertIn("SIGABRT", event["reason"])
        self.assertIn("it asked to be aborted", event["reason"])
        c.wait_event("worker.ready", since=event["seq"])


if __name__ == "__main__":
    main()
