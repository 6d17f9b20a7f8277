"""The wall clock is set, an hour back or forward, under a running cluster and its commands: nothing
but time stamps may change."""

import datetime
import os
import signal
import struct
import time

from harness import BIN, TestCase, http_yaml, main

LOOP = """
  loop:
    command: [sh, -c, 'exit 1']
    workers: 1
    backoff: { initial: 300ms, factor: 1, max: 300ms, jitter: 0 }
"""


def yaml(workers):
    return http_yaml(workers, more="    watchdog: { timeout: 2s, kill_after: 200ms }\n") + LOOP


HOUR = 3600


def stamp(event):
    return datetime.datetime.fromisoformat(event["time"].replace("Z", "+00:00")).timestamp()


class TheClockIsSet(TestCase):
    def start(self):
        c = self.cluster(yaml(3))
        self.clock = c.dir / "clock"
        self.clock.write_bytes(struct.pack("=q", 0))
        c.env["CLOCK_SHIM"] = str(self.clock)
        c.env["LD_PRELOAD"] = str(BIN / "libclock_shim.so")
        c.env["ASAN_OPTIONS"] = "verify_asan_link_order=0:" + c.env.get("ASAN_OPTIONS", "")
        self.began = time.monotonic()
        c.start(wait_ready=False)
        c.wait_status(lambda s: s["pools"][0]["ready"] == 3)
        return c

    def set_clock(self, seconds):
        with open(self.clock, "r+b", buffering=0) as f:
            f.write(struct.pack("=q", seconds))

    def assert_sane(self, c):
        state = c.status()
        most = time.monotonic() - self.began + 1
        self.assertEqual(state["master"]["state"], "running")
        self.assertTrue(0 <= state["master"]["uptime_s"] <= most, state)
        for slot in (slot for pool in state["pools"] for slot in pool["slots"]):
            self.assertTrue(0 <= slot["uptime_s"] <= most, slot)
            self.assertTrue(0 <= slot.get("next_try_s", 0) <= 0.3, slot)
            self.assertTrue(0 <= slot.get("watchdog_age_s", 0) <= most, slot)

    def change(self, seconds):
        c = self.start()
        kept, killed, hung = c.pids()
        before = c.wait_event("slot.waiting", pool="loop")
        seq = c.last_seq()
        self.set_clock(seconds)
        # Backoff: the loop goes on at its pace, neither an hour later nor without a pause.
        waiting = c.wait_event("slot.waiting", since=seq, pool="loop")
        for _ in range(3):
            again = c.wait_event("slot.waiting", since=waiting["seq"], pool="loop")
            self.assertGreaterEqual(stamp(again) - stamp(waiting), 0.29)
            waiting = again
        self.assertAlmostEqual(stamp(waiting) - stamp(before), seconds, delta=HOUR / 2)
        # A death is repaired.
        os.kill(killed, signal.SIGKILL)
        died = c.wait_event("worker.exited", since=seq, pid=killed)
        self.assertLessEqual(died["uptime_ms"], (time.monotonic() - self.began) * 1000)
        c.wait_event("worker.ready", since=died["seq"], pool="web")
        # The watchdog still judges who hangs, and nobody else.
        os.kill(hung, signal.SIGSTOP)
        died = c.wait_event("worker.exited", since=seq, pid=hung)
        self.assertIn("watchdog", died["reason"])
        c.wait_event("worker.ready", since=died["seq"], pool="web")
        self.assert_sane(c)
        # Changes and their answers.
        c.write_yaml(yaml(4))
        c.cli("reload")
        self.assertEqual(len(c.pids()), 4)
        c.cli("restart", "web/3")
        self.assertIn(kept, c.pids())
        self.assertNotIn("stood still", c.log())
        # Events are known by number, not by time.
        since = [event["seq"] for event in c.events(since=seq)]
        self.assertEqual(since, list(range(seq + 1, seq + 1 + len(since))))
        self.assert_sane(c)
        self.assertEqual(c.stop(), 0)

    def test_an_hour_back(self):
        self.change(-HOUR)

    def test_an_hour_forward(self):
        self.change(HOUR)


if __name__ == "__main__":
    main()
