"""Taking a worker out of use: it finishes what it has begun, and its slot stays empty until it is restarted."""

import http.client
import os
import threading

from harness import AT_ONCE, DEADLINE, TestCase, get, http_yaml, main, pool_yaml, port_of

WAY_BACK = "`topsman restart web/1` puts it back in use"


class Drain(TestCase):
    def drained(self, c, index=1, name="web"):
        """Drains that slot; its line of the status."""
        c.cli("drain", f"{name}/{index}")
        return c.slot(index, name)

    def assert_drained(self, c, index=1, name="web"):
        line = c.slot(index, name)
        self.assertEqual((line["state"], line["pid"]), ("drained", 0), line)

    def test_its_requests_are_finished_and_nobody_takes_its_place(self):
        c = self.cluster(http_yaml(2)).start()
        port = port_of(c)
        answers = []
        asking = threading.Thread(target=lambda: answers.append(get(port, "/sleep?ms=1500")))
        asking.start()
        busy = c.wait_status(lambda s: any(l["in_flight"] == 1 for l in s["pools"][0]["slots"]))
        index = next(l["slot"] for l in busy["pools"][0]["slots"] if l["in_flight"] == 1)
        seq = c.last_seq()
        drain = c.background("drain", f"web/{index}")
        c.wait_event("worker.draining", since=seq, slot=index, reason="drained on request")
        line = next(l for l in c.pool()["slots"] if l["slot"] == index)
        self.assertEqual((line["state"], line["role"], line["in_flight"]), ("draining", "leaving", 1))
        out, err = drain.communicate(timeout=30)
        asking.join()
        self.assertEqual([status for status, _ in answers], [200])
        self.assertEqual((drain.returncode, err), (0, ""))
        self.assertEqual(out, f"web/{index}: drained; `topsman restart web/{index}` puts it back in use\n")
        c.wait_event("slot.drained", since=seq, slot=index)
        self.assertIn("code 0", c.wait_event("worker.exited", since=seq, slot=index)["reason"])
        self.assert_drained(c, index)
        pool = c.pool()
        self.assertEqual((pool["wanted"], pool["ready"], pool["drained"]), (2, 1, 1))
        self.assertIn("web: 1 of 2 workers ready, 1 drained\n", c.cli("status").stdout)
        self.assertEqual([e for e in c.events() if e["event"] == "worker.spawned" and e["seq"] > seq], [])
        self.assertEqual(get(port)[0], 200)
        c.cli("restart", f"web/{index}")
        self.assertEqual((c.slot(index)["state"], c.pool()["drained"]), ("serving", 0))

    def test_only_its_own_restart_puts_it_back(self):
        c = self.cluster(http_yaml(3)).start()
        self.assertEqual(self.drained(c)["state"], "drained")
        self.assertIn("web/1: drained already; " + WAY_BACK, c.cli("drain", "web/1").stdout)
        self.assertIn("web/1: stays drained; " + WAY_BACK, c.cli("restart").stdout)
        c.cli("reset-failed")
        c.cli("scale", "web=4")
        self.assert_drained(c)
        c.write_yaml(http_yaml(4, more="    environment: { ROUND: '1' }\n    rollout: { observe: 10ms }\n"))
        self.assertIn("3 workers replaced", c.cli("reload").stdout)
        self.assert_drained(c)
        c.cli("rollback")
        self.assert_drained(c)
        c.cli("restart", "web/1")
        self.assertEqual(c.pool()["ready"], 4)

    def test_the_next_master_leaves_it_empty(self):
        c = self.cluster(http_yaml(2)).start()
        self.drained(c)
        c.kill_master()
        c.start(wait_ready=False)
        c.wait_event("worker.adopted", slot=0)
        self.assert_drained(c)
        self.assertEqual(c.pool()["drained"], 1)
        c.cli("restart", "web/1")
        self.assertEqual(c.pool()["ready"], 2)

    def test_a_master_that_dies_meanwhile_has_it_finished_by_the_next(self):
        c = self.cluster(http_yaml(2)).start()
        asking = threading.Thread(target=get, args=(port_of(c), "/sleep?ms=1500"))
        asking.start()
        busy = c.wait_status(lambda s: any(l["in_flight"] == 1 for l in s["pools"][0]["slots"]))
        index = next(l["slot"] for l in busy["pools"][0]["slots"] if l["in_flight"] == 1)
        seq = c.last_seq()
        c.cli("drain", "--no-wait", f"web/{index}")
        c.wait_event("worker.draining", since=seq, slot=index)
        c.kill_master()
        c.start(wait_ready=False)
        c.wait_event("slot.drained", since=seq, slot=index)
        asking.join()
        self.assert_drained(c, index)

    def test_any_program_is_told_by_its_stop_signal_and_not_started_again(self):
        program = "[sh, -c, \"trap 'echo told > told; exit 0' USR1; while :; do read -r line < hold; done\"]"
        c = self.cluster(pool_yaml(program, AT_ONCE + "    stop_signal: SIGUSR1\n"))
        os.mkfifo(c.dir / "hold")
        c.start()
        self.assertEqual(self.drained(c, 0)["state"], "drained")  # the only one, and nobody listens
        self.assertEqual(c.wait_file("told"), "told\n")
        c.cli("restart", "web/0")
        self.assertEqual(c.pool()["ready"], 1)

    def test_a_queue_of_its_own_goes_with_it(self):
        c = self.cluster(http_yaml(3).replace('127.0.0.1:0"', '127.0.0.1:0", accept: reuse_port')).start()
        port = port_of(c)
        for slot in range(3):  # whoever has the first socket of the group
            c.cli("drain", f"web/{slot}")
            answered = {get(port)[1].split()[0] for _ in range(60)}
            self.assertEqual(answered, {"web/0", "web/1", "web/2"} - {f"web/{slot}"})
            c.cli("restart", f"web/{slot}")
        self.assertEqual(len({get(port)[1].split()[0] for _ in range(80)}), 3)

    def test_wrong_words_get_one_sentence(self):
        c = self.cluster(http_yaml(1)).start()
        for what, code, words in [
                ("web/0", 1, "web/0 is the only worker of web that serves: nobody would take its connections; "
                             "have more with `topsman scale web=2` first"),
                ("web/7", 1, "no slot web/7; the last is web/0"),
                ("wbe/0", 1, 'no pool "wbe"; there is web'),
                ("web", 2, "drain: web is not POOL/SLOT, as in web/2"),
                ("web/x", 2, "drain: web/x is not POOL/SLOT, as in web/2"),
                ("/1", 2, "drain: /1 is not POOL/SLOT, as in web/2")]:
            done = c.cli("drain", what, expect=code)
            self.assertIn(words, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        c.cli("drain", expect=2)
        self.assertEqual(c.pool()["ready"], 1)


class Fewer(TestCase):
    def test_what_is_drained_is_taken_away_first(self):
        c = self.cluster(http_yaml(3)).start()
        c.cli("drain", "web/0")
        seq = c.last_seq()
        c.cli("scale", "web=2")
        self.assertEqual([(l["slot"], l["state"]) for l in c.pool()["slots"]], [(1, "serving"), (2, "serving")])
        self.assertEqual([e for e in c.events(seq) if e["event"].startswith("worker.")], [])

    def test_the_least_busy_go_and_the_next_master_keeps_the_numbers(self):
        c = self.cluster(http_yaml(3)).start()
        port = port_of(c)
        kept = {}  # a connection to each worker
        while len(kept) < 3:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)
            connection.request("GET", "/")
            kept[connection.getresponse().read().decode().split()[0]] = connection
        for busy in ("web/1", "web/2"):
            kept[busy].request("GET", "/sleep?ms=3000")
        c.wait_status(lambda s: [l["in_flight"] for l in s["pools"][0]["slots"]] == [0, 1, 1])
        kept.pop("web/0").close()
        seq = c.last_seq()
        c.cli("scale", "web=2")
        gone = [e for e in c.events(seq) if e["event"] == "worker.draining"]
        self.assertEqual([e["slot"] for e in gone], [0])
        self.assertEqual([l["slot"] for l in c.pool()["slots"]], [1, 2])
        self.assertEqual([connection.getresponse().status for connection in kept.values()], [200, 200])
        for connection in kept.values():
            connection.close()
        c.kill_master()
        c.start()
        self.assertEqual([(l["slot"], l["state"]) for l in c.pool()["slots"]], [(1, "serving"), (2, "serving")])
        self.assertEqual([e for e in c.events(seq) if e["event"] == "worker.spawned"], [])
        self.assertIn("no slot web/0: it was taken away when there were to be fewer",
                      c.cli("restart", "web/0", expect=1).stderr)
        c.cli("restart", "web/2")
        c.cli("scale", "web=3")
        self.assertEqual([l["slot"] for l in c.pool()["slots"]], [0, 1, 2])


if __name__ == "__main__":
    main()
