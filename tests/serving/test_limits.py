"""Tokens, TLS, limits of clients, and how a server stops."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flight_clients import (
    Background,
    batch_of,
    busy,
    channel_to,
    descriptor,
    exchange,
    exchange_with,
    messages_of,
    running_call,
    send,
    wait_until,
)

import udfvm
from udfvm.serving.messages import SERVICE

TOKENS = {"shop": "0123456789abcdef", "billing": "fedcba9876543210"}
BATCH = batch_of(pa.array([4.0]))


@udfvm.udf(packages=[], timeout=60)
def half(x: float) -> float:
    while x == 13:
        pass
    return x / 2


ENDLESS = batch_of(pa.array([13.0]))


def serving(**options: Any) -> udfvm.flight.Server:
    return udfvm.flight.Server(half, listen="127.0.0.1:0", **options)


def authorization(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", f"Bearer {token}".encode())]


# ---- Tokens ----


def test_tokens_let_in() -> None:
    with serving(tokens=TOKENS) as server, fl.connect(server.location) as client:
        for token in TOKENS.values():
            found = exchange_with(client, "half", BATCH, headers=authorization(token))
            assert found["half"].to_pylist() == [2.0]
        for headers in (
            [],
            authorization(""),
            authorization("0123456789abcde"),
            authorization("0123456789abcdefg"),
            [(b"authorization", b"Basic 0123456789abcdef")],
            [(b"authorization", b"0123456789abcdef")],
        ):
            with pytest.raises(fl.FlightUnauthenticatedError, match="Bearer TOKEN"):
                exchange_with(client, "half", BATCH, headers=headers)
        for method in ("GetFlightInfo", "GetSchema", "ListFlights", "DoAction", "ListActions"):
            assert send(server.location, [descriptor("half")], method).status == "UNAUTHENTICATED"


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text("# clients\n\nshop 0123456789abcdef\nfedcba9876543210\n")
    path.chmod(0o600)
    with serving(token_file=path) as server, fl.connect(server.location) as client:
        for token in TOKENS.values():
            assert exchange_with(client, "half", BATCH, headers=authorization(token)).num_rows == 1
        with pytest.raises(fl.FlightUnauthenticatedError):
            exchange_with(client, "half", BATCH, headers=authorization("clients 12345678"))


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("shop 0123456789abcdef", 0o640, r"others than its owner: chmod 600"),
        ("shop short", 0o600, "the token of 'shop' must have at least 16"),
        ("# none\n", 0o600, "has no token"),
        ("a b 0123456789abcdef", 0o600, "line 1 of .* is not a new name and a token"),
        ("a 0123456789abcdef\na fedcba9876543210", 0o600, "line 2 of .* is not a new name"),
        ("a 0123456789abcdef\nb 0123456789abcdef", 0o600, "two clients have the same token"),
        ("a \u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9\u00e9", 0o600, "cannot be read"),
    ],
)
def test_wrong_files_of_tokens(tmp_path: Path, text: str, mode: int, reason: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(udfvm.OptionError, match=reason) as caught:
        serving(token_file=path)
    assert "0123456789abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"token_file": "absent"}, "absent cannot be read"),
        ({"token_file": "x", "tokens": TOKENS}, "token_file= or tokens=, not both"),
        ({"tls_certificate": "x"}, "a certificate and its key"),
        ({"tls_certificate": "absent", "tls_key": "absent"}, "'absent' cannot be read"),
        ({"tls_certificate": __file__, "tls_key": __file__}, "is not a file of PEM"),
        ({"listen": "127.0.0.1"}, "listen='127.0.0.1' is not an address and a port"),
        ({"listen": "127.0.0.1:99999"}, "not an address and a port"),
        ({"listen": 8815}, "listen=8815 is not an address"),
        ({"listen": "0.0.0.0:0", "tokens": TOKENS}, "in clear to 0.0.0.0: give a certificate"),
        ({"calls": 0}, "calls=0 must be from 1 to 4096"),
        ({"max_batch": "1B"}, "max_batch='1B' must be"),
        ({"max_rows": 1 << 40}, "max_rows="),
        ({"idle_timeout": 0}, "idle_timeout=0 must be"),
        ({"idle": 1.0}, "idle"),
        ({"memory": "1GiB"}, "memory"),
    ],
)
def test_wrong_options(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(udfvm.OptionError, match=reason):
        udfvm.flight.Server(half, **{"listen": "127.0.0.1:0", **options})


def test_an_address_that_is_taken() -> None:
    with serving() as server:
        with pytest.raises(udfvm.OptionError, match="cannot listen on 127"):
            udfvm.flight.Server(half, listen=f"127.0.0.1:{server.port}")
        assert exchange(server.location, "half", BATCH).num_rows == 1


# ---- TLS ----


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """A certificate for 127.0.0.1, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "udfvm")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    yield folder / "certificate.pem", folder / "key.pem"


def test_tls(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    with serving(tls_certificate=chain, tls_key=str(key), tokens=TOKENS) as server:
        assert server.location == f"grpc+tls://127.0.0.1:{server.port}"
        with fl.connect(server.location, tls_root_certs=chain.read_bytes()) as client:
            headers = authorization(TOKENS["shop"])
            assert exchange_with(client, "half", BATCH, headers=headers).num_rows == 1
        with pytest.raises(fl.FlightUnavailableError):
            exchange(f"grpc://127.0.0.1:{server.port}", "half", BATCH)
    with pytest.raises(udfvm.OptionError, match=r"certificate and key do not fit|cannot listen"):
        serving(tls_certificate=key, tls_key=chain)


def test_tokens_beyond_loopback_with_tls(certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    options = {"tls_certificate": chain, "tls_key": key, "tokens": TOKENS}
    with udfvm.flight.Server(half, listen="0.0.0.0:0", **options) as server:
        location = f"grpc+tls://127.0.0.1:{server.port}"
        with fl.connect(location, tls_root_certs=chain.read_bytes()) as client:
            headers = authorization(TOKENS["shop"])
            assert exchange_with(client, "half", BATCH, headers=headers).num_rows == 1


# ---- Calls at once ----


@contextlib.contextmanager
def open_calls(location: str, count: int, token: str | None = None) -> Iterator[list[Any]]:
    """Calls that have been answered once, and wait for their clients."""
    headers = [] if token is None else [("authorization", f"Bearer {token}")]
    with channel_to(location) as channel, contextlib.ExitStack() as stack:
        calls = []
        for _ in range(count):
            hold = threading.Event()
            stack.callback(hold.set)
            sent = and_then_wait(messages_of("half", BATCH), hold)
            call = channel.stream_stream(f"/{SERVICE}/DoExchange")(sent, metadata=headers)
            assert len([next(call), next(call)]) == 2
            calls.append(call)
        yield calls
        for call in calls:
            call.cancel()


def and_then_wait(messages: list[bytes], hold: threading.Event) -> Iterator[bytes]:
    yield from messages
    hold.wait()


def refused_calls(location: str, **headers: Any) -> str:
    outcome = send(location, messages_of("half", BATCH), **headers)
    return f"{outcome.status}: {outcome.text}"


def test_calls_of_a_client_have_a_limit() -> None:
    with serving(tokens=TOKENS, calls_per_client=2, calls=3) as server:
        mine, other = ([("authorization", f"Bearer {each}")] for each in TOKENS.values())
        with open_calls(server.location, 2, TOKENS["shop"]):
            text = refused_calls(server.location, headers=mine)
            assert text.startswith("RESOURCE_EXHAUSTED: the client has 2 calls at once")
            assert refused_calls(server.location, headers=other) == "OK: "
            with open_calls(server.location, 1, TOKENS["billing"]):
                text = refused_calls(server.location, headers=other)
                assert text.startswith("UNAVAILABLE: the server has 3 calls at once")
        wait_until(lambda: refused_calls(server.location, headers=mine) == "OK: ")


def test_addresses_are_clients_without_tokens() -> None:
    with serving(calls_per_client=1) as server, open_calls(server.location, 1):
        assert refused_calls(server.location).startswith("RESOURCE_EXHAUSTED")


def test_a_client_that_sends_nothing_is_let_go() -> None:
    with serving(idle_timeout=0.2) as server, open_calls(server.location, 1) as (call,):
        wait_until(lambda: call.code() is not None)
        assert (call.code().name, call.details()) == (
            "DEADLINE_EXCEEDED",
            "the client sent nothing for 0.2 seconds",
        )


# ---- Stops ----


def test_a_stop_lets_batches_end() -> None:
    slow = half.with_options(timeout=0.5)
    server = udfvm.flight.Server(slow, listen="127.0.0.1:0")
    with open_calls(server.location, 1) as (idle,):
        running = Background(lambda: exchange(server.location, "half", ENDLESS))
        wait_until(lambda: busy(half) == 1)
        server.stop()
        # The batch that ran had its end, here by its timeout; the call that waited has another.
        assert isinstance(running.outcome(), fl.FlightTimedOutError)
        assert (idle.code().name, "the server stops" in idle.details()) == ("UNAVAILABLE", True)


def test_results_reach_their_clients_when_a_server_stops() -> None:
    server = serving()
    with fl.connect(server.location) as client:
        writer, reader = client.do_exchange(fl.FlightDescriptor.for_path("half"))
        many = batch_of(pa.array([1.0] * 1_000_000))
        writer.begin(many.schema)
        writer.write_batch(many)
        wait_until(lambda: busy(half) > 0)
        stopping = Background(server.stop)
        assert reader.read_chunk().data["half"].to_pylist() == [0.5] * 1_000_000
        with pytest.raises(fl.FlightUnavailableError, match="the server stops"):
            reader.read_chunk()
        with contextlib.suppress(pa.ArrowException):
            writer.close()
        assert stopping.outcome() is None


def test_a_stop_at_once_ends_batches() -> None:
    server = serving()
    running = Background(lambda: exchange(server.location, "half", ENDLESS))
    wait_until(lambda: busy(half) == 1)
    stopping = Background(server.stop)
    wait_until(lambda: isinstance(_told(server), fl.FlightUnavailableError))
    assert not running.is_done and not stopping.is_done
    server.stop(at_once=True)
    assert isinstance(running.outcome(), fl.FlightUnavailableError)
    assert stopping.outcome() is None and busy(half) == 0


@pytest.fixture
def without_ctrl_c() -> Iterator[None]:
    """A client of pyarrow whose call is cancelled takes it for Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("without_ctrl_c")
def test_a_stop_cancels_no_call() -> None:
    """Clients that call again and again are told that the server stops, or find it closed. But for
    a call that comes in the instant in which gRPC closes the port, which is seldom.
    """

    answered: list[pa.Table] = []

    def called_until_refused(location: str) -> fl.FlightError:
        while True:
            try:
                answered.append(exchange(location, "half", BATCH))
            except fl.FlightError as error:
                return error

    found = []
    for _ in range(10):
        with serving() as server:
            call = functools.partial(called_until_refused, server.location)
            clients = [Background(call) for _ in range(4)]
            wait_until(lambda: len(answered) >= 8)
        answered.clear()
        found += [type(each.outcome()) for each in clients]
    assert set(found) <= {fl.FlightUnavailableError, fl.FlightCancelledError}
    assert found.count(fl.FlightCancelledError) <= 2


@contextlib.contextmanager
def unread_call(location: str) -> Iterator[Any]:
    """A call whose results, more than gRPC keeps, the client does not read."""
    sent = threading.Event()
    first, batch = messages_of("half", batch_of(pa.array([1.0] * 500_000)))

    def messages() -> Iterator[bytes]:
        yield first
        yield from [batch] * 20
        sent.set()

    with channel_to(location) as channel:
        call = channel.stream_stream(f"/{SERVICE}/DoExchange")(messages())
        next(call)  # the schema
        yield call, sent
        call.cancel()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stop_does_not_wait_for_clients_that_do_not_read(at_once: bool) -> None:
    server = serving(idle_timeout=60 if at_once else 3)
    with unread_call(server.location) as (_, sent):
        stopping = Background(lambda: server.stop(at_once=at_once))
        assert stopping.outcome() is None
        assert not sent.is_set()  # it computed no further than its results were read
    assert busy(half) == 0


def test_results_that_nobody_reads_are_no_memory() -> None:
    """A call is computed no further than its results are read."""
    with serving() as server, unread_call(server.location) as (call, sent):
        wait_until(lambda: busy(half) == 0)
        assert exchange(server.location, "half", BATCH).num_rows == 1
        assert not sent.is_set()
        assert sum(1 for _ in call) == 20 and sent.is_set()


def _told(server: udfvm.flight.Server) -> object:
    """What a new client is told."""
    try:
        return exchange(server.location, "half", BATCH)
    except fl.FlightError as error:
        return error


def test_many_stops_and_starts() -> None:
    for _ in range(5):
        with serving() as server, running_call(server.location, "half", BATCH) as reader:
            assert reader.read_chunk().data["half"].to_pylist() == [2.0]
