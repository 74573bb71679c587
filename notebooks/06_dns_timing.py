# %% [markdown]
# # DNS timing
#
# **A name has two kinds of addresses, and their answers arrive at different times. When may a race begin?**
#
# IPv6 addresses (AAAA records) and IPv4 addresses (A records) are two queries, with two answers. Waiting for both means
# waiting for the slower one, and some name servers never answer one of them. Beginning with whichever comes first means
# that the family is decided by microseconds. RFC 8305, section 3, has a rule: the *resolution delay*, 50 ms.
#
# Here are the two ways to look a name up: with the operating system, which is the default, and by querying name
# servers.

# %%
# %load_ext trio_nbconnect.notebook
import math
import socket

from ipywidgets import interact

import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork, simulate


# %%
def network(aaaa, a):
    """A name whose answers take so many seconds, and whose hosts are 30 ms away."""
    net = SimulatedNetwork()
    net.answers("example.org", aaaa=["2001:db8::1"], after=aaaa)
    net.answers("example.org", a=["192.0.2.1"], after=a)
    net.host("2001:db8::1").accepts(after=0.03)
    net.host("192.0.2.1").accepts(after=0.03)
    return net


# %% [markdown]
# ## The system's answer
#
# `getaddrinfo` sends both queries and returns when it has both answers, sorted. That one answer is what the name means
# on this machine: it may come from the hosts file or from mDNS, and a search domain may have completed the name. So it
# is what we ask for, and its order stands. AAAA takes 20 ms here, A 40:

# %%
simulate(network(aaaa=0.02, a=0.04), "example.org", 443)

# %% [markdown]
# ## One family is late
#
# Now AAAA takes 200 ms, and the system is silent for as long. After 50 ms, A and AAAA are looked up by themselves as
# well, two rows more. The A answer comes 20 ms later, and the race begins at once: IPv6 has had its 50 ms.

# %%
simulate(network(aaaa=0.2, a=0.02), "example.org", 443)

# %% [markdown]
# So a late AAAA costs 50 ms and the time of an A query; one that never comes costs the same. The two look-ups only
# hurry the race: they are made where they find the same name as the first one would, in DNS and without a search
# domain, and the answer for both families replaces theirs.
#
# ## Late, and still used
#
# If IPv4 is silent, the late answer joins the race. All addresses are sorted again, and the first one not yet tried is
# next. The dots in its row begin where it became known.

# %%
net = network(aaaa=0.2, a=0.02)
net.host("192.0.2.1").drops()
simulate(net, "example.org", 443)

# %% [markdown]
# ## Querying name servers
#
# A resolver that queries name servers gets each answer when it comes, and the rule of section 3 applies to it directly.
# On a real network that is `trio_nbconnect.dns.DNSResolver`; a simulated one has `net.resolver()`.


# %%
def with_name_servers(net):
    return simulate(net, "example.org", 443, connector=nb.Connector(resolver=net.resolver()))


with_name_servers(network(aaaa=0.02, a=0.1))

# %% [markdown]
# AAAA first: IPv6 is preferred, so there is nothing to wait for. The race was over before the A answer came, and its
# query was cancelled. (The row HTTPS is the subject of the end of this notebook; our name has no such records.)
#
# If A comes first, after 20 ms, IPv4 waits for up to 50 ms. AAAA comes after 50, in time:

# %%
with_name_servers(network(aaaa=0.05, a=0.02))

# %% [markdown]
# When AAAA takes 200 ms, IPv4 begins at 20 + 50 = 70 ms:

# %%
with_name_servers(network(aaaa=0.2, a=0.02))

# %% [markdown]
# ## By hand
#
# Drag AAAA's time past A's, and past A's plus 50 ms: AAAA first, AAAA in time, AAAA too late.


# %%
@interact(aaaa=(0.0, 0.3, 0.01), a=(0.0, 0.3, 0.01))
def answers_after(aaaa=0.06, a=0.02):
    return with_name_servers(network(aaaa, a)).with_scale(until=0.35)


# %% [markdown]
# As a table, with A after 20 ms. Both ways wait for IPv6 at first and then go on without it. They differ where AAAA is
# the quicker one: the system has waited for the slower of the two.

# %%
print("AAAA after    the system           name servers")
for aaaa in (0.01, 0.02, 0.04, 0.06, 0.069, 0.071, 0.1, math.inf):
    races = [simulate(network(aaaa, 0.02), "example.org", 443), with_name_servers(network(aaaa, 0.02))]
    timelines = [race.timeline for race in races]
    print(f"{aaaa:7.3f} s", *(f"   {one.duration:.3f} s {one.winner.address.family.name:8}" for one in timelines))

# %% [markdown]
# ## No answer, and no such address
#
# A name server that never answers AAAA costs 50 ms. One that says "there are none" costs nothing: it *has* answered.

# %%
never = network(aaaa=math.inf, a=0.02)
none = network(aaaa=0.02, a=0.02)
none.answers("example.org", aaaa=[], after=0.01)
nb.compare({"no answer": with_name_servers(never), "no such address": with_name_servers(none)})

# %% [markdown]
# ## HTTPS records
#
# Version 3 of Happy Eyeballs adds a third query: the HTTPS record (RFC 9460). It may name another host that serves the
# same site, a port, the protocols it speaks, and *hints*: addresses to begin with before the target's own look-up is
# done. Only resolvers that query name servers know it, and they query it where HTTPS is spoken: for `open_tls_stream`,
# and for port 443.

# %%
net = network(aaaa=0.03, a=0.03)
hint = nb.Address(socket.AF_INET, "192.0.2.80", 443)
edge = nb.Service(priority=1, target="edge.example", alpn=("h2",), hints=(hint,))
net.answers("example.org", https=[edge], after=0.02)
net.answers("edge.example", aaaa=["2001:db8::80"], a=["192.0.2.80"], after=0.2)
net.host("192.0.2.80").accepts(after=0.03)
with_name_servers(net)

# %% [markdown]
# The service goes first, and its hint was good enough to begin with: the look-ups of `edge.example` were not needed.
# A hint for IPv4 still waits for IPv6 addresses over the resolution delay, from 20 to 70 ms.

# %% [markdown]
# ## Try
#
# - `nb.Policy(resolution_delay=0.3)`: which of the races above are faster with it, and which are slower?
# - Take the hint away. What is tried, and when?
# - Let AAAA fail: `net.answers("example.org", aaaa=[], after=0.5, error=OSError("SERVFAIL"))`. Which of the two ways
#   waits for it?
# - `give_up_resolution_after=0.1` in the policy, with a name server that answers nothing at all.
