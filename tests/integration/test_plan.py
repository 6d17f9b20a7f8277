"""What a reload would do, said before it is done; and what is told while it is done."""

import datetime
import json
import os
import pty
import socket
import subprocess

from harness import AT_ONCE, DEADLINE, TestCase, http_yaml, main

CHANGES = 6
BLUE = "    environment: { COLOR: blue }\n"
JOBS_ALONE = "pools:\n  jobs:\n    command: [sleep, '1000']\n" + AT_ONCE
JOBS = "  jobs:\n    command: [sleep, '1000']\n    workers: 2\n" + AT_ONCE


class Plan(TestCase):
    def plan(self, c, expect=CHANGES):
        return c.cli("plan", expect=expect).stdout.splitlines()

    def details(self, c, expect=CHANGES):
        return json.loads(c.cli("plan", "--json", expect=expect).stdout)

    def test_nothing_would_change(self):
        c = self.cluster(http_yaml(2)).start()
        self.assertEqual(self.plan(c, 0), ["nothing would change"])
        answer = self.details(c, 0)
        self.assertEqual((answer["result"], answer["plan"]), ("done", {"pools": [], "listeners": [], "shared": [], "other": []}))

    def test_it_says_what_each_pool_would_do_and_does_nothing(self):
        c = self.cluster(http_yaml(3) + JOBS).start()
        before = c.status()["pools"]
        seq = c.last_seq()
        c.write_yaml(http_yaml(4, more=BLUE + "    stop_timeout: 5s\n") + JOBS.replace("jobs", "mail") +
                     "log: { level: warning }\n")
        self.assertEqual(self.plan(c), [
            "web: workers 3 -> 4: 1 worker is started",
            "web: environment and stop_timeout changed: 3 workers are replaced, one first, ready for 1s",
            "mail: new: 2 workers are started",
            "jobs: removed: 2 workers are ended",
            "log.level changed: applies at once"])
        self.assertEqual(c.events(seq), [])
        self.assertEqual([s["pid"] for p in c.status()["pools"] for s in p["slots"]],
                         [s["pid"] for p in before for s in p["slots"]])

    def test_the_deed_is_what_was_planned(self):
        for more, workers in ((BLUE, 3), ("", 5), ("", 1), (BLUE, 1), ("    nice: 1\n", 4)):
            with self.subTest(more=more, workers=workers):
                c = self.cluster(http_yaml(3) + JOBS).start()
                c.write_yaml(http_yaml(workers, more=more))
                planned = self.details(c)["plan"]["pools"]
                old = {p["name"]: {s["pid"] for s in p["slots"]} for p in c.status()["pools"]}
                c.cli("reload")
                new = {p["name"]: {s["pid"] for s in p["slots"]} for p in c.status()["pools"]}
                for pool in planned:
                    before, after = old[pool["pool"]], new.get(pool["pool"], set())
                    self.assertEqual(pool["workers_after"], len(after))
                    self.assertEqual(len(after - before), pool["started"] + pool["replaced"])
                    self.assertEqual(len(before - after), pool["ended"] + pool["replaced"])
                self.assertEqual({p["pool"] for p in planned}, {n for n in old if old[n] != new.get(n)})
                self.assertEqual(self.plan(c, 0), ["nothing would change"])

    def test_between_two_replacements_passes_the_delay(self):
        apart = "    rollout: { observe: 0s, delay: 200ms }\n"
        c = self.cluster(http_yaml(3, more=apart)).start()
        c.write_yaml(http_yaml(3, more=apart + BLUE))
        self.assertEqual(self.plan(c), [
            "web: environment changed: 3 workers are replaced, one first, ready for 0s, 200ms apart"])
        seq = c.last_seq()
        c.cli("reload")
        started = [datetime.datetime.strptime(e["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
                   for e in c.events(seq) if e["event"] == "worker.spawned"]
        self.assertEqual(len(started), 3)
        for before, after in zip(started, started[1:]):
            self.assertGreaterEqual(after - before, datetime.timedelta(milliseconds=199))  # cut to ms

    def test_what_was_scaled_would_be_so_no_longer(self):
        c = self.cluster(http_yaml(2)).start()
        c.cli("scale", "web=4")
        self.assertEqual(self.plan(c), ["web: workers 4 -> 2: 2 workers are ended"])

    def test_what_was_rolled_back_would_be_tried_again(self):
        c = self.cluster(http_yaml(2)).start()
        c.write_yaml(http_yaml(2).replace("[topsman-http]", "[sh, -c, 'exit 3']"))
        planned = self.plan(c)
        self.assertEqual(planned, ["web: command changed: 2 workers are replaced, one first, ready for 1s"])
        c.cli("reload", expect=4)
        self.assertEqual(self.plan(c), planned)

    def test_what_would_be_refused_is_refused_with_the_same_words(self):
        c = self.cluster(http_yaml(2)).start()
        for text in ("segment: { lanes: 100 }\n" + http_yaml(2), http_yaml(2, more="    restrat: always\n"),
                     http_yaml(2, more="    env_file: gone.env\n")):
            c.write_yaml(text)
            planned = c.cli("plan", expect=1)
            done = c.cli("reload", expect=1)
            self.assertTrue(planned.stdout)
            self.assertEqual(planned.stdout, done.stdout)
            self.assertIn("a reload would refuse the file", planned.stderr)
            self.assertEqual(self.details(c, 1)["result"], "failed")

    def test_a_port_that_is_taken_is_said_before(self):
        c = self.cluster(http_yaml(2)).start()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            c.write_yaml(f'listeners: {{ other: {{ address: "{address}" }} }}\n' + JOBS_ALONE)
            planned = c.cli("plan", expect=1)
            done = c.cli("reload", expect=1)
            self.assertIn(f"listener other: bind {address}: Address already in use", planned.stdout)
            self.assertIn(planned.stdout.strip(), done.stdout + done.stderr)
        listening = c.status()["listeners"]
        self.assertIn(f"listener other: added, {address}", self.plan(c))
        self.assertEqual(c.status()["listeners"], listening)
        socket.create_server(("127.0.0.1", int(address.rsplit(":", 1)[1]))).close()

    def test_without_a_master_there_is_a_sentence(self):
        c = self.cluster(http_yaml(2)).start()
        c.kill_master()
        done = c.cli("plan", expect=3)
        self.assertIn("no master", done.stderr)
        self.assertIn("topsman run", done.stderr)


class Progress(TestCase):
    def test_a_reload_tells_how_far_it_is(self):
        c = self.cluster(http_yaml(2)).start()
        old = c.pids()
        c.write_yaml(http_yaml(2, more=BLUE))
        done = c.cli("reload", "--verbose")
        new = c.pids()
        told = done.stderr.splitlines()
        expected = ["web: rollout started: generation 2, one worker first",
                    f"web/0 (pid {new[0]}): ready",
                    f"web/0 (pid {new[0]}): the first new worker stays: ready for 1s, the others follow",
                    f"web/0 (pid {old[0]}): leaving",
                    f"web/1 (pid {new[1]}): ready",
                    f"web/1 (pid {old[1]}): leaving"]
        self.assertEqual([line for line in told if line in expected], expected)
        self.assertIn("web: canary 0/2", told)
        for pid in old:
            self.assertTrue(any(f"(pid {pid}): exited with code 0" in line for line in told), told)
        self.assertEqual(done.stdout, "web: 2 workers replaced\n")

    def test_a_terminal_is_told_and_a_program_is_not(self):
        c = self.cluster(http_yaml(2)).start()
        self.assertEqual(c.cli("restart").stderr, "")
        self.assertEqual(c.cli("restart", "--json", "--verbose").stderr, "")
        ours, theirs = pty.openpty()
        done = subprocess.run([c.topsman, "restart", "-n", c.name], env=dict(c.env, TERM="xterm"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs,
                              timeout=DEADLINE)
        os.close(theirs)
        self.assertEqual(done.returncode, 0)
        told = os.read(ours, 65536).decode()
        os.close(ours)
        self.assertIn("web/0 (pid ", told)
        self.assertIn("): ready", told)

    def test_why_it_failed_is_told_when_it_happens(self):
        c = self.cluster(http_yaml(2)).start()
        c.write_yaml(http_yaml(2).replace("[topsman-http]", "[sh, -c, 'exit 3']"))
        told = c.cli("reload", "--verbose", expect=4).stderr.splitlines()
        self.assertIn("web: rollout failed: web/0: new worker exited with code 3", told)
        self.assertIn("web: rolled back: back to generation 1", told)


if __name__ == "__main__":
    main()
