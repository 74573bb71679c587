# %% [markdown]
# # A network to play with
#
# **What would happen if this answer came later, and that host were silent?**
#
# The notebooks before this one set a network up in code and looked at its race. Here the network is a picture: drag
# when a name server answers, and what an address does. Each move runs the race anew, in this kernel and in virtual
# time, and changes the `SimulatedNetwork` that the next cell uses.

# %%
# %load_ext trio_nbconnect.notebook
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork, simulate

# %% [markdown]
# ## Who may begin, and when
#
# IPv4 is known after 20 ms here, IPv6 after 200. Yet the first attempt does not begin at 20 ms: it waits for up to 50
# ms for the answer of the other family. That wait is the *Resolution Delay* (RFC 8305, section 3). Below the picture,
# *Next step* walks through the race, with the sentence that ruled at each.

# %%
net = SimulatedNetwork()
net.answers("example.org", aaaa=["2001:db8::1"], after=0.2)
net.answers("example.org", a=["192.0.2.1"], after=0.02)
net.answers("example.org", https=[])
net.host("2001:db8::1").accepts(after=0.03)
net.host("192.0.2.1").accepts(after=0.03)
play = nb.playground(net)
play

# %% [markdown]
# Try:
#
# - Drag *DNS AAAA* to the left until IPv6 wins. Where is the border, and why there?
# - Drag it off the right end: the answer never comes. What does that cost?
# - Let `192.0.2.1` drop packets. Who wins now, and what started the second attempt?
# - Draw the Resolution Delay out to 300 ms. For whom is the race slower now?
#
# Handles move with the mouse, a finger or the arrow keys; Ctrl+Z takes a move back. The list above the picture has
# more networks to begin with, among them the examples of Happy Eyeballs version 3 and the cases of earlier notebooks.
#
# ## What was dragged is the network
#
# `net` is what the picture shows, also after it was changed. `play.connector` has the policy that was chosen, and its
# resolver; `play.race` is the latest race.

# %%
net

# %%
simulate(net, "example.org", 443, connector=play.connector)

# %% [markdown]
# And this is the Python of it, to take elsewhere, into a test for example:

# %%
print(play.code)

# %% [markdown]
# ## How much does the Resolution Delay matter here?
#
# The same network under other policies, wherever its handles are now:

# %%
delays = (0.01, 0.05, 0.1, 0.25)
races = {
    f"{delay:g} s": simulate(
        net, "example.org", 443, connector=play.connector.replace(policy=nb.Policy(resolution_delay=delay))
    )
    for delay in delays
}
for delay, race in races.items():
    print(f"{delay:>6}: {race.timeline.duration:.3f} s over {race.timeline.winner.address.family.name}")

# %% [markdown]
# ## Without a notebook
#
# `python -m trio_nbconnect playground --serve` shows the same as a page whose Python runs in the browser, and
# `python -m trio_nbconnect playground DIR` writes it as a folder of static files. The address of that page holds the
# scene, so that a network can be sent as a link.

# %% [markdown]
# ## Try
#
# - Take one of the connects of your own program that was slow, draw its network here, and find the handle that made it
#   slow.
# - `nb.playground()` without a network begins with the first scene; `.network` is what you make of it.
