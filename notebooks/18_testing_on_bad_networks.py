# %% [markdown]
# # Testing on bad networks
#
# **My program connects. How do I test what it does when the network does not, without a network and without
# waiting?**
#
# `SimulatedNetwork` lies *below* the connector: the code that runs on the kernel runs on it, byte for byte, in
# virtual time. It is held to the kernel's behaviour by tests that run on both.

# %%
import pytest
import trio
import trio.testing
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork


def run(main):
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# %% [markdown]
# ## What is to be tested
#
# A client that asks a server for the time, and has an idea of its own when it takes too long.


# %%
async def ask_for_time(connector):
    try:
        async with await connector.open_tcp_stream("time.example", 37, give_up_after=3) as stream:
            with trio.fail_after(1):
                return await stream.receive_some()
    except (nb.ConnectError, trio.TooSlowError):
        return b"some time"


# %% [markdown]
# ## A good day, a bad one
#
# `answers` says what DNS says and when, `host` what an address does: `accepts`, `refuses`, `drops`, `unreachable`,
# `resets`. The test plays the server: `accept` gives its end of the next connection.


# %%
async def test_the_server_is_asked():
    net = SimulatedNetwork()
    net.answers("time.example", a=["192.0.2.1"], after=0.02)
    net.host("192.0.2.1").accepts(after=0.05)

    async def serve():
        async with await net.host("192.0.2.1").accept() as stream:
            await stream.send_all(b"12:00")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        assert await ask_for_time(nb.Connector(network=net)) == b"12:00"
    assert trio.current_time() == pytest.approx(0.07)
    assert net.open_sockets == 0


# %%
async def test_a_silent_network_costs_three_seconds():
    net = SimulatedNetwork()
    net.answers("time.example", aaaa=["2001:db8::1"], a=["192.0.2.1"])

    assert await ask_for_time(nb.Connector(network=net)) == b"some time"
    assert trio.current_time() == 3
    assert net.started == {"2001:db8::1": 0, "192.0.2.1": 0.25}  # both were tried


# %%
async def test_a_server_that_says_nothing():
    net = SimulatedNetwork()
    net.answers("time.example", a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()

    assert await ask_for_time(nb.Connector(network=net)) == b"some time"
    assert trio.current_time() == 1


for test in (test_the_server_is_asked, test_a_silent_network_costs_three_seconds, test_a_server_that_says_nothing):
    run(test)
    print(test.__name__, "passed")

# %% [markdown]
# Four seconds of waiting, in no time, and never a second more on a slow machine. With pytest-trio, `run` is its
# `autojump_clock` fixture.
#
# ## Code that takes no connector
#
# `installed` puts the network behind Trio's own hooks: `trio.open_tcp_stream`, HTTPX and whatever else opens sockets
# through Trio need no change.


# %%
async def ask_as_always():
    async with await trio.open_tcp_stream("time.example", 37) as stream:
        return stream.socket.getpeername()


async def test_installed():
    net = SimulatedNetwork()
    net.answers("time.example", a=["192.0.2.1"])
    net.host("192.0.2.1").accepts()
    with net.installed():
        return await ask_as_always()


run(test_installed)

# %% [markdown]
# ## All days at once
#
# A table of what may go wrong, and what the program is to do about it, reads like a story. `simulate` runs one race
# on a network and returns it as a value, so that a failing row can be looked at.


# %%
DAYS = {
    "all is well": lambda _: None,
    "IPv6 drops packets": lambda net: net.host("2001:db8::1").drops(),
    "IPv6 has no route": lambda net: net.host("2001:db8::1").unreachable(),
    "AAAA is slow": lambda net: net.answers("time.example", aaaa=["2001:db8::1"], after=0.5),
    "nobody listens": lambda net: [net.host(host).refuses(after=0.02) for host in ("2001:db8::1", "192.0.2.1")],
}
for day, spoil in DAYS.items():
    net = SimulatedNetwork()
    net.answers("time.example", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    for host in ("2001:db8::1", "192.0.2.1"):
        net.host(host).accepts(after=0.02)
    spoil(net)
    race = nb.testing.simulate(net, "time.example", 37, give_up_after=3)
    print(f"{day:20} {race.timeline.outcome.value:5} after {race.timeline.duration * 1000:3.0f} ms")

# %%
race

# %% [markdown]
# ## Try
#
# - Add a day on which the host resets each connection (`resets`), and one on which the name server is dead
#   (`math.inf`).
# - Let the server send half an answer and then nothing. Which of the client's limits ends it?
# - `net.answers` can change during a test: let the name move to another address, and see when your program notices.
