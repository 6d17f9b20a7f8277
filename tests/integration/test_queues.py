"""Job queues of a whole cluster: jobs outlive workers and masters, dead letters are the operator's."""

import json
import signal
import subprocess

from harness import TOPSMAN, Pidfd, TestCase, main

YAML = """
pools:
  producers:
    command: [job_worker, submit, {text}, "{count}"]
    ready: {{ by: notify }}
    workers: 1
{more}
shared:
  counters: [done]
  queues:
    jobs: {{ capacity: 100, item_size: 16, max_attempts: 2 }}
"""

CONSUMERS = """
  consumers:
    command: [job_worker, work]
    ready: { by: notify }
    backoff: { max: 100ms }
    workers: 2
"""


def yaml(text, count, more=CONSUMERS):
    return YAML.format(text=text, count=count, more=more)


class Queues(TestCase):
    def queue(self, c):
        return json.loads(c.cli("queues", "--json").stdout)["jobs"]

    def letters(self, c):
        return json.loads(c.cli("queues", "jobs", "--json").stdout)["jobs"]["dead_letters"]

    def wait_queue(self, c, **expected):
        c.wait_status(lambda s: expected.items() <= s["queues"]["jobs"].items())

    def test_jobs_are_done_and_the_queue_is_empty_again(self):
        c = self.cluster(yaml("good", 250))
        c.start()
        self.wait_queue(c, ready=0, running=0, dead=0, capacity=100)
        self.assertEqual(c.counter("done"), 250)
        self.assertIn("jobs", c.cli("status").stdout)

    def test_jobs_that_are_put_off_are_done_by_workers_that_slept_meanwhile(self):
        c = self.cluster(yaml("later", 30))
        c.start()
        self.wait_queue(c, ready=0, later=0, running=0, dead=0)
        self.assertEqual(c.counter("done"), 30)

    def test_a_job_that_kills_its_workers_becomes_a_dead_letter(self):
        c = self.cluster(yaml("kill", 1))
        c.start(wait_ready=False)
        self.wait_queue(c, ready=0, running=0, dead=1)
        exits = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertEqual(len(exits), 2, "as often as max_attempts says")
        [letter] = self.letters(c)
        self.assertEqual((letter["text"], letter["attempts"], letter["bytes"]), ("kill", 2, 4))
        self.assertEqual(letter["why"], "attempts")
        self.assertIn(letter["job"], c.cli("queues", "jobs").stdout)

    def test_a_job_that_is_not_taken_in_time_becomes_a_dead_letter(self):
        c = self.cluster(yaml("late", 3))
        c.start()
        self.wait_queue(c, ready=0, running=0, dead=3)
        self.assertEqual({(letter["why"], letter["attempts"]) for letter in self.letters(c)}, {("deadline", 0)})
        self.assertEqual(c.counter("done"), 0)
        c.cli("queues", "jobs", "--retry", "all")
        self.wait_queue(c, ready=0, running=0, dead=0)
        self.assertEqual(c.counter("done"), 3)

    def test_dead_letters_are_retried_and_dropped(self):
        c = self.cluster(yaml("fail", 3))
        c.start()
        self.wait_queue(c, dead=3)
        first, second, third = [letter["job"] for letter in self.letters(c)]
        done = c.cli("queues", "jobs", "--drop", first)
        self.assertEqual(done.stdout, f"dead letter {first} dropped\n")
        self.wait_queue(c, dead=2)
        self.assertIn(f"has no dead letter {first}", c.cli("queues", "jobs", "--drop", first, expect=1).stderr)
        done = c.cli("queues", "jobs", "--retry", "all")
        self.assertEqual(done.stdout, "2 dead letters will be tried again\n")
        self.wait_queue(c, dead=2, ready=0, running=0)  # they fail again
        self.assertEqual(sorted(letter["job"] for letter in self.letters(c)), sorted([second, third]))
        c.cli("queues", "jobs", "--drop", "all")
        self.wait_queue(c, dead=0)

    def test_what_is_wrong_is_said(self):
        c = self.cluster(yaml("good", 1))
        c.start()
        self.assertIn("there is no queue mails: there is jobs", c.cli("queues", "mails", expect=1).stderr)
        self.assertIn("there is no queue mails", c.cli("queues", "mails", "--drop", "all", expect=1).stderr)
        self.assertIn("say of which queue", c.cli("queues", "--drop", "all", expect=2).stderr)
        self.assertIn("is no dead letter's number", c.cli("queues", "jobs", "--retry", "x", expect=2).stderr)

    def test_check_says_what_the_segment_is_made_of_and_refuses_what_does_not_fit(self):
        c = self.cluster(yaml("good", 1))
        good = subprocess.run([TOPSMAN, "check", c.file], env=c.env, capture_output=True, text=True)
        self.assertEqual(good.returncode, 0, good.stderr)
        self.assertRegex(good.stdout, r": segment of [0-9.]+M: lanes and fixed tables [0-9.]+M, queue jobs [0-9.]+K, reserve 4.0M\n")
        text = yaml("good", 1).replace("capacity: 100, item_size: 16", "capacity: 1048576, item_size: 64KiB")
        c.write_yaml(text)
        bad = subprocess.run([TOPSMAN, "check", c.file], env=c.env, capture_output=True, text=True)
        self.assertEqual(bad.returncode, 78)
        self.assertRegex(bad.stderr, r"shared: the segment of .*G: .*queue jobs .*G, .*; /dev/shm has .* in all: "
                                     "write smaller queues")

    def test_jobs_outlive_the_master_and_its_workers(self):
        c = self.cluster(yaml("hold", 3))
        c.start()
        self.wait_queue(c, ready=1, running=2, again=0)
        holders = c.pids("consumers")
        producers = c.pids("producers")
        c.kill_master()
        for pid in holders:
            with Pidfd(pid) as process:
                process.send(signal.SIGKILL)
                self.assertTrue(process.wait())
        self.assertEqual([self.queue(c)[key] for key in ("ready", "running")], [1, 2])
        c.start()
        self.wait_queue(c, ready=1, running=2, again=2)  # taken from the dead, behind the other
        self.assertEqual(c.pids("producers"), producers)


if __name__ == "__main__":
    main()
