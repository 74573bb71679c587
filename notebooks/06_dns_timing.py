# %% [markdown]
# # DNS timing
#
# **A name has two kinds of addresses, and their answers arrive at different times. When may one begin?**
#
# AAAA and A are two questions. Waiting for both answers means waiting for the slower one, and there are name servers
# that answer one kind never. Beginning with whichever comes first means that the preferred family loses to a name
# server's mood. RFC 8305, section 3, has a rule for it, and we look at it working.

# %%
# %load_ext trio_nbconnect.notebook
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
# ## AAAA first: begin
#
# IPv6 is preferred. When its answer is there, nothing is worth waiting for.

# %%
simulate(network(aaaa=0.02, a=0.1), "example.org", 443)

# %% [markdown]
# The race was over before the A answer came; its bar is cut off there. Nobody waits for a look-up that is no longer
# needed.
#
# ## A first: wait a little
#
# The A answer comes after 20 ms, AAAA after 50. IPv4 could begin at 20. It waits for the *resolution delay*, 50 ms,
# and AAAA comes in time:

# %%
simulate(network(aaaa=0.05, a=0.02), "example.org", 443)

# %% [markdown]
# ## A first, and AAAA late: begin without
#
# Now AAAA needs 200 ms. At 20 + 50 = 70 ms patience is over, and IPv4 begins. That is all that a slow AAAA costs:
# 50 ms.

# %%
simulate(network(aaaa=0.2, a=0.02), "example.org", 443)

# %% [markdown]
# ## Late, and still welcome
#
# If IPv4 is silent, the late answer joins the race. It is sorted in where it belongs, at the front, and is the next to
# be tried. The rows tell since when each address was known: that is where its dots begin.

# %%
net = network(aaaa=0.2, a=0.02)
net.host("192.0.2.1").drops()
simulate(net, "example.org", 443)

# %% [markdown]
# ## By hand
#
# Drag AAAA's time past A's, and past A's plus 50 ms. Three regimes: AAAA first, AAAA in time, AAAA too
# late.


# %%
@interact(aaaa=(0.0, 0.3, 0.01), a=(0.0, 0.3, 0.01))
def answers_after(aaaa=0.06, a=0.02):
    return simulate(network(aaaa, a), "example.org", 443)


# %% [markdown]
# As a table, with A after 20 ms: until 70 ms the connection is made over IPv6 and waits for it; from then on over IPv4
# and waits no more.

# %%
for aaaa in (0.01, 0.02, 0.04, 0.06, 0.069, 0.071, 0.1, 0.3):
    timeline = simulate(network(aaaa, 0.02), "example.org", 443).timeline
    print(f"AAAA after {aaaa:.3f} s: {timeline.duration:.3f} s over {timeline.winner.address.family.name}")

# %% [markdown]
# ## No answer, and no such address
#
# A name server that never answers AAAA costs the same 50 ms, once for each look-up. One that says "there are none"
# costs nothing: it *has* answered.

# %%
never = network(aaaa=float("inf"), a=0.02)
none = network(aaaa=0.02, a=0.02)
none.answers("example.org", aaaa=[], after=0.01)
nb.compare(simulate(never, "example.org", 443), simulate(none, "example.org", 443))

# %% [markdown]
# ## HTTPS records
#
# Version 3 of Happy Eyeballs asks a third question: the HTTPS record (RFC 9460). It may name another host that serves
# the same site, a port, the protocols it speaks, and *hints*: addresses to begin with before the target's own look-up
# is done. `net.resolver()` asks for it, as `trio_nbconnect.dns.DNSResolver` does on real networks.

# %%
net = network(aaaa=0.03, a=0.03)
hint = nb.Address(socket.AF_INET, "192.0.2.80", 443)
edge = nb.Service(priority=1, target="edge.example", alpn=("h2",), hints=(hint,))
net.answers("example.org", https=[edge], after=0.02)
net.answers("edge.example", aaaa=["2001:db8::80"], a=["192.0.2.80"], after=0.2)
net.host("192.0.2.80").accepts(after=0.03)
with_services = nb.Connector(resolver=net.resolver())
simulate(net, "example.org", 443, connector=with_services)

# %% [markdown]
# The record's service goes first, and its hint was good enough to begin with: the look-ups of `edge.example` were never
# needed. Without the hint, this race would have had to wait for them, or take the host's own addresses.

# %% [markdown]
# ## Try
#
# - `nb.Policy(resolution_delay=0.3)`: who profits from it, and who pays?
# - Take the hint away. What is tried, and when?
# - Let AAAA fail: `net.answers("example.org", aaaa=[], after=0.5, error=OSError("SERVFAIL"))`. Who waits for it?
# - `give_up_resolution_after=0.1` in the policy, with a name server that answers nothing at all.
