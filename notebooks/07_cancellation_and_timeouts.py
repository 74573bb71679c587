# %% [markdown]
# # Cancellation and timeouts
#
# **When I give up on a connection, what happens to everything that was under way?**
#
# In Trio, giving up is a cancel scope, and everything inside ends. A connect that was given up must leave nothing: no
# socket, no task, no half-open connection for which the kernel goes on sending packets. Here we count. These are real
# sockets, on this machine.

# %%
# %load_ext trio_nbconnect.notebook
import os
import socket

import trio
import trio.testing
import trio_nbconnect as nb


def sockets():
    """How many sockets this process has open; the kernel of a notebook has some of its own."""
    links = (f"/proc/self/fd/{descriptor}" for descriptor in os.listdir("/proc/self/fd"))
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.islink(link))


# %% [markdown]
# ## A black hole on loopback
#
# A listener with a backlog of 0 has room for one connection. It is never accepted, so the next ones get no answer: the
# kernel drops their SYN, and sends it again, and again.

# %%
hole = socket.create_server(("127.0.0.1", 0), backlog=0)
filler = socket.create_connection(hole.getsockname())
before = sockets()

# %% [markdown]
# ## A scope of your own
#
# `trio.move_on_after` works as with everything else in Trio. No error: the block is left, and the scope says why.

# %%
with trio.move_on_after(0.05) as scope:
    await nb.open_tcp_stream(*hole.getsockname())

print("cancelled:", scope.cancelled_caught)
print("sockets left:", sockets() - before)

# %% [markdown]
# The socket of the attempt is closed: a socket that is closed while it connects sends no more packets.
#
# ## A limit that explains
#
# A scope cannot say what it interrupted. `give_up_after` raises an error, a `TimeoutError`, that has the phase and what
# each attempt was doing.

# %%
try:
    await nb.open_tcp_stream(*hole.getsockname(), give_up_after=0.05)
except TimeoutError as error:
    caught = error

print([kind.__name__ for kind in type(caught).__mro__[:-3]])
print("while in:", caught.phase.value)
print("attempts:", [(attempt.address.ip, attempt.error) for attempt in caught.attempts])
print("sockets left:", sockets() - before)

# %% [markdown]
# An error displays itself in a notebook. What it has kept of the race is enough for a picture:

# %% tags=["varies"]
caught

# %% [markdown]
# ## Many at once
#
# A hundred connects into the hole, in a nursery, and all given up together. First we look how many sockets there are
# while they wait, then after.

# %%
async with trio.open_nursery() as group:
    for _ in range(100):
        group.start_soon(nb.open_tcp_stream, *hole.getsockname())
    await trio.testing.wait_all_tasks_blocked()
    print("under way:", sockets() - before)
    group.cancel_scope.cancel()

print("left:", sockets() - before)

# %% [markdown]
# ## The loser of a race
#
# A race that is won cancels its other attempts. Here the first address is the hole, the second accepts. The port must
# be the same on both, which is why the second is another loopback address.

# %%
port = hole.getsockname()[1]
accepting = socket.create_server(("127.0.0.2", port))
policy = nb.Policy(attempt_delay=0.03)

with nb.record() as recording:
    stream = await nb.Connector(policy=policy).open_tcp_stream("demo", port, addresses=["127.0.0.1", "127.0.0.2"])

print("sockets more than before:", sockets() - before, "(the listener, the winner)")
await stream.aclose()

# %% tags=["varies"]
recording

# %% [markdown]
# ## What each part may take
#
# Limits begin with `give_up` and are infinite unless you set them. One for the whole call, and one for each part: the
# look-up, an attempt, the TLS handshake. An attempt *delay* is never a limit: it starts the next one, and ends nothing.
#
# In virtual time, the difference between them is easy to see. Three silent addresses, each given up after 400 ms:

# %%
from trio_nbconnect.testing import SimulatedNetwork, simulate

net = SimulatedNetwork()
net.answers("example.org", a=["192.0.2.1", "192.0.2.2", "192.0.2.3"], after=0.02)
each = simulate(net, "example.org", 443, policy=nb.Policy(give_up_attempt_after=0.4))
whole = simulate(net, "example.org", 443, give_up_after=0.4)
nb.compare(each, whole)

# %% [markdown]
# In the first, each attempt has its own 400 ms, and the race is lost when the last one's are over. In the second, all
# end on one line.

# %%
print(each.timeline.error)
print(whole.timeline.error)
print("sockets of the simulated network:", net.open_sockets)

# %% [markdown]
# ## When the name server is the problem
#
# The operating system's look-up cannot be interrupted; the thread that waits for it is left behind, and ends when the
# system gives up. The next connect to the same name shares it. The error says that the time went into the look-up.

# %%
dead = SimulatedNetwork()
dead.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=float("inf"))
race = simulate(dead, "example.org", 443, give_up_after=0.4)
print(race.timeline.error)
print("while in:", race.timeline.error.phase.value)

# %%
for used in (hole, filler, accepting):
    used.close()

# %% [markdown]
# ## Try
#
# - Run a cell with `await nb.open_tcp_stream(*hole.getsockname())` and no limit, and press the stop button. Then count.
# - Cancel at the very moment of success: `trio.move_on_after(0.0)` around a connect to a server that accepts. Is the
#   socket closed? (Run it a hundred times, and count.)
# - `python -m tests.chaos`, in the repository, cancels thousands of connects at random moments, and counts likewise.
