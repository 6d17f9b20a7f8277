"""The descriptor store of a service manager, played by the test: listeners and who waits in them outlive
the master and all of its workers."""

import os
import signal
import socket
import stat
import subprocess
import threading

from harness import DEADLINE, TOPSMAN, Pidfd, TestCase, free_port, get, main, port_of

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def yaml(listeners, workers=2):
    lines = "".join(f"  {name}: {{ address: '{address}' }}\n" for name, address in listeners.items())
    return (f"listeners:\n{lines}pools:\n  web:\n    command: [topsman-http]\n"
            f"    listeners: [{', '.join(listeners)}]\n    workers: {workers}\n"
            "    ready: { by: notify }\n    rollout: { observe: 0s }\n")


class Manager:
    """Takes what sd_pid_notify_with_fds(3) sends, each descriptor once, as systemd does."""

    def __init__(self, path):
        self.path = str(path)
        self.stored = {}  # name: descriptor
        self.removed = []
        self.changed = threading.Condition()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        while True:
            text, fds, _, _ = socket.recv_fds(self.socket, 65536, 8)
            if text == b"END":
                return
            fields = dict(line.split("=", 1) for line in text.decode().splitlines())
            with self.changed:
                if "FDSTORE" in fields:
                    self.keep(fields["FDNAME"], fds[0])
                elif "FDSTOREREMOVE" in fields:
                    self.removed.append(fields["FDNAME"])
                    if fields["FDNAME"] in self.stored:
                        os.close(self.stored.pop(fields["FDNAME"]))
                self.changed.notify_all()

    def keep(self, name, fd):
        if any(os.fstat(fd).st_ino == os.fstat(other).st_ino for other in self.stored.values()):
            os.close(fd)
        else:
            self.stored[name] = fd

    def wait(self, test, good):
        with self.changed:
            test.assertTrue(self.changed.wait_for(lambda: good(self), DEADLINE), self.stored)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            end.sendto(b"END", self.path)
        self.thread.join(DEADLINE)
        self.socket.close()
        for fd in self.stored.values():
            os.close(fd)
        self.stored.clear()


class FdStore(TestCase):
    def begin(self, text, wanted=1):
        c = self.cluster(text)
        self.manager = Manager(c.dir / "manager")
        self.addCleanup(self.manager.close)
        c.env["NOTIFY_SOCKET"] = self.manager.path
        c.start()
        self.manager.wait(self, lambda m: len(m.stored) == wanted)
        return c

    def kill_all(self, c):
        with Pidfd(c.master.pid) as master:
            workers = [Pidfd(pid) for pid in c.pids()]
            master.send(signal.SIGKILL)
            for worker in workers:
                worker.send(signal.SIGKILL)
                self.assertTrue(worker.wait())
                worker.close()
        c.master.wait(DEADLINE)

    def start_again(self, c):
        """As systemd would: with all that is in the store."""
        names = list(self.manager.stored)
        high = [os.dup(self.manager.stored[name]) for name in names]

        def give():
            for number, fd in enumerate(high):
                os.dup2(fd, 200 + number)
            for number in range(len(high)):
                os.dup2(200 + number, 3 + number)

        env = dict(c.env, LISTEN_FDS=str(len(names)), LISTEN_FDNAMES=":".join(names))
        with open(c.log_path, "ab") as log:
            c.master = subprocess.Popen(
                ["sh", "-c", f"export LISTEN_PID=$$; exec {TOPSMAN} run {c.file}"], env=env, cwd=c.dir,
                preexec_fn=give, close_fds=False, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        for fd in high:
            os.close(fd)
        c.wait_up()

    def ask_between(self, c, family, address):
        """Who asks while nobody lives is answered by the next."""
        self.kill_all(c)
        with socket.socket(family) as client:
            client.settimeout(DEADLINE)
            client.connect(address)
            client.sendall(REQUEST)
            self.start_again(c)
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.1 200"))

    def test_who_asks_while_the_master_and_all_workers_are_dead_is_answered(self):
        c = self.begin(yaml({"http": "127.0.0.1:0"}))
        port = port_of(c)
        names = set(self.manager.stored)
        for _ in range(3):
            self.ask_between(c, socket.AF_INET, ("127.0.0.1", port))
            self.assertEqual(port_of(c), port)
        self.assertEqual(set(self.manager.stored), names)
        self.assertEqual(self.manager.removed, [])

    def test_a_unix_socket_too(self):
        c = self.begin(yaml({"http": "unix:http.sock"}))
        path = c.dir / "http.sock"
        self.ask_between(c, socket.AF_UNIX, str(path))
        c.stop()
        self.assertFalse(path.exists(), "its file is still ours")

    def test_a_unix_socket_whose_file_is_gone_is_bound_anew(self):
        c = self.begin(yaml({"http": "unix:http.sock"}))
        before = set(self.manager.stored)
        self.kill_all(c)
        (c.dir / "http.sock").unlink()
        self.start_again(c)
        self.assertTrue(stat.S_ISSOCK((c.dir / "http.sock").stat().st_mode))
        self.manager.wait(self, lambda m: len(m.stored) == 1 and not before & set(m.stored))

    def test_living_workers_go_on_with_the_sockets_that_were_stored(self):
        c = self.begin(yaml({"http": "127.0.0.1:0"}))
        port, pids, names = port_of(c), c.pids(), set(self.manager.stored)
        c.kill_master()
        self.start_again(c)
        self.assertEqual(c.pids(), pids)
        self.assertEqual(get(port)[0], 200)
        c.cli("restart")
        self.assertEqual(get(port)[0], 200)
        self.assertEqual(set(self.manager.stored), names, "it is the same socket")

    def test_what_a_reload_adds_is_stored_and_what_it_takes_away_is_removed(self):
        c = self.begin(yaml({"http": "127.0.0.1:0"}))
        first = next(iter(self.manager.stored))
        self.assertTrue(first.startswith("topsman.http."))
        c.write_yaml(yaml({"other": "127.0.0.1:0"}))
        c.cli("reload")
        self.manager.wait(self, lambda m: m.removed == [first])
        self.assertEqual([name.split(".")[1] for name in self.manager.stored], ["other"])

    def test_a_socket_keeps_its_name_when_its_listener_is_renamed_and_the_master_upgraded(self):
        port = free_port()
        c = self.begin(yaml({"http": f"127.0.0.1:{port}"}))
        first = next(iter(self.manager.stored))
        c.write_yaml(yaml({"renamed": f"127.0.0.1:{port}"}))
        c.cli("reload")
        c.cli("upgrade")
        self.ask_between(c, socket.AF_INET, ("127.0.0.1", port))
        self.assertEqual(list(self.manager.stored), [first])
        c.write_yaml(yaml({"other": "127.0.0.1:0"}))
        c.cli("reload")
        self.manager.wait(self, lambda m: first in m.removed and len(m.stored) == 1)

    def test_a_stored_socket_that_the_file_does_not_have_any_more_is_in_nobody_s_way(self):
        port = free_port()
        c = self.begin(yaml({"http": f"0.0.0.0:{port}"}))
        first = next(iter(self.manager.stored))
        self.kill_all(c)
        c.write_yaml(yaml({"http": f"127.0.0.1:{port}"}))
        self.start_again(c)
        self.assertEqual(get(port)[0], 200)
        self.manager.wait(self, lambda m: first in m.removed and len(m.stored) == 1)


if __name__ == "__main__":
    main()
