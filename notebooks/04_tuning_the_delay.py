# %% [markdown]
# # Tuning the delay
#
# **How long should an attempt have for itself before the next one starts?**
#
# The *connection attempt delay* is the one number of Happy Eyeballs that users notice. Too long, and a broken address
# costs the user all of it. Too short, and attempts that were not needed start beside perfectly good ones: more packets,
# half-open connections on servers, and in the end the wrong family wins. RFC 8305 recommends 250 ms, and
# for other values at least 100 ms and at most 2 s.

# %%
# %load_ext trio_nbconnect.notebook
from ipywidgets import interact

import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork, simulate

# %% [markdown]
# ## By hand
#
# IPv6 is a black hole here, IPv4 works. Drag the slider (or click it, and use the arrow keys): each position is a whole
# race in virtual time. `with_scale` keeps the axis as it is, so that what moves is the race.

# %%
broken = SimulatedNetwork()
broken.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
broken.host("2001:db8::1").drops()
broken.host("192.0.2.1").accepts(after=0.03)


@interact(delay=(0.01, 1.0, 0.01))
def with_broken_ipv6(delay=0.25):
    return simulate(broken, "example.org", 443, policy=nb.Policy(attempt_delay=delay)).with_scale(until=1.1)


# %% [markdown]
# The connection is there after 50 ms plus the delay, exactly. For this user, shorter is always better.
#
# ## The other side
#
# Now nothing is broken. The server is just far away: its answer takes as long as `distance` says, on either family.

# %%
far = SimulatedNetwork()
far.answers("example.org", aaaa=["2001:db8::1", "2001:db8::2"], a=["192.0.2.1", "192.0.2.2"], after=0.02)


@interact(delay=(0.01, 0.5, 0.01), distance=(0.01, 0.5, 0.01))
def with_a_far_server(delay=0.05, distance=0.18):
    for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"):
        far.host(address).accepts(after=distance)
    return simulate(far, "example.org", 443, policy=nb.Policy(attempt_delay=delay)).with_scale(until=0.55)


# %% [markdown]
# With a delay below the distance, every connect starts others: the first one wins anyway, and the others were for
# nothing. The server gets their packets all the same, answers each, and keeps a half-open connection for it until our
# reset arrives. Clients on the far side of an ocean, with a delay that is 100 ms too short, cost it several times the
# connects.
#
# ## A sweep
#
# Both sides in one table: what a delay costs with a black hole, and how many attempts it makes where all is well, for a
# server 35 ms away and for one 180 ms away.


# %%
def attempts(distance, delay):
    for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2"):
        far.host(address).accepts(after=distance)
    return len(simulate(far, "example.org", 443, policy=nb.Policy(attempt_delay=delay)).timeline.attempts)


print("delay    black hole    attempts, near    attempts, far")
for delay in (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.5, 1):
    race = simulate(broken, "example.org", 443, policy=nb.Policy(attempt_delay=delay))
    cost = race.timeline.duration
    print(f"{delay:5.3f} s{cost:12.3f} s{attempts(0.035, delay):14}{attempts(0.18, delay):17}")

# %% [markdown]
# No line of this table is right for all, only for a distance: a little more than the time the server usually takes.
#
# ## Forty visitors
#
# A site's visitors are at all distances, and for some of them IPv6 is broken. Here are forty, 10 to 205 ms away, every
# eighth with a black hole, and the same forty under four delays.


# %%
def visit(number, delay):
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
    distance = 0.01 + 0.005 * number
    net.host("192.0.2.1").accepts(after=distance)
    net.host("2001:db8::1").accepts(after=float("inf") if number % 8 == 4 else distance)
    return simulate(net, "example.org", 443, policy=nb.Policy(attempt_delay=delay))


delays = {"51 ms": 0.051, "102 ms": 0.102, "251 ms": 0.251, "1 s": 1.001}
visits = {name: [visit(number, delay) for number in range(40)] for name, delay in delays.items()}
nb.summarize(visits)

# %%
for name, races in visits.items():
    connects = sum(len(race.timeline.attempts) for race in races)
    print(f"{name:>6}: {connects} connects by 40 visitors")

# %% [markdown]
# A long delay costs the five with broken IPv6 and no one else; a short one costs the server, and its users do not see
# that. 250 ms is a compromise between the two.
#
# ## Let history decide
#
# A `History` remembers how long handshakes took. From then on the delay after an attempt at a known address is about
# what TCP itself waits before it sends its first packet again: three times the round trip, and never less than
# `minimum_delay`, 100 ms. Here the server answers within 40 ms, once. (`explore_every`: one race in so many ignores
# the history, so that other addresses are measured, too; here none does.)

# %%
history = nb.History(explore_every=float("inf"))
connector = nb.Connector(history=history)

site = SimulatedNetwork()
site.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
site.host("2001:db8::1").accepts(after=0.04)
site.host("192.0.2.1").accepts(after=0.04)
simulate(site, "example.org", 443, connector=connector)

# %% [markdown]
# Then its IPv6 breaks. The first race with history waits 120 ms and not 250: a server that has always answered within
# 40 is late after three times that.

# %%
site.host("2001:db8::1").drops()
simulate(site, "example.org", 443, connector=connector)

# %% [markdown]
# It stays at 120 ms from now on, race after race: a history remembers round trips and successes, no failures. A port
# that is dead today says little about tomorrow; how long a server takes when it answers says a lot.

# %%
for _ in range(3):
    print(f"{simulate(site, 'example.org', 443, connector=connector).timeline.duration:.3f} s")

# %% [markdown]
# ## Try
#
# - Drag `delay` in the second picture over the value of `distance`. What changes, and when?
# - `Policy(attempt_delay=0.03, attempt_delay_multiplier=2)` begins short and doubles. Put it into the sweep.
# - Go below 10 ms. The delay stops mattering: attempts "MUST NOT be started within 10 milliseconds" of each other.
