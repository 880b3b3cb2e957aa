"""Sockets within a micro-VM: servers and clients of the standard library, in threads of one call,
and no way out.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading

import pytest

import udfvm

HTTP = """
import http.server, threading, urllib.request

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, *arguments):
        pass

with http.server.ThreadingHTTPServer(("localhost", 0), Handler) as server:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://localhost:{server.server_port}/path"
    for length in (3, 3000):
        sent = bytes(range(256)) * length
        with urllib.request.urlopen(url, sent) as reply:
            assert reply.read() == sent[::-1]
    server.shutdown()
    thread.join()
"""
ASYNCIO = """
import asyncio

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()

async def ask(**where):
    reader, writer = await where.pop("connect")(**where)
    for i in range(20):
        writer.write(b"line %d\\n" % i)
        assert await reader.readline() == b"LINE %d\\n" % i
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    local = await asyncio.start_unix_server(serve, "/tmp/server")
    clients = [ask(connect=asyncio.open_connection, host="127.0.0.1", port=port) for _ in range(5)]
    clients += [ask(connect=asyncio.open_unix_connection, path="/tmp/server") for _ in range(5)]
    await asyncio.gather(*clients)
    for each in (server, local):
        each.close()
        await each.wait_closed()

asyncio.run(main())
"""
CONNECTIONS = """
import threading
from multiprocessing.connection import Client, Listener
from multiprocessing.managers import BaseManager

def answer(listener):
    with listener.accept() as connection:
        connection.send(sum(connection.recv()))

for family in ("AF_INET", "AF_UNIX"):
    with Listener(family=family, authkey=b"key") as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        with Client(listener.address, authkey=b"key") as client:
            client.send([1, 2, 3])
            assert client.recv() == 6
        thread.join()

class Server(BaseManager):
    pass

class Client(BaseManager):
    pass

Server.register("shared", callable=lambda: [1, 2])
Client.register("shared")
server = Server(address=("127.0.0.1", 0), authkey=b"key").get_server()
threading.Thread(target=server.serve_forever, daemon=True).start()
client = Client(address=server.address, authkey=b"key")
client.connect()
assert client.shared().copy() == [1, 2]
"""
XML_RPC = """
import threading, xmlrpc.client, xmlrpc.server

with xmlrpc.server.SimpleXMLRPCServer(("localhost", 0), logRequests=False) as server:
    server.register_function(pow)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    with xmlrpc.client.ServerProxy(f"http://localhost:{server.server_address[1]}") as proxy:
        assert proxy.pow(2, 10) == 1024
    thread.join()
"""
NAMES = """
import socket

assert socket.gethostbyname("localhost") == socket.gethostbyname(socket.gethostname())
assert socket.getaddrinfo("localhost", "http", type=socket.SOCK_STREAM)[0][4] == ("127.0.0.1", 80)
assert socket.getaddrinfo("localhost", 80, socket.AF_INET6)[0][4][:2] == ("::1", 80)
assert socket.gethostbyaddr("127.0.0.1")[0] == "localhost"
assert socket.getservbyname("https", "tcp") == 443 and socket.getprotobyname("udp") == 17
assert socket.if_nametoindex("lo") == 1 and socket.if_indextoname(1) == "lo"
assert socket.if_nameindex() == [(1, "lo")]
with open("/etc/hosts") as hosts:
    assert hosts.read().startswith("127.0.0.1\\tlocalhost")
for name in ("example.com", "udfvm.invalid"):
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror as error:
        assert error.errno == socket.EAI_NONAME, error
    else:
        raise AssertionError(name)
"""


@udfvm.udf(timeout=60)
def run(body: str) -> str:
    namespace: dict[str, object] = {}
    exec(body, namespace)
    return str(namespace.get("result"))


@pytest.mark.parametrize("body", [HTTP, ASYNCIO, CONNECTIONS, XML_RPC, NAMES])
def test_servers_and_clients_of_one_call(body: str) -> None:
    assert run(body) == "None"


def addresses_of_the_host() -> set[str]:
    found = {"127.0.0.1", "::1", "192.0.2.1", "2001:db8::1"}
    with contextlib.suppress(OSError):
        found |= {str(entry[4][0]) for entry in socket.getaddrinfo(socket.gethostname(), 80)}
    with (
        contextlib.suppress(OSError),
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.connect(("192.0.2.1", 9))  # sends nothing, and picks an address
        found.add(datagrams.getsockname()[0])
    return found


ATTACK = """
import socket, sys

result = []
for host in {hosts!r}:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(family, kind) as client:
            try:
                client.settimeout(2)
                client.connect((host, {port}))
                client.send(b"out")
                client.recv(1)
            except OSError as error:
                result.append(error.errno)
"""


def test_no_packet_reaches_the_host_or_others() -> None:
    arrived = []
    with socket.create_server(("", 0)) as listener, socket.socket(type=socket.SOCK_DGRAM) as other:
        port = listener.getsockname()[1]
        other.bind(("", port))

        def accept() -> None:
            with listener.accept()[0] as connection:
                arrived.append(connection.recv(3))

        thread = threading.Thread(target=accept)
        thread.start()
        hosts = sorted(addresses_of_the_host())
        numbers = run(ATTACK.format(hosts=hosts, port=port))
        assert set(eval(numbers)) == {errno.ENETUNREACH, errno.ECONNREFUSED}
        assert len(eval(numbers)) == 2 * len(hosts)
        with socket.create_connection(("127.0.0.1", port)) as own:  # the listener does listen
            own.sendall(b"own")
            thread.join()
        assert arrived == [b"own"]
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            other.recv(1)


def test_each_call_has_its_own_names_and_ports() -> None:
    body = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 8080))\n"
        "local = socket.socket(socket.AF_UNIX)\n"
        "local.bind('/tmp/of-a-call')\n"
        "result = socket.create_server(('127.0.0.1', 0)).getsockname()[1]\n"
    )
    assert run(body) == run(body)
