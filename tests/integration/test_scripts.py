"""Scripts are citizens: they count and submit by commands, and what was answered is done."""

import http.client
import json
import socket
import threading

from harness import DEADLINE, TestCase, main

YAML = """
pools:
  consumers:
    command: [job_worker, work]
    ready: { by: notify }
    workers: %d
shared:
  counters: [orders, done]
  queues:
    jobs: { capacity: 50, item_size: 16, max_attempts: 2, priorities: 2, result_size: 16 }
    idle: { capacity: 2, item_size: 4 }
    once: { capacity: 8, dedup: true }
"""

MESSAGES = """
pools:
  receivers:
    command: [channel_worker, receive]
    ready: { by: notify }
    workers: 2
shared:
  counters: [received]
  channels:
    news: { to: receivers, slots: 4, capacity: 2, message_size: 16 }
"""


class Control(http.client.HTTPConnection):
    """The control socket, without a process for each request."""

    def __init__(self, path):
        super().__init__("topsman", timeout=DEADLINE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))

    def ask(self, path, body):
        self.request("POST", path, body=body)
        return json.loads(self.getresponse().read())


class Scripts(TestCase):
    def up(self, workers=1):
        return self.cluster(YAML % workers).start()

    def refused(self, c, command, *args, expect=1):
        done = c.cli(command, *args, expect=expect)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, "one sentence")
        return done.stderr

    def test_counting(self):
        c = self.up()
        self.assertEqual(c.cli("counters add", "orders").stdout, "1\n")
        self.assertEqual(c.cli("counters add", "orders", "41").stdout, "42\n")
        self.assertEqual(json.loads(c.cli("counters add", "orders", "1", "--json").stdout)["counter"],
                         {"name": "orders", "value": 43})
        self.assertEqual(c.cli("counters get", "orders").stdout, "43\n")
        self.assertEqual(c.counter("orders"), 43)
        self.assertIn("did you mean orders?", self.refused(c, "counters add", "ordres", "1"))
        self.assertIn("it only grows", self.refused(c, "counters add", "orders", "-1"))
        self.assertIn("it only grows", self.refused(c, "counters set", "orders", "7"))
        self.assertIn("no counter or gauge ordres", self.refused(c, "counters get", "ordres"))

    def test_what_scripts_have_counted_outlives_the_master(self):
        c = self.up()
        c.cli("counters add", "orders", "5")
        c.kill_master()
        self.assertEqual(c.cli("counters get", "orders").stdout, "5\n")
        self.assertIn("no master", self.refused(c, "counters add", "orders", expect=3))
        c.start()
        self.assertEqual(c.cli("counters add", "orders").stdout, "6\n")

    def test_submitting(self):
        c = self.up()
        job = c.cli("queue submit", "jobs", stdin="good").stdout
        self.assertRegex(job, r"^[0-9]+\n$")
        self.assertNotEqual(c.cli("queue submit", "jobs", "good", "--priority", "1").stdout, job)
        c.cli("queue submit", "jobs", "good", "--deadline", "1h", "--json")
        c.wait_status(lambda s: s["counters"]["done"]["total"] == 3)
        c.cli("queue submit", "jobs", "fail")
        c.wait_status(lambda s: s["queues"]["jobs"]["dead"] == 1)

    def test_what_cannot_be_submitted(self):
        c = self.up()
        for text in ("1", "2"):
            c.cli("queue submit", "idle", text)
        self.assertIn("queue idle is full, with 2 jobs", self.refused(c, "queue submit", "idle", "3"))
        self.assertIn("did you mean idle?", self.refused(c, "queue submit", "idel", "3"))
        self.assertIn("has 17 bytes", self.refused(c, "queue submit", "jobs", "x" * 17))
        self.assertIn("has 0 to 1", self.refused(c, "queue submit", "jobs", "x", "--priority", "2"))
        self.assertIn("standard input is empty", self.refused(c, "queue submit", "jobs", expect=2))
        self.assertEqual(c.status()["queues"]["idle"]["ready"], 2)

    def test_submitting_once(self):
        c = self.up()
        job = c.cli("queue submit", "once", "1", "--key", "a&b=%").stdout
        self.assertEqual(c.cli("queue submit", "once", "2", "--key", "a&b=%").stdout, job)
        again = json.loads(c.cli("queue submit", "once", "3", "--key", "a&b=%", "--json").stdout)["job"]
        self.assertEqual(again, {"queue": "once", "job": job.strip(), "new": False})
        self.assertNotEqual(c.cli("queue submit", "once", "4", "--key", "a").stdout, job)
        self.assertEqual(c.status()["queues"]["once"]["ready"], 2)
        c.kill_master()
        c.start()
        self.assertEqual(c.cli("queue submit", "once", "5", "--key", "a&b=%").stdout, job)
        self.assertIn("queue jobs knows no keys: write dedup: true", self.refused(c, "queue submit", "jobs", "x", "--key", "k"))
        self.assertIn("has 65", self.refused(c, "queue submit", "once", "x", "--key", "x" * 65, expect=2))

    def wait_behind_another(self, c):
        c.cli("queue submit", "jobs", "hold")
        c.wait_status(lambda s: s["queues"]["jobs"]["running"] == 1)
        waiting = c.background("queue submit", "jobs", "echo", "--wait")
        c.wait_status(lambda s: s["queues"]["jobs"]["ready"] == 1)
        return waiting

    def test_waiting_for_a_result(self):
        c = self.up()
        self.assertEqual(c.cli("queue submit", "jobs", "echo \u00e9\n", "--wait").stdout, "echo \u00e9\n")
        self.assertEqual(c.cli("queue submit", "jobs", "no result", "--wait").stdout, "")
        job = json.loads(c.cli("queue submit", "jobs", "echo", "--wait", "--json").stdout)["job"]
        self.assertEqual((job["queue"], job["answer"]), ("jobs", "echo"))
        self.assertRegex(self.refused(c, "queue submit", "jobs", "fail", "--wait"),
                         "queue jobs: job [0-9]+ was tried 2 times in vain and is a dead letter: see topsman queues jobs")
        self.assertIn("queue idle knows no results: write result_size: 256 (shared.queues.idle.result_size)",
                      self.refused(c, "queue submit", "idle", "x", "--wait"))
        self.assertIn("no answer in time; the job, if it was submitted, is executed all the same",
                      self.refused(c, "queue submit", "jobs", "hold", "--wait", "--timeout", "50ms", expect=5))
        # Nobody waits any more: what the worker ends when it is told to leave has no place.
        c.cli("restart", "consumers")
        c.wait_status(lambda s: s["queues"]["jobs"]["running"] == s["queues"]["jobs"]["done"] == 0)
        # Nor does what a master has asked for that died.
        waiting = self.wait_behind_another(c)
        c.kill_master()
        self.assertIn("the job, if it was submitted, is executed all the same", waiting.communicate(timeout=DEADLINE)[1])
        c.start()
        c.cli("restart", "consumers")
        c.wait_status(lambda s: s["queues"]["jobs"]["running"] == s["queues"]["jobs"]["done"] == s["queues"]["jobs"]["ready"] == 0)
        # Who waits at the end is told so.
        waiting = self.wait_behind_another(c)
        c.stop()
        self.assertIn("the master is stopping", waiting.communicate(timeout=DEADLINE)[1])

    def test_who_waits_for_a_result_hears_of_an_upgrade_and_the_job_goes_on(self):
        c = self.up()
        waiting = self.wait_behind_another(c)
        c.cli("upgrade")
        said = waiting.communicate(timeout=DEADLINE)
        self.assertEqual((waiting.returncode, said[0]), (1, ""))
        self.assertIn("the master executes another program; the job goes on", said[1])
        jobs = c.status()["queues"]["jobs"]
        self.assertEqual((jobs["ready"], jobs["running"], jobs["done"]), (1, 1, 0))
        # Executed, and kept for nobody.
        c.cli("restart", "consumers")
        c.wait_status(lambda s: s["counters"]["done"]["total"] == 2)
        c.wait_status(lambda s: s["queues"]["jobs"]["running"] == s["queues"]["jobs"]["done"] == s["queues"]["jobs"]["ready"] == 0)
        # And who asks the new program is answered.
        self.assertEqual(c.cli("queue submit", "jobs", "echo 2", "--wait").stdout, "echo 2")

    def test_sending(self):
        c = self.cluster(MESSAGES).start()
        self.assertEqual(c.cli("channel send", "news", "--slot", "1", stdin="good\n").stdout, "receivers/1\n")
        self.assertEqual(c.cli("channel send", "news", "good", "--all").stdout, "receivers/0\nreceivers/1\n")
        sent = json.loads(c.cli("channel send", "news", "good", "--json").stdout)["sent"]
        self.assertEqual(sent["channel"], "news")
        self.assertRegex(sent["to"][0], "^receivers/[01]$")
        c.wait_status(lambda s: s["counters"].get("received", {}).get("total") == 4)
        self.assertIn("did you mean news?", self.refused(c, "channel send", "nwes", "x"))
        self.assertIn("has 17 bytes", self.refused(c, "channel send", "news", "x" * 17))
        self.assertIn("there is no receivers/2 to send to; there are receivers/0 to receivers/1",
                      self.refused(c, "channel send", "news", "x", "--slot", "2"))
        self.assertIn("standard input is empty", self.refused(c, "channel send", "news", expect=2))

    def test_what_was_sent_outlives_the_master_and_a_full_inbox_refuses(self):
        c = self.cluster(MESSAGES).start()
        for _ in range(2):
            c.cli("channel send", "news", "hold", "--slot", "0")
        self.assertIn("not sent to receivers/0: full, with 2 messages",
                      self.refused(c, "channel send", "news", "hold", "--slot", "0"))
        partly = c.cli("channel send", "news", "good", "--all", expect=1)
        self.assertEqual(partly.stdout, "receivers/1\n", "who got it is said all the same")
        self.assertIn("not sent to receivers/0", partly.stderr)
        c.kill_master()
        self.assertIn("no master", self.refused(c, "channel send", "news", "good", expect=3))
        c.start()
        [channel] = [line for line in c.status()["shared"] if line["kind"] == "channel"]
        self.assertEqual(channel["unread"], 2)
        self.assertEqual(c.cli("channel send", "news", "good", "--slot", "1").stdout, "receivers/1\n")

    def test_what_was_answered_is_executed_though_the_master_is_killed(self):
        c = self.up(workers=2)
        enough = threading.Event()
        acknowledged = [0, 0]
        unknown = [0, 0]

        def submit(me):
            control = Control(c.runtime / f"{c.name}.sock")
            while True:
                try:
                    answer = control.ask("/v1/submit?queue=jobs", b"good")
                except (OSError, http.client.HTTPException):
                    unknown[me] += 1
                    control.close()
                    return
                if answer["result"] == "done":
                    acknowledged[me] += 1
                else:
                    self.assertIn("is full", answer["reason"])
                if sum(acknowledged) >= 500:
                    enough.set()

        threads = [threading.Thread(target=submit, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        self.assertTrue(enough.wait(DEADLINE))
        c.kill_master()
        for thread in threads:
            thread.join(DEADLINE)
        c.start()
        c.wait_status(lambda s: s["queues"]["jobs"]["ready"] == 0 and s["queues"]["jobs"]["running"] == 0)
        # Each client waited for one answer at most when the master died.
        self.assertIn(c.counter("done"), range(sum(acknowledged), sum(acknowledged) + sum(unknown) + 1))
        # Nothing of the dead master's is left half done: the queue is whole.
        self.assertEqual(c.cli("queue submit", "jobs", "good").stderr, "")


if __name__ == "__main__":
    main()
