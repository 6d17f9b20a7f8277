"""Spares: workers that are warmed up before anybody needs them, and take the seat of one that dies."""

import http.client
import pathlib
import re
import signal
import socket
import threading

from harness import BIN, DEADLINE, Pidfd, TestCase, get, http_yaml, main, port_of

# Takes long to start. What it answers: who it is, and whether it ever heard of a slot.
SLOW = """
import os, select, signal, socket, sys, time
time.sleep(float(os.environ.get("START", "0")))
listener = socket.socket(fileno=3)
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
wake, waker = socket.socketpair()
waker.setblocking(False)
signal.set_wakeup_fd(waker.fileno())
poll = select.poll()
poll.register(listener, select.POLLIN)
poll.register(wake, select.POLLIN)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while not stopping:
    poll.poll()
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue
    connection.recv(4096)
    words = f"{os.getpid()} {os.environ.get('TOPSMAN_SLOT')}\\n"
    connection.sendall(f"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: {len(words)}\\r\\n\\r\\n{words}".encode())
    connection.close()
    print("answered", flush=True)
"""

# Holds what it accepts before it says that it is ready, if it is a spare; a worker takes nothing.
HOLDING = """
import os, signal, socket
listener = socket.socket(fileno=3)
listener.setblocking(True)
if "TOPSMAN_SLOT" not in os.environ:
    held = listener.accept()
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""

# Two processes, as a supervisor and what it supervises.
FORKING = """
import os, signal, socket
child = os.fork()
if child != 0:
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
signal.pause()
"""


def foreign_yaml(program, workers=1, spares=1, more="", lanes=256):
    return f"""
segment: {{ lanes: {lanes} }}
listeners:
  http: {{ address: "127.0.0.1:0" }}
pools:
  web:
    command: [{program}]
    listeners: [http]
    workers: {workers}
    spares: {spares}
    ready: {{ by: notify }}
{more}"""


def spares_of(state, *states):
    pool = next(p for p in state["pools"] if p["name"] == "web")
    return [s for s in pool["slots"] if s["role"] == "spare" and s["state"] in states]


def state_letter(pid):
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


class SparesTest(TestCase):
    def wait_parked(self, c, count=1):
        state = c.wait_status(lambda s: len(spares_of(s, "parked")) == count)
        return [line["pid"] for line in spares_of(state, "parked")]

    def kill_worker(self, c, pid):
        with Pidfd(pid) as victim:
            victim.send(signal.SIGKILL)
            self.assertTrue(victim.wait())


class FrozenSpares(SparesTest):
    def start(self, program="python3, slow.py", **options):
        files = {"slow.py": SLOW, "holding.py": HOLDING, "forking.py": FORKING}
        env = {"START": options.pop("start", "0")}
        return self.cluster(foreign_yaml(program, **options), files=files, env=env).start()

    def test_the_frozen_one_answers_for_a_program_that_takes_two_seconds_to_start(self):
        c = self.start(start="2", more="    output: { to: prefix }\n")
        [spare] = self.wait_parked(c)
        self.assertEqual(state_letter(spare), "T", "it does nothing at all")
        port = port_of(c)
        [worker] = c.pids()
        self.assertEqual(get(port)[1], f"{worker} 0\n")
        seq = c.last_seq()
        self.kill_worker(c, worker)
        # Nobody else is there who could answer: the next one starts for two seconds.
        self.assertEqual(get(port)[1], f"{spare} None\n")
        seated = c.wait_event("spare.seated", since=seq)
        self.assertEqual((seated["slot"], seated["pid"]), (0, spare))
        self.assertEqual(c.slot(0)["pid"], spare)
        self.assertEqual(c.slot(0)["restarts"], 1)
        c.wait_log("web/0 | answered")
        [next_one] = self.wait_parked(c)
        self.assertNotEqual(next_one, spare)

    def test_status_tells_them_from_workers(self):
        c = self.start(workers=2, spares=2, more="    watchdog: { timeout: 1h }\n")
        self.wait_parked(c, 2)
        pool = c.pool()
        self.assertEqual((pool["wanted"], pool["ready"], pool["spares"], pool["spares_ready"]), (2, 2, 2, 2))
        for line in spares_of(c.status(), "parked"):
            self.assertIsNone(line["slot"])
            self.assertTrue(line["stopped"])
            self.assertNotIn("watchdog_age_s", line)
        text = c.cli("status").stdout
        self.assertIn("web: 2 of 2 workers ready, 2 of 2 spares\n", text)
        self.assertEqual(len(re.findall(r"^web/spare +\d+ +frozen", text, re.M)), 2, text)

    def test_two_hundred_are_frozen_under_load_and_no_request_is_lost(self):
        c = self.start(f"{BIN}/plain_server, '2000'", workers=4, spares=20)
        port = port_of(c)
        done = threading.Event()
        answered, lost = [], []

        def ask():
            while not done.is_set():
                try:
                    status, _ = get(port)
                    answered.append(status)
                except (OSError, http.client.HTTPException) as error:
                    lost.append(repr(error))

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        try:
            frozen, seq = 0, 0
            while frozen < 200:
                c.wait_status(lambda s: len(spares_of(s, "parked", "serving")) == 20 and
                              c.pool()["spares_ready"] == 20)
                events = c.events(since=seq)
                frozen += sum(e["event"] == "spare.parked" for e in events)
                seq = events[-1]["seq"]
                c.cli("reset-failed")  # each spare is replaced by another
        finally:
            done.set()
            for client in clients:
                client.join()
        self.assertEqual(lost, [])
        self.assertEqual(set(answered), {200})
        self.assertGreater(len(answered), 200)

    def test_one_that_holds_a_connection_serves_on(self):
        c = self.start("python3, holding.py")
        with socket.create_connection(("127.0.0.1", port_of(c)), timeout=DEADLINE):
            kept = c.wait_event("spare.kept")
            self.assertEqual(kept["reason"], "spares: cannot freeze under this load")
            self.assertNotEqual(state_letter(kept["pid"]), "T")
            self.assertIn("web/spare", c.log())
            pool = c.pool()
            self.assertEqual((pool["ready"], pool["spares_ready"]), (1, 1))
            self.assertIn("spare", c.cli("status").stdout)

    def test_one_of_several_processes_serves_on(self):
        c = self.start("python3, forking.py")
        kept = c.wait_event("spare.kept")
        self.assertIn("it has 2 processes", kept["reason"])
        self.assertNotEqual(state_letter(kept["pid"]), "T")

    def test_old_ones_are_renewed(self):
        c = self.start(more="    spare_lifetime: 1s\n")
        first = c.wait_event("spare.parked")
        second = c.wait_event("spare.parked", since=first["seq"])
        self.assertNotEqual(first["pid"], second["pid"])
        gone = c.wait_event("worker.exited", since=first["seq"], pid=first["pid"])
        self.assertEqual(gone["reason"], "exited with code 0", "it was thawed to end")

    def test_a_reload_renews_them_and_takes_them_away(self):
        c = self.start(workers=1, spares=2)
        old = self.wait_parked(c, 2)
        c.write_yaml(foreign_yaml("python3, slow.py", spares=1, more="    environment: { A: b }\n"))
        c.cli("reload")
        state = c.wait_status(lambda s: [x["pid"] for x in spares_of(s, "parked")] and
                              not set(old) & {x["pid"] for x in s["pools"][0]["slots"]})
        self.assertEqual(len(spares_of(state, "parked")), 1)
        c.write_yaml(foreign_yaml("python3, slow.py", spares=0, more="    environment: { A: b }\n"))
        c.cli("reload")
        c.wait_status(lambda s: len(s["pools"][0]["slots"]) == 1)

    def test_a_stop_ends_the_frozen(self):
        c = self.start(spares=3)
        frozen = [Pidfd(pid) for pid in self.wait_parked(c, 3)]
        self.assertEqual(c.stop(), 0)
        for one in frozen:
            self.assertTrue(one.wait())
            one.close()

    def test_the_next_master_goes_on_with_the_frozen(self):
        c = self.start(start="1")
        [spare] = self.wait_parked(c)
        c.kill_master()
        self.assertEqual(state_letter(spare), "T")
        c.start()
        self.assertEqual(self.wait_parked(c), [spare])
        port = port_of(c)
        self.kill_worker(c, c.pids()[0])
        self.assertEqual(get(port)[1], f"{spare} None\n")

    def test_the_next_master_freezes_who_was_thawed_meanwhile(self):
        c = self.start(start="1")
        [spare] = self.wait_parked(c)
        seq = c.last_seq()
        c.kill_master()
        with Pidfd(spare) as frozen:
            frozen.send(signal.SIGCONT)
        c.start()
        c.wait_event("spare.parked", since=seq, pid=spare)
        self.assertEqual(state_letter(spare), "T")

    def test_an_upgrade_goes_on_with_the_frozen(self):
        c = self.start(start="1")
        [spare] = self.wait_parked(c)
        c.cli("upgrade")
        self.assertEqual(self.wait_parked(c), [spare])
        port = port_of(c)
        self.kill_worker(c, c.pids()[0])
        self.assertEqual(get(port)[1], f"{spare} None\n")

    def test_a_stop_without_a_master_ends_the_frozen(self):
        c = self.start()
        [spare] = self.wait_parked(c)
        c.kill_master()
        with Pidfd(spare) as frozen:
            c.cli("stop")
            self.assertTrue(frozen.wait())


class ParkedSpares(SparesTest):
    """Programs of the worker library wait by themselves."""

    def start(self, workers=1, spares=1):
        return self.cluster(http_yaml(workers, more=f"    spares: {spares}\n")).start()

    def test_it_waits_without_being_stopped_and_learns_its_slot_with_its_seat(self):
        c = self.start(workers=2)
        [spare] = self.wait_parked(c)
        self.assertEqual(state_letter(spare), "S")
        self.assertRegex(c.cli("status").stdout, r"(?m)^web/spare +\d+ +parked")
        port = port_of(c)
        first = c.slot(0)["pid"]
        self.assertEqual({get(port)[1] for _ in range(20)} - {f"web/0 pid {first}\n",
                                                              f"web/1 pid {c.slot(1)['pid']}\n"}, set())
        self.kill_worker(c, first)
        self.assertEqual(c.wait_event("spare.seated")["pid"], spare)
        answers = set()
        while f"web/0 pid {spare}\n" not in answers:
            answers.add(get(port)[1])
        self.assertEqual(c.slot(0)["pid"], spare)

    def test_a_stop_ends_it(self):
        c = self.start(spares=2)
        parked = [Pidfd(pid) for pid in self.wait_parked(c, 2)]
        self.assertEqual(c.stop(), 0)
        for one in parked:
            self.assertTrue(one.wait())
            one.close()
        self.assertNotIn("SIGKILL", c.log())

    def test_the_next_master_releases_it(self):
        c = self.start()
        [spare] = self.wait_parked(c)
        c.kill_master()
        c.start()
        self.assertEqual(self.wait_parked(c), [spare])
        self.kill_worker(c, c.pids()[0])
        self.assertEqual(get(port_of(c))[1], f"web/0 pid {spare}\n")

    def test_a_program_that_is_seen_listening_is_parked_too(self):
        c = self.cluster(http_yaml(1, more="    spares: 1\n").replace("by: notify", "by: listening")).start()
        [spare] = self.wait_parked(c)
        self.assertEqual(state_letter(spare), "S")


if __name__ == "__main__":
    main()
