# %% [markdown]
# # Broken IPv6
#
# **The host has IPv6, my machine has IPv6, and the way between them is broken. What does that cost me?**
#
# It depends on *how* it is broken. A network may drop packets, or say that there is no route; the host may refuse. A
# user notices the first as a slow internet, and the others not at all. We break one simulated network in each of these
# ways and look at the same connect.

# %%
# %load_ext trio_nbconnect.notebook
import math

import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork, simulate


def network(**how):
    net = SimulatedNetwork(**how)
    net.answers("example.org", aaaa=["2001:db8::1", "2001:db8::2"], a=["192.0.2.1"], after=0.02)
    for address in ("2001:db8::1", "2001:db8::2", "192.0.2.1"):
        net.host(address).accepts(after=0.03)
    return net


# %%
healthy = simulate(network(), "example.org", 443)
healthy

# %% [markdown]
# This is what it should look like: 50 ms, one attempt, over IPv6.
#
# ## A black hole
#
# A firewall drops the packets, or a tunnel is down. No answer comes, and no error. After the attempt delay, 250 ms
# without an answer, an address of the other family is tried.

# %%
net = network()
net.host("2001:db8::1").drops()
net.host("2001:db8::2").drops()
black_hole = simulate(net, "example.org", 443)
black_hole

# %% [markdown]
# 250 ms, and that on *every* connection. A page that opens connections to eight hosts one after the other takes two
# seconds longer. It is the worst of the common failures, and what Happy Eyeballs was invented for.
#
# ## A refusal
#
# The packets arrive, but the service listens on IPv4 only: a forgotten `listen [::]:443`. The host says so, and what
# it costs is one round trip for each address that comes before a good one.

# %%
net = network()
net.host("2001:db8::1").refuses(after=0.03)
net.host("2001:db8::2").refuses(after=0.03)
refused = simulate(net, "example.org", 443)
refused

# %% [markdown]
# ## A router without a route
#
# Some router on the way has no route, and says so (ICMPv6 "destination unreachable"). That takes a round trip to the
# router: here 8 ms.

# %%
net = network()
net.host("2001:db8::1").unreachable(after=0.008)
net.host("2001:db8::2").unreachable(after=0.008)
router = simulate(net, "example.org", 443)
router

# %% [markdown]
# The next attempt did not begin at 28 ms, when the router's message came, but at 30: RFC 8305 forbids to start two
# attempts within 10 ms of each other, so that a burst of failures is no burst of packets.
#
# ## No route on this machine
#
# This machine has an IPv6 address and no route to that network. `connect` itself fails; no packet was sent, so the 10
# ms need not be kept, and the next one starts at that very moment.

# %%
net = network()
net.host("2001:db8::1").unreachable()
net.host("2001:db8::2").unreachable()
no_route = simulate(net, "example.org", 443)
no_route

# %% [markdown]
# And if the machine has no IPv6 at all? The system still reports the host's IPv6 addresses, and sorts those that it
# has no route to last. They are tried if IPv4 fails, and then fail at once:

# %%
no_ipv6 = simulate(network(ipv6=False), "example.org", 443)
no_ipv6

# %% [markdown]
# ## The cost, side by side
#
# On one scale, the failure that users notice and the one that they do not:

# %%
nb.compare(black_hole, refused)

# %%
cases = {
    "healthy": healthy,
    "black hole": black_hole,
    "refused": refused,
    "router says no": router,
    "no route": no_route,
    "no IPv6": no_ipv6,
}
for name, race in cases.items():
    cost = race.timeline.duration - healthy.timeline.duration
    print(f"{name:15} {race.timeline.duration * 1000:4.0f} ms   costs {cost * 1000:4.0f} ms")

# %% [markdown]
# ## Without Happy Eyeballs
#
# One address at a time is `attempt_delay=math.inf`. What ends an attempt then? Linux gives up after about two minutes.
# Here we say ten seconds, as many programs do. Families still alternate, so only one silent address comes before a good
# one: ten seconds, and then it works. To scale, the ten seconds would leave no room for anything else. So the axis has
# a break, a jagged line across all rows, and is not to scale there. All that happens meanwhile is that the kernel sends
# its SYN again, after 1, 3 and 7 seconds: those are the dots.

# %%
net = network()
net.host("2001:db8::1").drops()
net.host("2001:db8::2").drops()
patient = nb.Policy(attempt_delay=math.inf, give_up_attempt_after=10)
one_at_a_time = simulate(net, "example.org", 443, policy=patient)
one_at_a_time

# %% [markdown]
# ## Both families broken
#
# Not every black hole is IPv6's. If all of a host's first addresses are silent, their number times the delay is the
# time until a good one is tried. A host may have very many, and each attempt under way costs a socket and packets. So
# beyond sixteen at once (`attempts_at_full_pace`; here four, for a picture that fits the page) the pace slows to one in
# two seconds. None is ended to make room: it might be the one that works, only slowly.

# %%
net = SimulatedNetwork()
net.answers("example.org", a=[f"192.0.2.{n}" for n in range(1, 7)])
net.host("192.0.2.6").accepts(after=0.03)
simulate(net, "example.org", 443, policy=nb.Policy(attempts_at_full_pace=4))

# %% [markdown]
# ## Try
#
# - Let the black hole be slow instead: `accepts(after=0.4)`. Which family wins, and how much later would the other
#   have?
# - Give `black_hole` `policy=nb.Policy(families=(socket.AF_INET, socket.AF_INET6))`. What if IPv4 breaks then?
# - A half-broken network: `2001:db8::1` silent, `2001:db8::2` fine. Which one wins, and why not the other?
# - How would one notice a black hole in production, when users see a quarter of a second at most? A tracer is called
#   with every `AttemptCancelled`; *09 httpx under the microscope* has one.
