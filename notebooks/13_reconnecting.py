# %% [markdown]
# # Reconnecting
#
# **My program must be connected all the time. How long should it wait before it tries again, and when should it
# stop?**
#
# A race has tried every address of a host once. Whether to run another one is up to the program, and three rules are
# enough: wait longer after each failure, and at random, so that a thousand clients do not come back at once; begin
# anew after a connection that held; and give up on what waiting cannot mend. We try them on a server that restarts,
# in virtual time, where an hour is over at once.

# %%
import random

import trio
import trio.testing
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork


def run(main, *arguments):
    return trio.run(main, *arguments, clock=trio.testing.MockClock(autojump_threshold=0))


# %% [markdown]
# ## The pauses
#
# Each is drawn between nothing and a longest one, which doubles up to a minute ("full jitter"). The generator says
# nothing of connections: it can be tested by itself.


# %%
def pauses(rng, first=0.5, longest=60.0):
    """Seconds to wait after each failure in a row."""
    while True:
        yield rng.uniform(0, first)
        first = min(2 * first, longest)


made = pauses(random.Random(1))
[round(next(made), 1) for _ in range(12)]

# %% [markdown]
# ## The loop
#
# `is_retryable` separates what may pass (a refusal, a time-out, no route) from what will not: a bad certificate, a
# name that does not exist. The second is raised: somebody must read it.


# %%
async def stay_connected(connector, host, port, use, rng):
    """Use one connection after the other, until `use` is done with it all and says so."""
    waits = pauses(rng)
    while True:
        try:
            async with await connector.open_tcp_stream(host, port, give_up_after=10) as stream:
                waits = pauses(rng)  # it is there again
                if await use(stream):
                    return
        except (nb.ConnectError, trio.BrokenResourceError) as error:
            if isinstance(error, nb.ConnectError) and not nb.is_retryable(error):
                raise
            await trio.sleep(next(waits))


# %% [markdown]
# A server that accepts, ends after five seconds, refuses while it restarts, and is there again at second 20:


# %%
async def restarting(net):
    host = net.host("192.0.2.1")
    host.accepts(after=0.02)
    server = await host.accept()
    await trio.sleep(5)
    host.refuses(after=0.02)
    await server.aclose()
    await trio.sleep(15)
    host.accepts(after=0.02)
    server = await host.accept()
    await server.send_all(b"news")
    await server.aclose()


# %%
async def use(stream):
    async for chunk in stream:
        print(f"{trio.current_time():6.2f} s: received {chunk.decode()}")
        return True
    print(f"{trio.current_time():6.2f} s: the server has ended the connection")
    return False


# %%
async def main(seed):
    net = SimulatedNetwork()
    net.answers("feed.example", a=["192.0.2.1"], after=0.01)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restarting, net)
        connector = nb.Connector(network=net)
        await stay_connected(connector, "feed.example", 7000, use, random.Random(seed))
    return net


net = run(main, 3)
[f"{when:.2f}" for when, _ in net.connects]

# %% [markdown]
# Those are the times of the attempts: close together at first, then further and further apart. Another client has
# other ones, which is the point.

# %%
print(*(f"{when:.2f}" for when, _ in run(main, 4).connects))

# %% [markdown]
# ## What waiting cannot mend


# %%
async def no_such_name():
    connector = nb.Connector(network=SimulatedNetwork())
    try:
        await stay_connected(connector, "feed.exampel", 7000, None, random.Random(1))
    except nb.ResolutionError as error:
        print(f"after {trio.current_time():.2f} s: {error}")


run(no_such_name)

# %% [markdown]
# With [stamina](https://stamina.hynek.me) the loop is one line, `stamina.retry_context(on=nb.is_retryable)`; the
# [recipe](recipes.md#trying-again) shows it. A loop of your own pays off where a connection is kept, as here.

# %% [markdown]
# ## Try
#
# - Let the server drop packets instead of refusing. How much later is the news there? What does `give_up_after` do?
# - Give the connector `history=nb.History()` and the host a second address that works. Which one is tried first after
#   the restart?
# - Count the connects of a thousand clients, each with its seed, in every second after the restart; then take the
#   jitter out.
