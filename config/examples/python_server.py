"""A worker: inherits its listening socket, says when it is ready and that it is alive."""

import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def notify(message):
    path = os.environ.get("NOTIFY_SOCKET")
    if path:
        address = "\0" + path[1:] if path.startswith("@") else path
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            try:
                sender.sendto(message.encode(), socket.MSG_DONTWAIT, address)
            except OSError:
                pass  # no master at the moment: it will be back


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        who = f"{os.environ.get('TOPSMAN_POOL')}/{os.environ.get('TOPSMAN_SLOT')}"
        body = f"{who} pid {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # leaving waits for what is being answered

    def service_actions(self):  # called by the loop itself, so a hung loop is silent
        notify("WATCHDOG=1")


names = os.environ.get("LISTEN_FDNAMES", "").split(":")
if "http" not in names:
    sys.exit(78)  # "my configuration is wrong": topsman does not try again

server = Server(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3 + names.index("http"))
server.socket.setblocking(False)  # a sibling may be faster: then accept must not wait

# shutdown() waits for the loop, which the handler interrupts: so it runs beside it.
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
notify("READY=1\nSTATUS=serving")
server.serve_forever(poll_interval=0.5)
notify("STOPPING=1")
server.server_close()
