"""A worker that dies or stops between the kernel's wake-up and its accept takes the wake-up along.
SDK workers are woken by the master; for any other program it makes a connection of its own."""

import os
import signal
import socket

from harness import DEADLINE, Pidfd, TestCase, main

# Waits as nginx and libuv may: the kernel wakes one of them. Whoever finds the trap falls into it.
FOREIGN = """
import os, select, signal, socket
trap = os.environ["CLUSTER_DIR"] + "/trap"
listener = socket.socket(fileno=3)
poll = select.epoll()
poll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
while True:
    poll.poll()
    try:
        with open(trap) as f:
            kind = f.read()
        os.rename(trap, trap + ".sprung")
        with open(trap + ".new", "w") as f:
            f.write(f"{os.getpid()}\\n")
        os.rename(trap + ".new", trap + ".woken")
        signal.pause() if kind == "die" else os.kill(os.getpid(), signal.SIGSTOP)
    except FileNotFoundError:
        pass
    try:
        connection, _ = listener.accept()
        connection.sendall(f"{os.getpid()}\\n".encode())
        connection.close()
    except (BlockingIOError, BrokenPipeError):  # the master's connection is closed at once
        pass
"""

YAML = """
listeners:
  http: {{ address: "{address}" }}
pools:
  web:
    command: [python3, foreign.py]
    listeners: [http]
    workers: 4
    ready: {{ by: notify }}
    restart: "no"
"""


class ForeignWorkers(TestCase):
    def start(self, address="127.0.0.1:0"):
        return self.cluster(YAML.format(address=address), files={"foreign.py": FOREIGN}).start()

    def connect(self, c):
        address = c.status()["listeners"][0]["address"]
        if address.startswith("unix:"):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(DEADLINE)
            s.connect(address.removeprefix("unix:"))
            return s
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=DEADLINE)

    def lose_a_wake_up(self, c, kind):
        """A connection of which only somebody else was told: its socket, and who was."""
        c.write("trap", kind)
        waiting = self.connect(c)
        return waiting, int(c.wait_file("trap.woken"))

    def assert_answered(self, c, waiting, lost):
        with waiting:
            answer = int(waiting.makefile().readline())
        self.assertIn(answer, c.pids())
        self.assertNotEqual(answer, lost)
        event = c.wait_event("listener.nudged")
        self.assertEqual((event["listener"], event["waiting"]), ("http", 1))
        self.assertIn("listener http: 1 connection waits", c.log())
        self.assertEqual(c.status()["listeners"][0]["nudges"], 1)

    def test_the_connection_of_a_killed_worker_is_served_by_another(self):
        c = self.start()
        idle = c.pids()[0]
        os.kill(idle, signal.SIGKILL)  # nobody waits: this one is no reason to connect
        c.wait_event("worker.exited")
        waiting, lost = self.lose_a_wake_up(c, "die")
        with Pidfd(lost) as victim:
            victim.send(signal.SIGKILL)
            self.assertTrue(victim.wait())
        self.assert_answered(c, waiting, lost)

    def test_the_connection_of_a_stopped_worker_is_served_by_another(self):
        c = self.start()
        self.assert_answered(c, *self.lose_a_wake_up(c, "stop"))

    def test_through_a_unix_socket_too(self):
        c = self.start("unix:${CLUSTER_DIR}/a.sock")
        self.assert_answered(c, *self.lose_a_wake_up(c, "stop"))


if __name__ == "__main__":
    main()
