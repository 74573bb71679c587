"""What is known of a connection that is handed out: on the event, in the picture's foot, in JSON."""

from __future__ import annotations

import json
import socket
import ssl
import sys
from functools import partial
from typing import Any

import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect import trace
from trio_nbconnect._connect.network import KernelNetwork
from trio_nbconnect.testing import SimulatedNetwork, simulate

from .race_script import RaceScript, address


def connection_of(race: nb.RecordedRace) -> trace.Connection:
    assert race.connection is not None
    return race.connection


async def serve(nursery: trio.Nursery, context: ssl.SSLContext) -> int:
    """Shake hands with whoever comes, and say nothing; return the port."""

    async def shake_hands(stream: trio.SSLStream[trio.SocketStream]) -> None:
        await stream.do_handshake()
        await trio.sleep_forever()

    listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, shake_hands, 0, context, host="127.0.0.1"))
    port: int = listeners[0].transport_listener.socket.getsockname()[1]
    return port


async def test_a_tcp_connection_knows_its_own_address_and_its_round_trip_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        async with await nb.open_tcp_stream(*listener.getsockname()) as stream:
            local = stream.socket.getsockname()

    connection = connection_of(recording[-1])
    assert connection.local_address is not None
    assert connection.local_address.sockaddr == local
    assert (connection.tls_version, connection.certificate_names) == ("", ())
    if sys.platform == "linux":
        assert connection.round_trip_time is not None
        assert "from 127.0.0.1 · round trip " in str(recording)


async def connection_between(server: ssl.SSLContext, client: ssl.SSLContext, nursery: trio.Nursery) -> trace.Connection:
    """Connect with TLS, and return what a recording knows of that."""
    port = await serve(nursery, server)
    with nb.record() as recording:
        stream = await nb.open_tls_stream("db.example", port, ssl_context=client, addresses=["127.0.0.1"])
        await trio.aclose_forcefully(stream)
    nursery.cancel_scope.cancel()
    return connection_of(recording[-1])


async def test_a_tls_connection_knows_its_version_its_cipher_and_its_certificate(nursery: trio.Nursery) -> None:
    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("db.example", "*.db.example").configure_cert(server)
    authority.configure_trust(client)
    server.set_alpn_protocols(["h2"])
    client.set_alpn_protocols(["h2"])
    port = await serve(nursery, server)

    with nb.record() as recording:
        stream = await nb.open_tls_stream("db.example", port, ssl_context=client, addresses=["127.0.0.1"])
        cipher, _, _ = stream.cipher()
        await trio.aclose_forcefully(stream)
    nursery.cancel_scope.cancel()

    connection = connection_of(recording[-1])
    assert (connection.tls_version, connection.alpn) == ("TLSv1.3", "h2")
    assert connection.certificate_names == ("db.example", "*.db.example")
    assert connection.certificate_until is not None
    assert connection.cipher == cipher
    assert f"TLSv1.3 {cipher} · ALPN h2" in recording[-1].text(width=200)
    assert "certificate for db.example, *.db.example until 3000-" in recording[-1].svg()
    last = json.loads(recording[-1].json_lines().splitlines()[-1])
    assert last["connection"]["certificate_names"] == ["db.example", "*.db.example"]


async def test_without_a_verified_certificate_nothing_is_said_of_it(nursery: trio.Nursery) -> None:
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    trustme.CA().issue_cert("db.example").configure_cert(server)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE

    connection = await connection_between(server, client, nursery)
    assert (connection.certificate_until, connection.alpn) == (None, "")


@pytest.mark.skipif(sys.version_info < (3, 13), reason="Python had no pre-shared keys")
async def test_a_shared_key_in_the_place_of_a_certificate(nursery: trio.Nursery) -> None:
    server: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    for context in (server, client):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("PSK")
    server.set_psk_server_callback(lambda _: b"key")
    client.set_psk_client_callback(lambda _: ("me", b"key"))

    connection = await connection_between(server, client, nursery)
    assert (connection.tls_version, connection.certificate_names) == ("TLSv1.2", ())


async def test_a_tls_stream_whose_handshake_comes_later_is_plain_so_far() -> None:
    async def wrap(stream: trio.SocketStream) -> trio.SSLStream[trio.SocketStream]:
        return trio.SSLStream(stream, ssl.create_default_context(), server_hostname="db.example")

    with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        host, port = listener.getsockname()
        await trio.aclose_forcefully(await nb.Connector().connect(host, port, wrap))

    assert connection_of(recording[-1]).tls_version == ""


async def test_a_unix_socket_has_no_address_of_its_own(tmp_path: object) -> None:
    path = f"{tmp_path}/x.sock"
    with socket.socket(socket.AF_UNIX) as listener, nb.record() as recording:
        listener.bind(path)
        listener.listen()
        await trio.aclose_forcefully(await nb.open_tcp_stream("db.example", 1, addresses=[path]))

    assert connection_of(recording[-1]) == trace.Connection()
    assert "from" not in str(recording).splitlines()[-1]


async def test_the_kernel_counts_how_often_it_has_sent_the_syn() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as sock:
        counted = KernelNetwork().syn_retransmissions(sock)
    with socket.socket(socket.AF_UNIX) as unix:
        assert KernelNetwork().syn_retransmissions(unix) is None
    assert counted == (0 if sys.platform == "linux" else None)


@pytest.mark.parametrize(("gives_up", "times"), [(0.9, ()), (1.5, (1.0,)), (7.5, (1.0, 3.0, 7.0))])
def test_a_silent_attempt_is_marked_where_the_syn_was_sent_again(gives_up: float, times: tuple[float, ...]) -> None:
    """RFC 6298, section 2.1: after a second; section 5.5: "back off the timer"."""
    race = simulate(SimulatedNetwork(), "192.0.2.1", 443, give_up_after=gives_up)

    assert race.timeline.attempts[0].syn_sent_again == times
    assert str(race).count("┆") == (len(times) + 1 if times else 0)
    assert race.svg().count('r="2.5"') == (len(times) + 1 if times else 0)


def test_a_slow_connection_says_how_often_it_was_asked_for() -> None:
    net = SimulatedNetwork()
    net.host("192.0.2.1").accepts(after=3.5)

    race = simulate(net, "192.0.2.1", 443)

    assert race.timeline.attempts[0].syn_retransmissions == 2
    assert str(race).endswith("from 192.0.2.254 · SYN sent 3 times")


def test_more_than_doubling_allows_were_sent_a_second_apart() -> None:
    """Linux 6.5, `tcp_syn_linear_timeouts`."""
    script = RaceScript()
    script.starts("192.0.2.1", 0.5, trace.Reason.FIRST)
    script.events.append(
        trace.AttemptCancelled(
            race=1, time=script.events[-1].time + 3.2, attempt=1, address=address("192.0.2.1"), syn_retransmissions=3
        )
    )
    script.loses(3.7)

    assert nb.RecordedRace(*script.events).timeline.attempts[0].syn_sent_again == pytest.approx((1.5, 2.5, 3.5))


async def test_an_answer_names_its_server_and_how_long_it_holds() -> None:
    """Which of several was asked is not to be guessed."""

    class Told:
        async def resolve(self, query: nb.Query, send_answer: nb.SendAnswer) -> None:
            address = nb.Address(socket.AF_INET, "127.0.0.1", query.port)
            send_answer(nb.Answer(nb.Source.A, (address,), server="192.0.2.53", ttl=300.0))
            await trio.lowlevel.checkpoint()

    with socket.create_server(("127.0.0.1", 0)) as listener, nb.record() as recording:
        port = listener.getsockname()[1]
        await trio.aclose_forcefully(await nb.Connector(resolver=Told()).open_tcp_stream("db.example", port))

    assert (recording[-1].timeline.lookups[0].server, recording[-1].timeline.lookups[0].ttl) == ("192.0.2.53", 300.0)
    assert "address from 192.0.2.53, TTL 300 s" in recording[-1].text(width=120)
