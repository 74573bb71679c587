# %% [markdown]
# # Anatomy of a race
#
# **What happens between "connect to example.org" and a connection, and how do I read the picture of it?**

# %%
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork, simulate

net = SimulatedNetwork()
net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
net.host("2001:db8::1").swallows()
net.host("192.0.2.1").accepts(after=0.03)
simulate(net, "example.org", 443)

# %%
from ipywidgets import interact


@interact(delay=(0.01, 1.0, 0.01))
def race(delay=0.25):
    return simulate(net, "example.org", 443, policy=nb.Policy(attempt_delay=delay))
