"""Every address of a host by itself."""

from __future__ import annotations

import math
import socket
import ssl
from functools import partial

import pytest
import trio
import trustme

import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork

pytestmark = pytest.mark.virtual_time

HOST = "db.example"


@pytest.fixture
def net() -> SimulatedNetwork:
    """One address that is good, one that refuses, one that is silent."""
    net = SimulatedNetwork()
    net.answers(HOST, aaaa=["2001:db8::1"], a=["192.0.2.1", "192.0.2.2"], after=0.02)
    net.host("2001:db8::1").accepts(after=0.03)
    net.host("192.0.2.1").refuses(after=0.04)
    return net


async def test_each_address_is_tried_and_none_stops_the_others(net: SimulatedNetwork) -> None:
    found = await nb.check(HOST, 5432, tls=False, connector=nb.Connector(network=net), give_up_after=2)

    assert not found.is_good
    good, refused, silent = found.addresses
    assert [row.address.ip for row in found.addresses] == ["2001:db8::1", "192.0.2.1", "192.0.2.2"]
    assert (good.is_good, good.tls, good.error) == (True, None, None)
    assert good.tcp == pytest.approx(0.03)
    assert (refused.is_good, refused.tcp, type(refused.error)) == (False, None, nb.ConnectRefused)
    assert (silent.is_good, silent.tcp, type(silent.error)) == (False, None, nb.ConnectTimeout)
    assert trio.current_time() == pytest.approx(2.02)
    assert net.open_sockets == 0


@pytest.mark.parametrize("own", [False, True])
async def test_a_look_up_that_takes_too_long_is_given_up(net: SimulatedNetwork, *, own: bool) -> None:
    net.answers("slow.example", aaaa=[], a=["192.0.2.1"], after=10)
    connector = nb.Connector(network=net, resolver=net.resolver() if own else None)

    with pytest.raises(nb.ConnectTimeout, match=r"^gave up connecting to slow\.example:443 after 1 s: still looking"):
        await nb.check("slow.example", 443, connector=connector, give_up_after=1)

    with pytest.raises(ValueError, match=r"^give_up_after must be more than 0, not 0$"):
        await nb.check("192.0.2.1", 443, connector=connector, give_up_after=0)


async def test_an_interrupt_is_in_no_group(net: SimulatedNetwork) -> None:
    def interrupt(event: nb.trace.Event) -> None:
        if isinstance(event, nb.trace.AttemptFailed):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await nb.check(HOST, 5432, tls=False, connector=nb.Connector(network=net, tracer=interrupt))

    assert net.open_sockets == 0


async def test_its_picture_has_a_row_for_each_address(net: SimulatedNetwork) -> None:
    found = await nb.check(HOST, 5432, tls=False, connector=nb.Connector(network=net), give_up_after=2)

    lines = str(found).splitlines()
    assert lines[0] == "db.example:5432  1 of 3 addresses is good"
    assert lines[1] == "3 attempts, 1 good, 1 refused, 1 timed out · each address by itself"
    assert lines[-3:] == [
        "2001:db8::1  good       30 ms  –",
        "192.0.2.1    refused    –      –",
        "192.0.2.2    timed out  –      –",
    ]
    assert max(map(len, found.text(width=50).splitlines())) <= 50


async def test_a_notebook_shows_the_picture_and_the_table(net: SimulatedNetwork) -> None:
    found = await nb.check(HOST, 5432, tls=False, connector=nb.Connector(network=net), give_up_after=2)

    bundle = found._repr_mimebundle_()
    assert bundle["text/plain"] == str(found)
    assert bundle["text/html"].count("<tr>") == 4
    assert 'alt="db.example:5432 1 of 3 addresses is good: ' in bundle["text/html"]
    assert repr(found).startswith("<HostCheck db.example:5432 1 of 3")
    assert 'width="400"' in found.svg(width=400)


async def test_where_all_are_good_so_is_the_host(net: SimulatedNetwork) -> None:
    found = await nb.check(HOST, 1, tls=False, connector=nb.Connector(network=net), addresses=["2001:db8::1"])

    assert found.is_good
    assert str(found).splitlines()[0] == "db.example:1  1 of 1 addresses is good"


async def test_a_host_without_an_address_is_an_error(net: SimulatedNetwork) -> None:
    with pytest.raises(nb.ResolutionError, match=r"nowhere\.example:443"):
        await nb.check("nowhere.example", connector=nb.Connector(network=net))
    net.answers("silent.example", a=[], after=math.inf)
    with pytest.raises(nb.ConnectTimeout, match=r"silent\.example:443") as caught:
        await nb.check("silent.example", connector=nb.Connector(network=net))
    assert caught.value.phase is nb.Phase.RESOLUTION


async def test_with_name_servers_the_answers_are_waited_for(net: SimulatedNetwork) -> None:
    connector = nb.Connector(network=net, resolver=net.resolver(services=False))

    found = await nb.check(HOST, 5432, tls=False, connector=connector, give_up_after=2)

    assert len(found.addresses) == 3


async def test_an_address_without_a_route_says_so() -> None:
    net = SimulatedNetwork(ipv6=False)
    net.host("192.0.2.1").accepts()

    found = await nb.check(
        HOST, 1, tls=False, connector=nb.Connector(network=net), addresses=["2001:db8::1", "192.0.2.1"]
    )

    assert "2001:db8::1  Network is unreachable" in str(found)


async def test_an_address_that_is_silent_in_tls_is_told_from_one_that_is_silent(net: SimulatedNetwork) -> None:
    addresses = ["2001:db8::1", "192.0.2.9"]
    found = await nb.check(HOST, connector=nb.Connector(network=net), addresses=addresses, give_up_after=2)

    in_tls, silent = str(found).splitlines()[-2:]
    assert "  after TCP: no TLS answer  " in in_tls
    assert " timed out  " in silent


async def test_a_path_is_an_address_too(tmp_path: object) -> None:
    path = f"{tmp_path}/x.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        found = await nb.check(HOST, 1, tls=False, addresses=[path])

    assert found.is_good


@pytest.fixture
def client() -> ssl.SSLContext:
    return ssl.create_default_context()


@pytest.fixture
async def port(nursery: trio.Nursery, client: ssl.SSLContext) -> int:
    """A port of 127.0.0.1 that speaks TLS."""
    authority, server = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(server)
    authority.configure_trust(client)

    async def shake_hands(stream: trio.SSLStream[trio.SocketStream]) -> None:
        try:
            await stream.do_handshake()
            await trio.sleep_forever()
        except trio.BrokenResourceError:
            pass

    listeners = await nursery.start(partial(trio.serve_ssl_over_tcp, shake_hands, 0, server, host="127.0.0.1"))
    found: int = listeners[0].transport_listener.socket.getsockname()[1]
    return found


async def test_tls_is_checked_by_itself(port: int, client: ssl.SSLContext) -> None:
    """An address that accepts and then fails differs from one that does not accept."""
    found = await nb.check(HOST, port, ssl_context=client, addresses=["127.0.0.1"])
    other = await nb.check(HOST, port, addresses=["127.0.0.1"])

    (good,), (bad,) = found.addresses, other.addresses
    assert good.tls is not None
    assert str(found).splitlines()[-1].split()[-2:] == ["TLSv1.3", "3000-01-01"]
    assert (bad.is_good, bad.tcp is None, bad.tls) == (False, False, None)
    assert isinstance(bad.error, nb.TLSError)
    assert "after TCP: certificate verify failed" in other._repr_mimebundle_()["text/html"]
