"""The line: one master, many workers, one port, one segment."""

import json
import signal
import subprocess

from harness import DEADLINE, SHARED, Pidfd, TestCase, get, http_yaml, main, port_of

YAML = http_yaml(4) + SHARED


class Line(TestCase):
    def test_all_workers_answer_on_one_port_and_count_together(self):
        c = self.cluster(YAML).start()
        port = port_of(c)
        pids = set(c.pids())
        self.assertEqual(len(pids), 4)
        answered = set()
        for _ in range(200):
            status, text = get(port)
            self.assertEqual(status, 200)
            answered.add(int(text.split()[2]))
        self.assertEqual(answered, pids)
        self.assertEqual(c.counter("http_requests"), 200)

    def test_a_killed_worker_is_replaced_and_its_counts_stay(self):
        c = self.cluster(YAML).start()
        port = port_of(c)
        for _ in range(20):
            get(port)
        victim = c.slot(0)
        seq = c.last_seq()
        with Pidfd(victim["pid"]) as process:
            process.send(signal.SIGKILL)
            self.assertTrue(process.wait())
        exited = c.wait_event("worker.exited", since=seq, slot=0, pid=victim["pid"])
        self.assertIn("SIGKILL", exited["reason"])
        c.wait_event("worker.ready", since=seq, slot=0)
        now = c.slot(0)
        self.assertNotEqual(now["pid"], victim["pid"])
        self.assertEqual(now["restarts"], 1)
        self.assertIn("SIGKILL", now["last_exit"])
        self.assertEqual(c.counter("http_requests"), 20)
        self.assertEqual(get(port)[0], 200)

    def test_limits_are_as_the_file_says_for_the_next_master_too(self):
        limits = "  semaphores: {{ db: {} }}\n  rate_limits: {{ api: {{ rate: {}, burst: 200 }} }}\n"
        c = self.cluster(YAML + limits.format(20, "1000/s")).start()

        def shown():
            return {line["name"]: (line["kind"], line["state"]) for line in c.status()["shared"]}

        self.assertEqual(shown(), {
            "api": ("rate limit", "200 of 200 left, one every 1000us"),
            "db": ("semaphore", "0 of 20 taken")})
        self.assertIn("0 of 20 taken", c.cli("status").stdout)
        c.write_yaml(YAML + limits.format(20, "5/m"))
        c.cli("reload")
        self.assertEqual(shown()["api"], ("rate limit", "200 of 200 left, one every 12s"))
        c.kill_master()
        c.write_yaml(YAML + limits.format(30, "5/m"))
        c.start(args=["--take-over"])
        self.assertEqual(shown(), {
            "api": ("rate limit", "200 of 200 left, one every 12s"),
            "db": ("semaphore", "0 of 30 taken")})

    def test_times_are_spread_as_they_were_and_those_of_a_killed_worker_stay(self):
        c = self.cluster(YAML + "  histograms: [http_request_us]\n").start()
        port = port_of(c)
        for _ in range(20):
            get(port)
        for _ in range(3):
            get(port, "/sleep?ms=50")

        def times():
            return next(line for line in c.status()["shared"] if line["kind"] == "histogram")

        before = times()
        self.assertEqual((before["name"], before["count"]), ("http_request_us", 23))
        self.assertGreaterEqual(before["max"], 50_000)
        self.assertGreaterEqual(before["p99"], 50_000)
        self.assertLessEqual(before["p50"], before["p90"])
        seq = c.last_seq()
        for pid in c.pids():
            with Pidfd(pid) as process:
                process.send(signal.SIGKILL)
                self.assertTrue(process.wait())
        for slot in range(4):
            c.wait_event("worker.ready", since=seq, slot=slot)
        self.assertEqual(times(), before)
        get(port)
        self.assertEqual(times()["count"], 24)
        self.assertRegex(c.cli("status").stdout, r"http_request_us +histogram +p50 [0-9]+, p99 [0-9]+, max [0-9]+ of 24")

    def test_locks_are_shown_also_beside_a_dead_master(self):
        c = self.cluster(YAML).start()
        self.assertEqual(get(port_of(c), "/orders", "POST")[0], 201)
        free = {"stock": {"state": "free", "owner": "", "pid": 0, "held_s": 0, "waiting": 0, "owner_deaths": 0}}
        self.assertEqual(json.loads(c.cli("locks", "--json").stdout), free)
        self.assertEqual(c.status()["mutexes"], free)
        c.kill_master()
        self.assertRegex(c.cli("locks").stdout, r"MUTEX +STATE[^\n]*\nstock +free\n")

    def test_blocks_are_as_the_file_says(self):
        c = self.cluster(YAML + "  blocks: { 1MiB: 2, 16KiB: 64 }\n").start()
        self.assertEqual([(line["kind"], line["name"], line["state"]) for line in c.status()["shared"]],
                         [("blocks", "16KiB", "0 of 64 in use"), ("blocks", "1MiB", "0 of 2 in use")])
        self.assertIn("0 of 64 in use", c.cli("status").stdout)
        check = subprocess.run([c.topsman, "check", c.file], env=c.env, capture_output=True, text=True)
        self.assertRegex(check.stdout, r": segment of .*, blocks 3\.[0-9]M, reserve 4.0M\n")
        c.write_yaml(YAML + "  blocks: { 1MiB: 3, 16KiB: 64 }\n")
        refused = c.cli("reload", expect=1)
        self.assertIn("shared.blocks", refused.stdout + refused.stderr)
        c.write_yaml(YAML + "  blocks: { 1GiB: 65536 }\n")
        check = subprocess.run([c.topsman, "check", c.file], env=c.env, capture_output=True, text=True)
        self.assertEqual(check.returncode, 78)
        self.assertIn("fewer blocks", check.stderr)

    def test_orders_are_never_oversold_whoever_is_killed(self):
        yaml = YAML.replace("[topsman-http]", "[topsman-http, --stock, '500']")
        c = self.cluster(yaml).start()
        port = port_of(c)
        accepted = 0
        refused = 0
        for i in range(700):
            if i % 50 == 25:
                with Pidfd(c.slot(i // 50 % 4)["pid"]) as process:
                    process.send(signal.SIGKILL)
                    self.assertTrue(process.wait())
            try:
                status, _ = get(port, "/orders", method="POST", body="")
            except OSError:
                continue  # it was with the killed one
            accepted += status == 201
            refused += status == 409
        self.assertLessEqual(accepted, 500)
        self.assertLessEqual(c.counter("orders"), 500)
        self.assertGreaterEqual(c.counter("orders"), accepted)
        self.assertGreater(refused, 0)

    def test_sigterm_stops_everything_and_leaves_nothing(self):
        c = self.cluster(YAML).start()
        pids = [Pidfd(p) for p in c.pids()]
        c.master.terminate()
        self.assertEqual(c.master.wait(DEADLINE), 0)
        for process in pids:
            self.assertTrue(process.wait(0), "a worker outlived the stop")
            process.close()

    def test_a_second_master_says_that_one_is_running(self):
        c = self.cluster(YAML).start()
        import subprocess
        from harness import TOPSMAN
        done = subprocess.run([TOPSMAN, "run", str(c.file)], env=c.env, capture_output=True, text=True,
                              timeout=DEADLINE)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"already running (pid {c.master.pid})", done.stderr)

    def test_take_over_ends_what_a_dead_master_left(self):
        c = self.cluster(YAML).start()
        port = port_of(c)
        for _ in range(10):
            get(port)
        pids = c.pids()
        c.kill_master()
        self.assertEqual(get(port)[0], 200)  # they serve on
        c.start(args=["--take-over"])
        self.assertEqual(set(c.pids()) & set(pids), set())
        self.assertGreaterEqual(c.counter("http_requests"), 11)


if __name__ == "__main__":
    main()
