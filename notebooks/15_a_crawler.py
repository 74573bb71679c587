# %% [markdown]
# # A crawler
#
# **I fetch pages from a thousand hosts, many of them broken. How do I keep the broken ones from holding up the
# rest?**
#
# A broken host costs what the race for it costs. So: a limit for each call, a bound on how many run at once, one
# connector for all of them (it is immutable, and shared), and a look at the failures by kind. The hosts here are
# simulated, five hundred of them, and the time is virtual.

# %%
import collections
import random

import trio
import trio.testing
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork

# %% [markdown]
# ## The hosts
#
# Two in three are fine. Others have an IPv6 address that drops packets, refuse, drop everything, or have no name.


# %%
KINDS = {"good": 66, "broken IPv6": 20, "refuses": 5, "silent": 5, "no name": 4}  # percent


# %%
def add_host(net, number, kind, rng):
    name, six, four = f"host{number}.example", f"2001:db8::{number + 1:x}", f"198.18.{number // 250}.{number % 250 + 1}"
    if kind != "no name":
        net.answers(name, aaaa=[six], a=[four], after=rng.uniform(0.005, 0.08))
    for address in (six, four):
        host, delay = net.host(address), rng.uniform(0.01, 0.15)
        if kind == "refuses":
            host.refuses(after=delay)
        elif kind != "silent" and (kind, address) != ("broken IPv6", six):
            host.accepts(after=delay)
    return name


# %% [markdown]
# ## The crawl
#
# Fifty workers take one name after the other: that bounds sockets, memory, and what your network's NAT must remember.
# `give_up_after` bounds each call. Failures are data, not exceptions that end the crawl.


# %%
async def crawl(connector, names, *, at_once, give_up_after):
    waiting, outcomes = iter(names), {}

    async def work():
        for name in waiting:
            try:
                async with await connector.open_tcp_stream(name, 80, give_up_after=give_up_after):
                    outcomes[name] = "connected"
            except nb.ConnectError as error:
                outcomes[name] = type(error).__name__

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(work)
    return outcomes


# %%
async def main(count, at_once, give_up_after, **arguments):
    net, rng = SimulatedNetwork(), random.Random(1)
    kinds = rng.choices(list(KINDS), KINDS.values(), k=count)
    names = [add_host(net, number, kind, rng) for number, kind in enumerate(kinds)]
    connector = nb.Connector(network=net, **arguments)
    with nb.record(keep=count) as recording:
        outcomes = await crawl(connector, names, at_once=at_once, give_up_after=give_up_after)
    print(f"{count} hosts in {trio.current_time():.1f} s:", dict(collections.Counter(outcomes.values())))
    return recording


# %%
def run(*arguments, **keywords):
    clock = trio.testing.MockClock(autojump_threshold=0)
    return trio.run(lambda: main(*arguments, **keywords), clock=clock)


recording = run(500, at_once=50, give_up_after=2)

# %% [markdown]
# The summary tells what it cost: how long connects took, over which family, after how many attempts.

# %%
recording.summary()

# %% [markdown]
# The second hill, 250 ms to the right of the first, is the broken IPv6. A shorter attempt delay makes it cheaper, and
# sends some more packets to hosts that are merely slow.

# %%
for delay in (0.25, 0.1):
    run(500, at_once=50, give_up_after=2, policy=nb.Policy(attempt_delay=delay))

# %% [markdown]
# Silent hosts are what takes long: each holds up a worker for two seconds. More workers, or less patience:

# %%
run(500, at_once=200, give_up_after=2)
run(500, at_once=50, give_up_after=1)
None

# %% [markdown]
# A real crawler asks DNS a lot: give it `resolver=nb.dns.DNSResolver()`, whose queries are shared, remembered and can
# be cancelled, and `history=nb.History()`, so that the second page of a host begins with the address that worked.

# %% [markdown]
# ## Try
#
# - `at_once=500`: what is faster, and what would your router say?
# - Crawl each host twice with a `History`. What does the summary of the second round look like?
# - Print the waterfall of the slowest: `max(recording, key=lambda race: race.timeline.duration)`.
