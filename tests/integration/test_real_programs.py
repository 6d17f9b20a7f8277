"""Servers that know nothing of topsman, on an inherited socket: each goes through a restart, a reload,
scaling, an upgrade of the master and the death of a worker under load."""

import os
import shutil
import signal
import unittest

from harness import ROOT, TestCase, free_port, main
from test_promises import Load

ASYNCIO = """
import asyncio, signal, socket
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 8\\r\\nConnection: close\\r\\n\\r\\nasyncio\\n")
    await writer.drain()
    writer.close()
    open_ones.discard(asyncio.current_task())
def begin(reader, writer): open_ones.add(asyncio.ensure_future(answer(reader, writer)))
async def main():
    server = await asyncio.start_server(begin, sock=socket.socket(fileno=3))
    leaves = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leaves.set)
    await leaves.wait()
    server.close()
    for _ in range(4): await asyncio.sleep(0)  # from accept(2) by a task and a transport to begin()
    while open_ones: await asyncio.wait(open_ones)
open_ones = set()
asyncio.run(main())
"""

WSGI = """
def app(environ, start):
    start("200 OK", [("Content-Length", "9")])
    return [b"gunicorn\\n"]
"""

RACK = """
run ->(env) { [200, {"content-length" => "5"}, ["puma\\n"]] }
"""

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr; events {{}}
http {{ access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;
  uwsgi_temp_path u; scgi_temp_path s;
  server {{ listen 127.0.0.1:{port}; return 200 "nginx\\n"; }} }}
"""


def needs(program):
    return unittest.skipUnless(shutil.which(program), f"needs {program}")


class RealPrograms(TestCase):
    def goes_through_changes(self, command, port, files=(), more="", keep=True):
        def text(color):
            return (f"listeners: {{ http: {{ address: '127.0.0.1:{port}' }} }}\n"
                    f"pools:\n  web:\n    command: {command}\n    workers: 2\n    listeners: [http]\n"
                    "    ready: { by: listening, timeout: 25s }\n    rollout: { observe: 0s }\n"
                    f"    environment: {{ COLOR: {color}{more} }}\n")

        c = self.cluster(text("blue"), files=files).start()
        master = c.status()["master"]["pid"]
        with Load(port, keep=keep) as load:
            c.cli("restart", "web")
            c.write_yaml(text("green"))
            c.cli("reload")
            c.cli("scale", "web=4")
            c.cli("scale", "web=1")
            c.cli("upgrade")
            c.cli("scale", "web=2")
        self.assertEqual(load.failures, [])
        self.assertGreater(load.answers, 20)
        self.assertEqual(c.status()["master"]["pid"], master)

        with Load(port, keep=keep) as load:
            seq = c.last_seq()
            os.kill(c.pids()[0], signal.SIGKILL)
            c.wait_event("worker.ready", since=seq)
        self.assertLessEqual(len(load.failures), 4, "what each of four clients had asked it for")

    @needs("node")
    def test_node(self):
        self.goes_through_changes(f"[node, {ROOT}/config/examples/node-server.js]", free_port())

    def test_python_asyncio(self):
        self.goes_through_changes("[/usr/bin/python3, app.py]", free_port(), {"app.py": ASYNCIO})

    @needs("gunicorn")
    def test_gunicorn(self):
        self.goes_through_changes("[gunicorn, app:app]", free_port(), {"app.py": WSGI})

    @needs("puma")
    def test_puma(self):
        # With queue_requests, its default, puma 5 closes at its end what it has accepted and not read.
        port = free_port()
        self.goes_through_changes(
            "[puma, -q, -C, puma.rb, config.ru]", port,
            {"config.ru": RACK, "puma.rb": f"queue_requests false\nbind 'tcp://127.0.0.1:{port}'\n"}, keep=False)

    @needs("nginx")
    def test_nginx(self):
        port = free_port()
        self.goes_through_changes(
            "[nginx, -p, ., -c, nginx.conf, -e, stderr]\n    stop_signal: SIGQUIT", port,
            {"nginx.conf": NGINX.format(port=port)}, more=", NGINX: '3;'", keep=False)


if __name__ == "__main__":
    main()
