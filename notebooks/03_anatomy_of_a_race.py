# %% [markdown]
# # Anatomy of a race
#
# **What happens between "connect me to example.org" and a connection, and how do I read the picture of it?**
#
# A host has many addresses, of two families, and some of them may be broken. Happy Eyeballs (RFC 8305) tries them
# one after the other, each a little later than the one before, and takes the first that answers. We call that a race.
#
# Here the network is simulated: we say what each address does, and time is virtual. So every picture is exact and the
# same each time, and `simulate` has it in a millisecond, however long the race.

# %%
# %load_ext trio_nbconnect.notebook
from trio_nbconnect.testing import SimulatedNetwork, simulate

# %% [markdown]
# ## One address, and all is well
#
# The look-up takes 20 ms, the connect 30. The row "system" is the look-up: one call of `getaddrinfo`, which answers for
# both families. (When that is slow, there is more to see: *06 DNS timing*.) The row below is an address that was tried,
# and its bar is the connect.

# %%
net = SimulatedNetwork()
net.answers("example.org", a=["192.0.2.1"], after=0.02)
net.host("192.0.2.1").accepts(after=0.03)
simulate(net, "example.org", 443)

# %% [markdown]
# ## The delay starts the next one
#
# Now the host has an IPv6 address too, and whatever is sent there is dropped. No error comes back, only silence. After
# 250 ms, the *connection attempt delay*, the next address is tried. The first attempt is **not** given up: it goes on
# beside the second until the race is decided, and might still win.

# %%
net.answers("example.org", aaaa=["2001:db8::1"], after=0.02)
net.host("2001:db8::1").drops()
race = simulate(net, "example.org", 443)
race

# %% [markdown]
# How to read it:
#
# - **The headline is the answer**: connected or not, over which family, after how long.
# - **The dots** are time in which an address was known and not yet tried.
# - **The arrow** says why an attempt began. `+250 ms` is the delay; `failure` would mean that the one above had failed.
# - **The vertical line** is the moment of the decision. The loser's bar ends there: it was cancelled, and is hatched,
#   since it had neither connected nor failed until then.
# - **The times on the right** are how long each attempt lasted.
#
# The race took 300 ms: 20 for the name, 250 for the delay, 30 for the connect. A user notices the 250.

# %%
print(f"{race.timeline.duration:.3f} s in all, {race.timeline.winner.duration:.3f} s of it for the winner's connect")

# %% [markdown]
# ## A failure starts the next one at once
#
# Most broken addresses are not silent. Where nobody listens, the machine *refuses*, and there is no reason to wait for
# the delay.

# %%
net.host("2001:db8::1").refuses(after=0.03)
simulate(net, "example.org", 443)

# %% [markdown]
# ## Many addresses
#
# Families alternate, so a broken one costs one attempt, not all of its addresses. Addresses that were never needed
# stay in the picture, faint. This race has one of everything: silence, a refusal, a reset, no route, a winner.

# %%
many = SimulatedNetwork()
many.answers("example.org", aaaa=[f"2001:db8::{n}" for n in (1, 2, 3)], a=[f"192.0.2.{n}" for n in (1, 2, 3)])
many.host("2001:db8::1").drops()
many.host("192.0.2.1").refuses(after=0.02)
many.host("2001:db8::2").resets(after=0.06)
many.host("192.0.2.2").unreachable()
many.host("2001:db8::3").accepts(after=0.04)
many

# %%
simulate(many, "example.org", 443)

# %% [markdown]
# Look at the short bars. The refusal came after 20 ms, and the next attempt at that moment. `connect` to the address
# without a route failed in the system call itself: no packet was sent, no time passed. So it has a mark and no bar.
#
# Why this order? `explain` has a row for each address: who named it, what put it in its place (here the system's order,
# with the families in turn), when it was tried and how that ended.

# %%
simulate(many, "example.org", 443).explain()

# %% [markdown]
# ## When no address answers
#
# If all are silent and you set no limit, a race lasts until you cancel it. `give_up_after` is a limit for the whole
# call; the picture shows the line, and every attempt that ends there has timed out. For `open_tcp_stream` a lost race
# is an error; for `simulate` it is a result like any other.

# %%
many.host("2001:db8::3").drops()
lost = simulate(many, "example.org", 443, give_up_after=1.2)
lost

# %%
print(lost.timeline.error)

# %% [markdown]
# ## What the picture is made of
#
# Events: small frozen records, one for each thing that happened. A tracer is called with each as it happens
# (`tracer=`), a recording keeps them, and the picture is a pure function of them.

# %%
for event in race.events:
    print(f"{event.time:.3f}", type(event).__name__, getattr(event, "address", ""))

# %% [markdown]
# A timeline is the same, sorted by look-up and attempt, for those who want numbers and no picture:

# %%
for attempt in race.timeline.attempts:
    print(attempt.number, attempt.address.ip, attempt.reason.value, f"{attempt.started:.3f}", attempt.outcome.value)

# %% [markdown]
# ## Try
#
# - Let `2001:db8::1` accept, but after 270 ms. Who wins, and by how much? And after 290?
# - Give `net` an IPv4 address that refuses and IPv6 that drops. When does the race end?
# - Set `policy=nb.Policy(attempt_delay=math.inf)`: one address at a time. Which of the races above would never end?
# - How many attempts are under way at once, at most? Give a host twenty silent addresses and `give_up_after=10`, and
#   look at the arrows: something changes after the sixteenth.
