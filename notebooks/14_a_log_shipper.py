# %% [markdown]
# # A log shipper
#
# **My program sends its log to a collector that is sometimes away. How do I lose no line, and never wait for it?**
#
# Who writes a line must not wait for a network; who sends lines may wait as long as it takes. So there is a buffer of
# bounded size between two tasks. A line leaves the buffer when the collector has acknowledged it, not when it was
# sent: `send_all` returns when the kernel has the bytes, and a connection that breaks takes them with it.

# %%
import collections
import itertools

import trio
import trio.testing
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork

# %% [markdown]
# ## The buffer
#
# When it is full, the oldest lines go, and are counted: the newest tell what is wrong now.


# %%
class Buffer:
    def __init__(self, size):
        self.lines, self.lost = collections.deque(maxlen=size), 0
        self._changed = trio.Event()

    def write(self, line):
        self.lost += len(self.lines) == self.lines.maxlen
        self.lines.append(line)
        self._changed.set()

    async def wait(self):
        while not self.lines:
            self._changed = trio.Event()
            await self._changed.wait()


# %% [markdown]
# ## The shipper
#
# Each line is answered with `ok`. What was sent and not acknowledged is sent again, so the collector may see a line
# twice and must know lines by their number: *at least once* is what can be had over a network.


# %%
async def ship(buffer, connector, host, port):
    for failures in itertools.count():
        try:
            async with await connector.open_tcp_stream(host, port, give_up_after=5) as stream:
                while True:
                    await buffer.wait()
                    await stream.send_all(buffer.lines[0].encode() + b"\n")
                    with trio.fail_after(4.5):
                        if await stream.receive_some() != b"ok":
                            raise trio.BrokenResourceError
                    buffer.lines.popleft()
        except (nb.ConnectError, trio.BrokenResourceError, trio.TooSlowError) as error:
            print(f"{trio.current_time():5.1f} s: {type(error).__name__}, {len(buffer.lines)} lines wait")
            await trio.sleep(min(0.7 * 2**failures, 10))


# %% [markdown]
# ## A bad day
#
# The collector has an address of each family. IPv6 drops packets, as it often does; at second 3 the machine behind
# IPv4 goes away, without a word, and at second 12 it is back.


# %%
async def collect(host, received, until):
    stream = await host.accept()
    with trio.move_on_at(until):
        async for chunk in stream:
            received.append(chunk.decode().strip())
            await stream.send_all(b"ok")
    host.drops()  # the machine is gone: no answer, and no end of the stream either
    await trio.sleep_until(until + 9)
    host.accepts(after=0.02)


# %%
async def bad_day(size):
    net, buffer, received = SimulatedNetwork(), Buffer(size), []
    net.answers("logs.example", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.01)
    host = net.host("192.0.2.1").accepts(after=0.02)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ship, buffer, nb.Connector(network=net), "logs.example", 6514)
        nursery.start_soon(collect, host, received, 3.25)
        for number in range(20):
            buffer.write(f"line {number}")
            await trio.sleep(1)
        await collect_rest(host, received)
        nursery.cancel_scope.cancel()
    print(f"{len(received)} received, {len(set(received))} different; {buffer.lost} lost, {len(buffer.lines)} wait")


# %%
async def collect_rest(host, received):
    with trio.move_on_after(10):
        stream = await host.accept()
        async for chunk in stream:
            received.append(chunk.decode().strip())
            await stream.send_all(b"ok")


def run(main, *arguments):
    return trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


run(bad_day, 100)

# %% [markdown]
# Nothing is lost; the writer never waited. With room for eight lines, the oldest go:

# %%
run(bad_day, 8)

# %% [markdown]
# A real one also wants `SocketOptions(keepalive=KeepAlive(idle=30), user_timeout=20)`: a collector that goes away
# without a word is noticed by the kernel then, also while there is nothing to send.

# %% [markdown]
# ## Try
#
# - Let the collector answer `ok` to ten lines at once, and send them as a batch. What may be received twice now?
# - Give it two addresses of the same family, and `Connector(history=nb.History())`. Which is tried first after the
#   outage?
# - Write the buffer to a file, so that a restart of the program loses nothing either.
