"""The promises under load: what operators do drops no request, what is killed loses no count."""

import http.client
import json
import random
import shutil
import signal
import threading

from harness import (DEADLINE, MISBEHAVING, ROOT, SHARED, Pidfd, TestCase, free_port, get, http_yaml, main,
                     port_of)

def yaml(workers=3, more=""):
    return http_yaml(workers, more=more) + SHARED


def ask_again(connection):
    """(status, closes): what a connection that was kept is told."""
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response.status, response.will_close


class Load:
    """Clients that ask, half of them on connections that they keep, without pause; with `pause` all
    keep theirs and ask at random moments, so many seconds apart at most. None if they `keep` none."""

    def __init__(self, port, clients=4, pause=0.0, keep=True):
        self.port = port
        self.pause = pause
        self.kept = 0  # answers on a connection that had been idle
        self.stopped = threading.Event()
        self.answers = 0
        self.failures = []
        self.lock = threading.Lock()
        self.going = threading.Barrier(clients + 1)
        self.threads = [threading.Thread(target=self.ask, args=(keep and (pause > 0 or i % 2 == 0), random.Random(i)))
                        for i in range(clients)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.going.wait(DEADLINE)  # every client has had its first answer
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(DEADLINE)

    def ask(self, keep, dice):
        connection = None
        first = True
        while not self.stopped.wait(0 if first else dice.uniform(0, self.pause)):
            kept = connection is not None
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
                connection.request("GET", "/", headers={} if keep else {"Connection": "close"})
                response = connection.getresponse()
                response.read()
                with self.lock:
                    self.answers += 1
                    self.kept += kept
                    if response.status != 200:
                        self.failures.append(f"status {response.status}")
                if response.will_close or not keep:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.failures.append(repr(error))
                if connection is not None:
                    connection.close()
                connection = None
            if first:
                first = False
                self.going.wait(DEADLINE)
        if connection is not None:
            connection.close()


class P1NothingIsDropped(TestCase):
    def test_the_examples_without_a_library_lose_nothing_either(self):
        for words in (["python3", "-B", "python_server.py"], ["node", "node-server.js"]):
            if shutil.which(words[0]) is None:
                continue
            with self.subTest(words[0]):
                port = free_port()
                text = (f"pools:\n  web:\n    command: {json.dumps(words)}\n"
                        f"    working_directory: {ROOT}/config/examples\n    workers: 2\n"
                        "    listeners: [http]\n    ready: { by: listening }\n    rollout: { observe: 0s }\n")
                c = self.cluster(f"listeners: {{ http: {{ address: '127.0.0.1:{port}' }} }}\n{text}").start()
                with Load(port) as load, Load(port, pause=0.02) as idle:
                    c.cli("restart", "web")
                    c.cli("scale", "web=4")
                    c.cli("scale", "web=1")
                    c.write_yaml(f"listeners: {{ http: {{ address: '0.0.0.0:{port}' }} }}\n{text}")
                    c.cli("reload")
                self.assertEqual(load.failures + idle.failures, [])
                self.assertGreater(idle.answers, 10)

    def test_restart_reload_and_scaling_under_load_lose_no_request_and_count_each(self):
        c = self.cluster(yaml()).start()
        with Load(port_of(c)) as load:
            for round_number in range(3):
                c.cli("restart", "web")
                c.cli("scale", "web=6")
                c.cli("scale", "web=1")
                c.write_yaml(yaml(more=f"    environment: {{ ROUND: '{round_number}' }}\n"))
                c.cli("reload")
        self.assertEqual(load.failures, [])
        self.assertGreater(load.answers, 100)
        self.assertEqual(c.counter("http_requests"), load.answers)
        gone = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertGreaterEqual(len(gone), 3 * (3 + 5 + 1))
        self.assertTrue(all("code 0" in e["reason"] for e in gone), gone)


    def test_kept_connections_are_told_and_never_closed_under_a_request(self):
        c = self.cluster(yaml()).start()
        port = port_of(c)
        with Load(port, clients=12, pause=0.1) as load, Load(port) as busy:
            for _ in range(30):
                c.cli("restart", "web")
            for _ in range(20):
                c.cli("scale", "web=4")
                c.cli("scale", "web=3")
        self.assertEqual(load.failures + busy.failures, [])
        self.assertGreater(load.kept, 100)
        self.assertEqual(c.counter("http_requests"), load.answers + busy.answers)
        gone = [e for e in c.events() if e["event"] == "worker.exited"]
        self.assertTrue(all("code 0" in e["reason"] for e in gone), gone)

    def test_who_asks_on_an_idle_connection_while_its_worker_leaves_is_answered(self):
        c = self.cluster(yaml(2)).start()
        kept = [http.client.HTTPConnection("127.0.0.1", port_of(c), timeout=DEADLINE) for _ in range(8)]
        self.assertEqual([ask_again(connection) for connection in kept], [(200, False)] * 8)
        seq = c.last_seq()
        restart = c.background("restart", "web")
        for slot in range(2):
            c.wait_event("worker.draining", since=seq, slot=slot)
        # The signal was sent; when its worker takes it, nobody but itself knows.
        for connection in kept:
            answer = (200, False)
            while answer == (200, False):
                answer = ask_again(connection)
            self.assertEqual(answer, (200, True))
        self.assertEqual(restart.communicate(timeout=DEADLINE)[1], "")
        self.assertEqual(restart.returncode, 0)


class P4ABadReleaseCannotTakeDownAGoodOne(TestCase):
    def test_good_and_bad_reloads_under_load_lose_no_request(self):
        c = self.cluster(yaml()).start()
        quick = "    rollout: { observe: 300ms }\n"
        with Load(port_of(c)) as load:
            for turn in range(2):
                good = yaml(more=quick + f"    environment: {{ TURN: '{turn}' }}\n")
                c.write_yaml(good)
                c.cli("reload")
                for bad in ("[sh, -c, 'exit 3']", "[topsman-missing]",
                            f"[{MISBEHAVING}, --exit-after-ready, --exit, '3']"):
                    c.write_yaml(good.replace("[topsman-http]", bad))
                    done = c.cli("reload", expect=4)
                    self.assertIn("web/0: new worker", done.stderr)
        self.assertEqual(load.failures, [])
        self.assertGreater(load.answers, 100)
        self.assertEqual(c.counter("http_requests"), load.answers)
        self.assertEqual(c.pool()["ready"], 3)

    def test_a_release_that_fails_half_way_is_taken_back_under_load(self):
        c = self.cluster(yaml()).start()
        # The third start of the new release fails: its canary and another one serve already.
        program = ("[sh, -c, 'mkdir " + str(c.dir) + "/1 || mkdir " + str(c.dir) +
                   "/2 || exit 3; exec topsman-http']")
        with Load(port_of(c)) as load:
            c.write_yaml(yaml(more="    rollout: { observe: 100ms }\n").replace("[topsman-http]", program))
            done = c.cli("reload", expect=4)
        self.assertIn("back to generation 1, 2 workers replaced", done.stdout)
        self.assertEqual(load.failures, [])
        self.assertEqual({s["generation"] for s in c.pool()["slots"]}, {1})


class P2KillAnything(TestCase):
    def test_killed_workers_lose_no_count_and_hold_up_nobody(self):
        c = self.cluster(yaml(4)).start()
        port = port_of(c)
        with Load(port) as load:
            for i in range(24):
                seq = c.last_seq()
                with Pidfd(c.slot(i % 4)["pid"]) as victim:
                    victim.send(signal.SIGKILL)
                    self.assertTrue(victim.wait())
                c.wait_event("worker.ready", since=seq, slot=i % 4)
        # Each failure is a request that the killed worker had accepted: 4 clients, 24 deaths.
        self.assertLessEqual(len(load.failures), 4 * 24)
        counted = c.counter("http_requests")
        self.assertGreaterEqual(counted, load.answers)
        self.assertLessEqual(counted, load.answers + len(load.failures))
        self.assertEqual(get(port, "/orders", method="POST", body="")[0], 201)
        c.wait_status(lambda s: s["gauges"]["http_connections"]["total"] == 0)  # nothing of the dead is left


class P3TheMasterIsNoSinglePointOfFailure(TestCase):
    def test_the_master_s_death_stops_no_worker_and_loses_no_request(self):
        c = self.cluster(yaml()).start()
        pids = c.pids()
        with Load(port_of(c)) as load:
            c.kill_master()
            before = load.answers
            for _ in range(50):
                get(load.port)
            self.assertGreaterEqual(load.answers, before)
        self.assertEqual(load.failures, [])
        self.assertEqual(c.counter("http_requests"), load.answers + 50)
        c.start()
        self.assertEqual(c.pids(), pids)
        self.assertEqual(c.counter("http_requests"), load.answers + 50)


if __name__ == "__main__":
    main()
