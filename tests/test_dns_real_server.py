"""`DNSResolver` against NSD, a real authoritative name server, where it is installed (Debian's package `nsd`)."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator

import dns.exception
import dns.message
import dns.query
import pytest
import trio

from trio_nbconnect import Address, Answer, Query, QuerySent, Service, Source
from trio_nbconnect._dns.message import ADDRESSES
from trio_nbconnect.dns import DNSResolver

NSD = shutil.which("nsd", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")

pytestmark = pytest.mark.skipif(NSD is None, reason="NSD is not installed")

CONFIGURATION = """
server:
    ip-address: 127.0.0.1@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: ""
    xfrdfile: "{folder}/xfrd"
    xfrdir: "{folder}"
    zonelistfile: "{folder}/zones"
remote-control:
    control-enable: no
zone:
    name: example.org
    zonefile: example.org.zone
zone:
    name: broken.example
    zonefile: there-is-no-such-file
"""

ZONE = """
$ORIGIN example.org.
$TTL 300
@       SOA     ns admin 1 3600 600 86400 60
@       NS      ns
ns      A       127.0.0.1
www     AAAA    2001:db8::1
www     A       192.0.2.1
www     A       192.0.2.2
www     HTTPS   1 . alpn=h2,h3 ipv6hint=2001:db8::1
www     HTTPS   2 cdn port=8443 alpn=h2 ipv4hint=192.0.2.7
_8080._https.www HTTPS 1 cdn
cdn     A       192.0.2.7
apex    HTTPS   0 cdn
chain   CNAME   chain2
chain2  CNAME   www
away    CNAME   www.example.net.
four    A       192.0.2.4
loop    CNAME   loop
_imap._tcp      SRV     10 60 143 www
_imap._tcp      SRV     5 0 1143 four
_pop3._tcp      SRV     0 0 0 .
""" + "".join(f"many    AAAA    2001:db8::1:{number:x}\n" for number in range(1, 400))


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """NSD on a port of loopback, from the first answer on until the last test."""
    folder = tmp_path_factory.mktemp("nsd")
    folder.joinpath("example.org.zone").write_text(ZONE)
    for _ in range(5):
        port = free_port()
        folder.joinpath("nsd.conf").write_text(CONFIGURATION.format(port=port, folder=folder))
        command = [str(NSD), "-d", "-c", str(folder / "nsd.conf")]
        with folder.joinpath("log").open("wb") as log:
            server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            if answers(server, port):
                yield port
                return
        finally:
            server.terminate()
            server.wait(10)
    pytest.fail(f"NSD does not start: {folder.joinpath('log').read_text()}")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(server: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until it answers; not if it has ended, for want of the port."""
    query = dns.message.make_query("example.org", "SOA")
    for _ in range(100):
        if server.poll() is not None:
            return False
        try:
            dns.query.tcp(query, "127.0.0.1", port=port, timeout=0.2)
        except (dns.exception.Timeout, OSError):
            server_is_gone_after(server, 0.05)
        else:
            return True
    return False


def server_is_gone_after(server: subprocess.Popen[bytes], seconds: float) -> None:
    """Give it a moment, and no more than that if it ends."""
    try:
        server.wait(seconds)
    except subprocess.TimeoutExpired:
        return


async def ask_nsd(port: int, host: str, *, asked_port: int = 443) -> dict[tuple[Source, str], Answer]:
    """The answer of each source and name."""
    items: list[QuerySent | Answer] = []
    asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None)
    with trio.fail_after(20):
        query = Query(host=host, port=asked_port, families=(socket.AF_INET6, socket.AF_INET), services=True)
        await asks.resolve(query, items.append)
    return {(item.source, item.name): item for item in items if isinstance(item, Answer)}


def hosts(answer: Answer) -> set[str]:
    assert answer.error is None
    return {address.host for address in answer.addresses}


async def test_addresses_and_services(port: int) -> None:
    answer = await ask_nsd(port, "www.example.org")

    assert hosts(answer[Source.AAAA, ""]) == {"2001:db8::1"}
    assert hosts(answer[Source.A, ""]) == {"192.0.2.1", "192.0.2.2"}
    assert answer[Source.HTTPS, ""].services == (
        Service(
            priority=1,
            alpn=("h2", "h3", "http/1.1"),
            hints=(Address(socket.AF_INET6, "2001:db8::1", 443),),
        ),
        Service(
            priority=2,
            target="cdn.example.org",
            port=8443,
            alpn=("h2", "http/1.1"),
            hints=(Address(socket.AF_INET, "192.0.2.7", 8443),),
        ),
    )
    assert hosts(answer[Source.A, "cdn.example.org"]) == {"192.0.2.7"}
    assert hosts(answer[Source.AAAA, "cdn.example.org"]) == set()


async def test_services_of_another_port(port: int) -> None:
    (service,) = (await ask_nsd(port, "www.example.org", asked_port=8080))[Source.HTTPS, ""].services
    assert service.target == "cdn.example.org"


async def test_hosts_of_a_service(port: int) -> None:
    """RFC 2782."""
    asks = DNSResolver(servers=[f"127.0.0.1:{port}"], hosts=None)

    assert await asks.find_services("_imap._tcp.example.org") == (
        Service(priority=5, port=1143, target="four.example.org"),
        Service(priority=10, weight=60, port=143, target="www.example.org"),
    )
    (nowhere,) = await asks.find_services("_pop3._tcp.example.org")
    assert (nowhere.target, nowhere.port) == (".", 0)
    with pytest.raises(socket.gaierror) as raised:
        await asks.find_services("_smtp._tcp.example.org")
    assert raised.value.errno == socket.EAI_NONAME


async def test_a_chain(port: int) -> None:
    answer = await ask_nsd(port, "chain.example.org")
    assert hosts(answer[Source.A, ""]) == {"192.0.2.1", "192.0.2.2"}
    assert len(answer[Source.HTTPS, ""].services) == 2


async def test_an_alias(port: int) -> None:
    """AliasMode."""
    answer = await ask_nsd(port, "apex.example.org")
    assert [service.target for service in answer[Source.HTTPS, ""].services] == ["cdn.example.org"]
    assert hosts(answer[Source.A, "cdn.example.org"]) == {"192.0.2.7"}
    assert hosts(answer[Source.A, ""]) == set()


async def test_truncation(port: int) -> None:
    assert len(hosts((await ask_nsd(port, "many.example.org"))[Source.AAAA, ""])) == ADDRESSES


async def test_no_data(port: int) -> None:
    answer = await ask_nsd(port, "four.example.org")
    assert hosts(answer[Source.AAAA, ""]) == set()
    assert hosts(answer[Source.A, ""]) == {"192.0.2.4"}


@pytest.mark.parametrize(
    ("host", "number"),
    [
        ("nobody.example.org", socket.EAI_NONAME),
        ("www.broken.example", socket.EAI_AGAIN),  # SERVFAIL
        ("www.elsewhere.example", socket.EAI_AGAIN),  # REFUSED
        ("away.example.org", socket.EAI_AGAIN),  # the chain goes on where this server does not
        ("loop.example.org", socket.EAI_FAIL),
    ],
)
async def test_errors(port: int, host: str, number: int) -> None:
    answer = await ask_nsd(port, host)
    for source in (Source.AAAA, Source.A):
        error = answer[source, ""].error
        assert isinstance(error, socket.gaierror)
        assert error.errno == number
