#!/usr/bin/env python3
"""Listeners change at a reload: added, removed, moved, renamed; backlog, mode and owner. What is new
is bound before what is old is closed, and who waits in a queue is still served."""

import http.client
import itertools
import os
import signal
import socket
import stat
import threading

from harness import DEADLINE, Pidfd, TestCase, free_port, get, main
from test_promises import Load

_hosts = itertools.count(1)


def own_host():
    """A loopback address that no other test of this machine uses: any port of it is free."""
    number = os.getpid() * 16 + next(_hosts)
    return f"127.{1 + (number >> 16) % 250}.{(number >> 8) % 256}.{1 + number % 250}"


def yaml(listeners, pools):
    """`listeners`: name -> address or the whole map; `pools`: name -> (its listeners, more lines)."""
    text = "listeners:\n"
    for name, what in listeners.items():
        text += f"  {name}: {what if what.startswith('{') else '{ address: ' + repr(what) + ' }'}\n"
    text += "pools:\n"
    for name, (uses, more) in pools.items():
        text += (f"  {name}:\n    command: [topsman-http]\n    listeners: [{', '.join(uses)}]\n"
                 f"    ready: {{ by: notify }}\n    rollout: {{ observe: 0s }}\n{more}")
    return text


def web(address, more="    workers: 2\n"):
    return yaml({"http": address}, {"web": (["http"], more)})


def ask(address, timeout=DEADLINE):
    host, port = address.rsplit(":", 1)
    return get(int(port), host=host, timeout=timeout)


# Answers one request at a time, each when somebody writes into the pipe `go`; told to leave, it
# closes its listener and serves what it took.
SLOW = """
import os, select, signal, socket
here = os.environ["CLUSTER_DIR"]
listener = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: listener.close())
while listener.fileno() >= 0:
    try:
        select.select([listener], [], [])
        connection, _ = listener.accept()
    except (OSError, ValueError):
        continue
    connection.setblocking(True)
    words = connection.recv(64)
    with open(here + "/asked", "w") as asked:
        print("yes", file=asked)
    open(here + "/go").read()
    connection.sendall(words)
    connection.close()
"""


class Listeners(TestCase):
    def refuses(self, address):
        host, port = address.rsplit(":", 1)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection((host, int(port)), DEADLINE).close()

    def lines(self, c):
        return {line["name"]: line for line in c.status()["listeners"]}

    def move(self, c, text, expect=0):
        seq = c.last_seq()
        c.write_yaml(text)
        done = c.cli("reload", expect=expect)
        return seq, done.stdout + done.stderr

    def test_one_is_added_and_removed_and_other_pools_are_not_touched(self):
        a, b = f"{own_host()}:80", f"{own_host()}:81"
        c = self.cluster(web(a)).start()
        pids = c.pids()
        both = yaml({"http": a, "admin": b},
                    {"web": (["http"], "    workers: 2\n"), "admin": (["admin"], "")})
        _, said = self.move(c, both)
        self.assertIn("admin: new, 1 worker", said)
        self.assertEqual(ask(b)[0], 200)
        self.assertEqual(set(self.lines(c)), {"http", "admin"})
        seq, _ = self.move(c, web(a))
        c.wait_event("listener.closed", since=seq, listener="admin", address=b, waiting=0)
        self.refuses(b)
        self.assertEqual(set(self.lines(c)), {"http"})
        self.assertEqual(c.pids(), pids)

    def test_one_that_moves_takes_its_workers_along(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a)).start()
        old = c.pids()
        c.write_yaml(web(b))
        planned = c.cli("plan", expect=6).stdout
        self.assertIn(f"listener http: {a} -> {b}", planned)
        self.assertIn("web: listeners changed: 2 workers are replaced", planned)
        self.assertEqual(c.pids(), old)
        seq, _ = self.move(c, web(b))
        self.assertEqual(ask(b)[0], 200)
        self.assertEqual(set(old) & set(c.pids()), set())
        c.wait_event("listener.closed", since=seq, address=a)
        self.refuses(a)

    def test_from_all_addresses_to_one_and_back_no_request_is_lost_and_each_is_counted(self):
        port = free_port()
        c = self.cluster(web(f"0.0.0.0:{port}")).start()
        with Load(port) as load:
            for host in ["127.0.0.1", "0.0.0.0"] * 8:
                self.move(c, web(f"{host}:{port}"))
        self.assertEqual(load.failures, [])
        self.assertGreater(load.answers, 100)
        self.assertEqual(c.counter("http_requests"), load.answers)

    def test_fifty_changes_beside_an_address_that_stays_lose_nothing(self):
        port, host = free_port(), own_host()
        stays = f"127.0.0.1:{port}"

        def text(number):
            return yaml({"http": stays, "admin": f"{host}:{8000 + number}"},
                        {"web": (["http", "admin"], "    workers: 2\n")})
        c = self.cluster(text(0)).start()
        with Load(port) as load, Load(port, pause=0.02) as idle:
            for number in range(1, 51):
                self.move(c, text(number))
        self.assertEqual(load.failures + idle.failures, [])
        self.assertEqual(c.counter("http_requests"), load.answers + idle.answers)
        self.assertEqual(self.lines(c)["admin"]["address"], f"{host}:8050")

    def test_who_waits_in_the_queue_of_the_old_one_is_still_served(self):
        """Its only worker stands still, so that they wait; it goes on after it was told to leave."""
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a, "    workers: 1\n")).start()
        host = a.split(":")[0]
        pid = c.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        waiting = [http.client.HTTPConnection(host, 80, timeout=DEADLINE) for _ in range(5)]
        for connection in waiting:
            connection.request("GET", "/")
        seq, _ = c.last_seq(), c.write_yaml(web(b, "    workers: 1\n"))
        reload = c.background("reload")
        c.wait_event("worker.draining", since=seq, pid=pid)
        # The gate is closed: who comes now is not let in, so that nobody comes too late.
        late = socket.socket()
        late.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            late.connect((host, 80))
        late.close()
        with Pidfd(pid) as worker:
            os.kill(pid, signal.SIGCONT)
            for connection in waiting:
                self.assertEqual(connection.getresponse().status, 200)
                connection.close()
            self.assertTrue(worker.wait())
        self.assertEqual(reload.wait(DEADLINE), 0)
        reload.communicate()
        c.wait_event("listener.closed", since=seq, address=a, waiting=0)
        self.refuses(a)

    def lines_of(self, c, address):
        return next(line for line in c.status()["listeners"] if line["address"] == address)

    def test_an_old_one_is_closed_though_its_worker_still_serves_long_requests(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        program = {"slow.py": SLOW}
        text = web(a, "    workers: 1\n    stop_timeout: 1h\n").replace(
            "[topsman-http]", "[python3, -B, ./slow.py]").replace("by: notify", "by: listening")
        c = self.cluster(text, files=program)
        os.mkfifo(c.dir / "go")
        c.start()
        host = a.split(":")[0]
        pid = c.pids()[0]
        slow = socket.create_connection((host, 80), DEADLINE)
        slow.sendall(b"hello")
        c.wait_file("asked")
        seq = c.last_seq()
        c.write_yaml(text.replace(a, b))
        c.cli("reload", "--no-wait")
        c.wait_event("listener.closed", since=seq, address=a)
        self.refuses(a)
        with Pidfd(pid) as worker:
            self.assertFalse(worker.wait(0), "it serves")
            (c.dir / "go").write_text("on")
            self.assertEqual(slow.recv(64), b"hello")
            slow.close()
            self.assertTrue(worker.wait())

    def test_what_cannot_be_bound_changes_nothing(self):
        a, b = f"{own_host()}:80", f"{own_host()}:81"
        c = self.cluster(web(a)).start()
        pids = c.pids()
        with socket.create_server((b.split(":")[0], 81)):
            both = yaml({"http": a, "first": f"{own_host()}:80", "second": b},
                        {"web": (["http", "first", "second"], "    workers: 2\n")})
            _, said = self.move(c, both, expect=1)
            self.assertIn(f"listener second: bind {b}: Address already in use", said)
        self.assertEqual(set(self.lines(c)), {"http"})
        self.assertEqual(c.pids(), pids)
        self.assertIn("second", c.status()["master"]["note"])
        self.move(c, both)
        self.assertEqual(ask(b)[0], 200)

    def test_a_release_that_fails_goes_back_to_the_old_address(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a)).start()
        pids = c.pids()
        seq, said = self.move(c, web(b).replace("[topsman-http]", "[sh, -c, 'exit 3']"), expect=4)
        self.assertEqual(ask(a)[0], 200)
        self.assertEqual(c.pids(), pids)
        c.wait_event("listener.closed", since=seq, address=b)
        self.refuses(b)
        self.assertEqual([line["address"] for line in c.status()["listeners"]], [a])

    def test_rollback_binds_the_old_address_again_or_says_why_not(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a)).start()
        seq, _ = self.move(c, web(b))
        c.wait_event("listener.closed", since=seq, address=a)
        pids = c.pids()
        with socket.create_server((a.split(":")[0], 80)):
            done = c.cli("rollback", expect=1)
            self.assertIn(f"listener http: bind {a}: Address already in use", done.stdout + done.stderr)
            self.assertEqual(c.pids(), pids)
        c.cli("rollback")
        self.assertEqual(ask(a)[0], 200)

    def test_another_name_is_the_same_socket(self):
        port = free_port()
        c = self.cluster(web(f"127.0.0.1:{port}")).start()
        with Load(port) as load:
            for name in ("front", "http", "door"):
                self.move(c, yaml({name: f"127.0.0.1:{port}"}, {"web": ([name], "    workers: 2\n")}))
        self.assertEqual(load.failures, [])
        self.assertEqual(c.counter("http_requests"), load.answers)
        self.assertEqual(set(self.lines(c)), {"door"})

    def test_two_change_places(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        pools = {"web": (["one"], ""), "api": (["two"], "")}
        c = self.cluster(yaml({"one": a, "two": b}, pools)).start()
        self.assertTrue(ask(a)[1].startswith("web/0"))
        self.move(c, yaml({"one": b, "two": a}, pools))
        c.wait_status(lambda s: len(s["listeners"]) == 2)
        self.assertTrue(ask(a)[1].startswith("api/0"))
        self.assertTrue(ask(b)[1].startswith("web/0"))

    def test_backlog_mode_and_owner_apply_at_once(self):
        c = self.cluster("pools: {}")
        path = c.dir / "web.sock"

        def text(more):
            return web(f"{{ address: 'unix:{path}'{more} }}")
        c.write_yaml(text(", mode: '0600', backlog: 16"))
        c.start()
        pids = c.pids()
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)
        _, said = self.move(c, text(", mode: '0666', backlog: 32"))
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o666)
        self.assertEqual(self.lines(c)["http"]["backlog"], 32)
        if os.getuid() == 0:
            self.move(c, text(", mode: '0666', backlog: 32, owner: nobody"))
            self.assertEqual(path.stat().st_uid, 65534)
            self.move(c, text(", mode: '0666', backlog: 32"))
            self.assertEqual(path.stat().st_uid, 0)
        self.assertEqual(c.pids(), pids)

    def test_a_unix_socket_moves_and_leaves_no_file(self):
        c = self.cluster("pools: {}")
        c.write_yaml(web(f"unix:{c.dir}/a.sock"))
        c.start()
        seq, _ = self.move(c, web(f"unix:{c.dir}/b.sock"))
        c.wait_event("listener.closed", since=seq)
        self.assertEqual(sorted(p.name for p in c.dir.glob("*.sock*")), ["b.sock"])
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(DEADLINE)
            s.connect(f"{c.dir}/b.sock")
            s.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertIn(b"200", s.recv(64))
        c.cli("rollback")
        c.cli("stop")
        self.assertEqual(sorted(p.name for p in c.dir.glob("*.sock*")), [])

    def test_a_change_of_accept_at_one_address_is_refused(self):
        a = f"{own_host()}:80"
        c = self.cluster(web(a)).start()
        _, said = self.move(c, web(f"{{ address: '{a}', accept: reuse_port }}"), expect=1)
        self.assertIn("listeners.http.accept: a reload cannot change this", said)
        self.assertEqual(ask(a)[0], 200)

    def test_a_group_of_sockets_moves_too(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(f"{{ address: '{a}', accept: reuse_port }}")).start()
        seq, _ = self.move(c, web(f"{{ address: '{b}', accept: reuse_port }}"))
        c.wait_event("listener.closed", since=seq, address=a)
        self.refuses(a)
        self.assertEqual(self.lines(c)["http"]["sockets"], 2)
        self.assertEqual({ask(b)[0] for _ in range(20)}, {200})

    def test_a_master_that_dies_amid_a_move_is_followed_by_one_that_finishes_it(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a)).start()
        seq = c.last_seq()
        c.write_yaml(web(b).replace("observe: 0s", "observe: 1s"))
        c.cli("reload", "--no-wait")
        c.wait_event("worker.ready", since=seq)
        self.master_dies(c)
        self.assertEqual((ask(a)[0], ask(b)[0]), (200, 200))
        c.start(wait_ready=None)
        c.wait_event("listener.closed", since=seq, address=a)
        self.assertEqual(ask(b)[0], 200)
        self.refuses(a)

    def test_a_master_that_died_behind_a_closed_gate_leaves_it_to_be_opened(self):
        a, b = f"{own_host()}:80", f"{own_host()}:80"
        c = self.cluster(web(a, "    workers: 1\n")).start()
        host, pid = a.split(":")[0], c.pids()[0]
        os.kill(pid, signal.SIGSTOP)
        waiting = http.client.HTTPConnection(host, 80, timeout=DEADLINE)
        waiting.request("GET", "/")
        seq = c.last_seq()
        c.write_yaml(web(b, "    workers: 1\n"))
        c.cli("reload", "--no-wait")
        c.wait_event("worker.draining", since=seq, pid=pid)
        self.master_dies(c)
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(waiting.getresponse().status, 200)
        waiting.close()
        c.write_yaml(web(a, "    workers: 1\n"))
        c.start(wait_ready=None)
        c.wait_status(lambda s: s["pools"] and s["pools"][0]["ready"] == 1 and
                      [line["address"] for line in s["listeners"]] == [a])
        self.assertEqual(ask(a)[0], 200)

    def master_dies(self, c):
        c.master.kill()
        c.master.wait()


if __name__ == "__main__":
    main()
