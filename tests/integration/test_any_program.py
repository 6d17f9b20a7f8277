"""Any program is a worker: node, python and shell; its user, limits, environment, folder and umask;
TCP, IPv6 and unix listeners; sockets from a service manager; PID 1."""

import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import time
import unittest

from harness import BIN, DEADLINE, TOPSMAN, Pidfd, TestCase, free_port, get, main, \
    pool_yaml as pool, port_of, wait_for_change

SHOW = """
import json, os, resource, sys
path = sys.argv[1]
fds = {}
for fd in sorted(int(f) for f in os.listdir("/proc/self/fd")):
    try:
        fds[fd] = os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        pass
old = os.umask(0); os.umask(old)
facts = dict(environ=dict(os.environ), fds=fds, cwd=os.getcwd(), uid=os.getuid(), gid=os.getgid(),
             groups=os.getgroups(), umask=old, nofile=resource.getrlimit(resource.RLIMIT_NOFILE),
             pid=os.getpid(), sid=os.getsid(0), pgid=os.getpgid(0), argv=sys.argv,
             status=open("/proc/self/status").read())
with open(path + ".new", "w") as f: f.write(json.dumps(facts) + "\\n")
os.rename(path + ".new", path)
import signal; signal.pause()
"""

PYTHON_HTTP = """
import http.server, os, socket, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = f"python {os.getpid()}\\n".encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
"""

NODE_HTTP = """
const http = require('http');
const server = http.createServer((q, r) => r.end(`node ${process.pid}\\n`));
server.listen({ fd: 3 });
process.on('SIGTERM', () => server.close(() => process.exit(0)));
"""


ASYNCIO = """
import asyncio, os, signal, socket
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\nasyncio\\n")
    await writer.drain(); writer.close()
async def main():
    server = await asyncio.start_server(answer, sock=socket.socket(fileno=3))
    await server.serve_forever()
asyncio.run(main())
"""

THREADS = """
import socket, threading
listener = socket.socket(fileno=3)
listener.settimeout(600)  # it is shared and does not block: python polls, then accepts
def serve():
    while True:
        client, _ = listener.accept()
        client.recv(4096)
        client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\nthreads\\n")
        client.close()
for _ in range(3): threading.Thread(target=serve).start()
"""

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr; events {{}}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
  uwsgi_temp_path u; scgi_temp_path s;
  server {{ listen 127.0.0.1:{port}; return 200 "nginx\\n"; }} }}
"""

NOW = "    ready: { by: none, min_uptime: 50ms }\n"


SEEN = "    listeners: [http]\n    ready: { by: listening, timeout: 25s }\n"


class Listening(TestCase):
    """Ready when seen waiting for connections; none of these programs says READY=1."""

    def serve(self, command, files, name, address="127.0.0.1:0", more=""):
        c = self.cluster(f"listeners:\n  http: {{ address: '{address}' }}\n" +
                         pool(command, SEEN + more, 2), files=files).start()
        self.assertEqual(get(port_of(c))[0], 200)
        self.assertIn(name, get(port_of(c))[1])
        self.assertNotIn("cannot tell", c.log())
        before = c.pids()
        c.cli("restart")
        self.assertFalse(set(before) & set(c.pids()))
        self.assertIn(name, get(port_of(c))[1])

    @unittest.skipUnless(shutil.which("node"), "needs node")
    def test_node(self):
        self.serve("[node, app.js]", {"app.js": NODE_HTTP}, "node")

    def test_asyncio(self):
        self.serve("[/usr/bin/python3, app.py]", {"app.py": ASYNCIO}, "asyncio")

    def test_threads_that_accept(self):
        self.serve("[/usr/bin/python3, app.py]", {"app.py": THREADS}, "threads")

    def test_a_loop_over_poll(self):
        self.serve("[/usr/bin/python3, app.py]",
                   {"app.py": PYTHON_HTTP.replace("n.sendto(", "(lambda *a: 0)(")}, "python")

    @unittest.skipUnless(shutil.which("nginx"), "needs nginx")
    def test_nginx_whose_children_wait(self):
        port = free_port()
        self.serve("[nginx, -p, ., -c, nginx.conf, -e, stderr]", {"nginx.conf": NGINX.format(port=port)},
                   "nginx", f"127.0.0.1:{port}", "    environment: { NGINX: '3;' }\n")

    def test_not_before_it_waits(self):
        script = ("import socket\nlistener = socket.socket(fileno=3)\nlistener.settimeout(600)\n"
                  "open('here', 'w').write('here\\n')\nopen('go').read()\nlistener.accept()\n")
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         pool("[/usr/bin/python3, app.py]", SEEN), files={"app.py": script})
        os.mkfifo(c.dir / "go")
        c.start(wait_ready=False)
        c.wait_file("here")
        self.assertEqual(c.slot(0)["state"], "starting")
        seq = c.last_seq()
        with open(c.dir / "go", "w"):
            pass
        c.wait_event("worker.ready", since=seq, slot=0)

    def test_who_does_not_wait_on_its_listener_is_late_and_the_log_says_why(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         pool("[sleep, inf]", SEEN.replace("25s", "300ms"))).start(wait_ready=False)
        self.assertIn("not ready within 300ms", c.wait_event("worker.exited")["reason"])
        self.assertIn("web/0: ready: no process of it was seen waiting on all of its listeners",
                      c.log())


class Programs(TestCase):
    def test_python_answers_on_the_inherited_socket(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         pool("[python3, app.py]", "    listeners: [http]\n    ready: { by: notify }\n", 2),
                         files={"app.py": PYTHON_HTTP}).start()
        answered = {get(port_of(c))[1] for _ in range(50)}
        self.assertTrue(answered <= {f"python {p}\n" for p in c.pids()})

    @unittest.skipUnless(shutil.which("node"), "needs node")
    def test_node_answers_on_the_inherited_socket(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         pool("[node, app.js]", "    listeners: [http]\n    ready: { min_uptime: 300ms }\n", 2),
                         files={"app.js": NODE_HTTP}).start()
        port = port_of(c)
        self.assertTrue(get(port)[1].startswith("node "))
        seq = c.last_seq()
        os.kill(c.pids()[0], signal.SIGKILL)
        c.wait_event("worker.exited", since=seq)
        self.assertTrue(get(port)[1].startswith("node "))

    def facts(self, c, name="facts"):
        return json.loads(c.wait_file(name))

    def test_what_a_worker_gets(self):
        c = self.cluster("listeners:\n  a: { address: '127.0.0.1:0' }\n  b: { address: '127.0.0.1:0' }\n" +
                         pool("[python3, show.py, facts, '${LISTENER_FD:b}']", NOW +
                              "    listeners: [a, b]\n    umask: '0027'\n    limits: { nofile: 512 }\n"
                              "    env_file: extra.env\n    environment: { COLOR: blue, BOTH: yaml }\n"),
                         files={"show.py": SHOW, "extra.env": "# comment\nFROM_FILE='a b'\nBOTH=file\n"},
                         env={"LISTEN_FDS": "9", "WATCHDOG_USEC": "1", "TOPSMAN_NONSENSE": "1"}).start()
        facts = self.facts(c)
        env = facts["environ"]
        self.assertEqual(env["LISTEN_FDS"], "2")
        self.assertEqual(env["LISTEN_FDNAMES"], "a:b")
        self.assertEqual(env["LISTEN_PID"], str(facts["pid"]))
        self.assertEqual(env["TOPSMAN_PID"], str(facts["pid"]))
        self.assertEqual(facts["argv"][-1], "4")
        self.assertEqual((env["TOPSMAN_POOL"], env["TOPSMAN_SLOT"], env["TOPSMAN_CLUSTER"]),
                         ("web", "0", c.name))
        self.assertEqual((env["COLOR"], env["FROM_FILE"], env["BOTH"]), ("blue", "a b", "yaml"))
        self.assertNotIn("TOPSMAN_NONSENSE", env)
        self.assertNotIn("WATCHDOG_USEC", env)
        self.assertEqual(facts["cwd"], str(c.dir.resolve()))
        self.assertEqual(facts["umask"], 0o027)
        self.assertEqual(facts["nofile"][0], 512)
        self.assertEqual((facts["sid"], facts["pgid"]), (facts["pid"], facts["pid"]))
        self.assertIn("SigBlk:\t0000000000000000", facts["status"])
        # 0 1 2, two listeners, the segment, its event descriptor, and the listing's own.
        self.assertLessEqual(len(facts["fds"]), 8)
        self.assertTrue(facts["fds"]["3"].startswith("socket:"))
        self.assertEqual(facts["fds"]["0"], "/dev/null")

    def test_nice_and_cpu_affinity_reach_the_program_and_a_change_replaces_it(self):
        usable = sorted(os.sched_getaffinity(0))
        def yaml(more):
            return pool("[sleep, inf]", NOW + more, 3)
        c = self.cluster(yaml("    nice: 7\n    cpu_affinity: auto\n")).start()
        for slot in range(3):
            pid = c.slot(slot)["pid"]
            self.assertEqual(os.getpriority(os.PRIO_PROCESS, pid), 7)
            self.assertEqual(os.sched_getaffinity(pid), {usable[slot % len(usable)]})
        before = c.pids()
        c.write_yaml(yaml(f"    nice: 8\n    cpu_affinity: [{usable[-1]}]\n"))
        c.cli("reload")
        self.assertIn("nice and cpu_affinity changed: workers are replaced one by one", c.log())
        for pid in c.pids():
            self.assertNotIn(pid, before)
            self.assertEqual(os.getpriority(os.PRIO_PROCESS, pid), 8)
            self.assertEqual(os.sched_getaffinity(pid), {usable[-1]})

    def test_cpus_that_are_not_there_are_said_twice(self):
        c = self.cluster(pool("[sleep, inf]", NOW + "    cpu_affinity: [8191]\n"))
        checked = subprocess.run([TOPSMAN, "check", c.file], capture_output=True, text=True)
        self.assertIn("the machine has no CPU 8191", checked.stdout + checked.stderr)
        c.start(wait_ready=False)
        c.wait_event("worker.exited")
        self.assertIn("cpu_affinity: Invalid argument (none of its CPUs may be used here)", c.log())

    def test_segment_none_gives_no_segment(self):
        c = self.cluster(pool("[python3, show.py, facts]", NOW + "    segment: none\n"),
                         files={"show.py": SHOW}).start()
        facts = self.facts(c)
        self.assertNotIn("TOPSMAN_SEGMENT_FD", facts["environ"])
        self.assertFalse(any("/dev/shm" in link for link in facts["fds"].values()))

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_another_user_and_group(self):
        nobody = pwd.getpwnam("nobody")
        c = self.cluster(pool("[/usr/bin/python3, show.py, out/facts]", NOW + "    user: nobody\n"),
                         files={"show.py": SHOW})
        (c.dir / "out").mkdir()
        os.chown(c.dir / "out", nobody.pw_uid, nobody.pw_gid)
        c.start()
        facts = self.facts(c, "out/facts")
        self.assertEqual((facts["uid"], facts["gid"]), (nobody.pw_uid, nobody.pw_gid))
        self.assertNotIn(0, facts["groups"])
        self.assertEqual(facts["environ"]["USER"], "nobody")
        self.assertIn("CapEff:\t0000000000000000", facts["status"])

    @unittest.skipUnless(os.getuid() == 0, "needs root")
    def test_sdk_workers_of_another_user_share_the_segment(self):
        c = self.cluster("")
        shutil.copy(BIN / "topsman-http", c.dir)  # where nobody may execute it
        c.write_yaml("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                     pool("[./topsman-http]", "    user: nobody\n    listeners: [http]\n"
                          "    ready: { by: notify }\n", 2))
        c.start()
        for _ in range(10):
            get(port_of(c))
        self.assertEqual(c.counter("http_requests"), 10)

    def test_output_with_prefix_keeps_lines_whole(self):
        script = "import os\nfor i in range(200): os.write(1, b'line'); os.write(1, b' %d\\n' % i)\nos.write(2, b'no newline')\n"
        c = self.cluster(pool("[python3, w.py]", "    output: { to: prefix }\n    restart: \"no\"\n", 2),
                         files={"w.py": script}).start(wait_ready=False)
        seq = 0
        for _ in range(2):
            seq = c.wait_event("worker.exited", since=seq)["seq"]
        c.stop()
        lines = c.log().splitlines()
        for slot in (0, 1):
            mine = [l for l in lines if l.startswith(f"web/{slot} | ")]
            self.assertEqual(mine, [f"web/{slot} | line {i}" for i in range(200)] +
                             [f"web/{slot} | no newline"])

    def test_last_words_of_stderr_are_in_the_obituary(self):
        c = self.cluster(pool("[sh, -c, 'echo cannot reach the database >&2; exit 1']",
                              "    output: { to: prefix }\n"))
        c.start(wait_ready=False)
        self.assertIn("cannot reach the database", c.wait_event("worker.exited")["last_words"])


class Listeners(TestCase):
    def http(self, address, more=""):
        return (f"listeners:\n  http: {{ address: '{address}'{more} }}\n" +
                pool("[topsman-http]", "    listeners: [http]\n    ready: { by: notify }\n", 2))

    def test_unix_socket_with_mode_and_owner(self):
        c = self.cluster(self.http("unix:http.sock", ", mode: '0660'"))
        c.start()
        path = c.dir / "http.sock"
        self.assertEqual(path.stat().st_mode & 0o777, 0o660)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(path))
            s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 200"))
        c.stop()
        self.assertFalse(path.exists())

    def test_a_dead_process_s_unix_socket_is_replaced_a_living_one_s_is_not(self):
        c = self.cluster(self.http("unix:http.sock"))
        path = str(c.dir / "http.sock")
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(path)
            s.listen()
            c.start(expect=1)
            self.assertIn("http.sock", c.log())
        c.start()
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(path)

    @unittest.skipUnless(pathlib.Path("/proc/net/if_inet6").exists() and
                         pathlib.Path("/proc/net/if_inet6").read_text(), "needs IPv6")
    def test_ipv6(self):
        c = self.cluster(self.http("[::1]:0")).start()
        self.assertEqual(get(port_of(c), host="::1")[0], 200)

    def test_reuse_port(self):
        c = self.cluster(self.http("127.0.0.1:0", ", accept: reuse_port")).start()
        port = port_of(c)
        answered = {get(port)[1].split()[2] for _ in range(60)}
        self.assertEqual(len(answered), 2)
        self.assertEqual(c.status()["listeners"][0]["accept"], "reuse_port")
        # A socket of the group that nobody accepts on would swallow its share of the connections.
        for workers in (5, 1, 3):
            c.cli("scale", f"web={workers}")
            answered = {get(port)[1].split()[2] for _ in range(80)}
            self.assertEqual(len(answered), workers)
            seq = c.last_seq()
            os.kill(c.pids()[0], signal.SIGKILL)
            c.wait_event("worker.ready", since=seq)
            c.cli("restart", "web")
            answered = {get(port)[1].split()[2] for _ in range(80)}
            self.assertEqual(len(answered), workers)

    def test_a_port_in_use_is_one_sentence(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            c = self.cluster(self.http(f"127.0.0.1:{s.getsockname()[1]}"))
            c.start(expect=1)
            self.assertIn("listener http: bind 127.0.0.1:", c.log())
            self.assertIn("in use", c.log())

    def test_sockets_from_a_service_manager(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            s.listen()
            port = s.getsockname()[1]
            c = self.cluster(self.http(f"127.0.0.1:{port}"))
            c.env.update(LISTEN_FDS="1")
            real = c.env["PATH"]

            def give():
                os.dup2(s.fileno(), 3)
                os.set_inheritable(3, True)
            # LISTEN_PID must be the master's own pid: a shell knows it and then becomes the master.
            c.master = subprocess.Popen(
                ["sh", "-c", f"export LISTEN_PID=$$; exec {TOPSMAN} run {c.file}"], env=c.env, cwd=c.dir,
                preexec_fn=give, close_fds=False, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.assertTrue(real)
            c.wait_up()
            self.assertEqual(get(port)[0], 200)


class Pid1(TestCase):
    @unittest.skipUnless(os.getuid() == 0 and shutil.which("unshare"), "needs root and unshare")
    def test_as_pid_1_it_reaps_orphans_and_starts_the_master_again(self):
        c = self.cluster("listeners:\n  http: { address: '127.0.0.1:0' }\n" +
                         pool("[topsman-http]", "    listeners: [http]\n    ready: { by: notify }\n", 2))
        log = open(c.log_path, "ab")
        c.master = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", TOPSMAN, "run",
             str(c.file)],
            env=c.env, cwd=c.dir, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        init = self.wait_for_init(c)
        c.enter = ["nsenter", "-t", str(init), "-p", "-m", "-r"]
        c.wait_up()
        workers = c.pids()
        children = pathlib.Path(f"/proc/{init}/task/{init}/children").read_text().split()
        self.assertEqual(len(children), 1)
        with Pidfd(int(children[0])) as master:
            seq = c.last_seq()
            master.send(signal.SIGKILL)
            self.assertTrue(master.wait())
        c.wait_event("master.started", since=seq)
        c.wait_up()
        self.assertEqual(c.pids(), workers)  # adopted
        c.pids_seen.clear()  # numbers of the other namespace
        os.kill(init, signal.SIGTERM)
        self.assertEqual(c.master.wait(DEADLINE), 0)

    def wait_for_init(self, c):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            children = pathlib.Path(f"/proc/{c.master.pid}/task/{c.master.pid}/children").read_text().split()
            if children and (c.runtime / f"{c.name}.json").exists():
                return int(children[0])
            wait_for_change(c.runtime, 0.2)
        self.fail(c.log())


if __name__ == "__main__":
    main()
