"""Serves on the listener it inherits as descriptor 3; says READY and WATCHDOG to NOTIFY_SOCKET."""
import http.server
import os
import socket


def notify(message):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(message.encode(), os.environ["NOTIFY_SOCKET"])


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"python pid %d\n" % os.getpid()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.HTTPServer):
    timeout = 1  # handle_request() comes back so often to say that it lives


server = Server(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.socket.setblocking(False)
server.server_name, server.server_port = "localhost", 0
notify("READY=1\nSTATUS=python here")
while True:
    server.handle_request()
    notify("WATCHDOG=1")
