# %% [markdown]
# # Your own host
#
# **How does a connection to *my* host come about, and are all of its addresses any good?**
#
# Put the name of a host into the second cell, and run everything. As it stands, the notebook brings a host of its own,
# so that it works without a network.

# %%
# %load_ext trio_nbconnect.notebook
import socket

import trio
import trio_nbconnect as nb

# %%
HOST, PORT = "", 443  # for example: "python.org"

# %% [markdown]
# The host that stands in: two addresses on this machine. One is silent, since its queue is full, and one accepts.

# %%
demo = []
ADDRESSES = None  # look HOST up

if not HOST:
    hole = socket.create_server(("127.0.0.1", 0), backlog=0)
    HOST, PORT = "demo", hole.getsockname()[1]
    demo = [hole, socket.create_connection(hole.getsockname()), socket.create_server(("127.0.0.2", PORT))]
    ADDRESSES = ["127.0.0.1", "127.0.0.2"]

# %% [markdown]
# ## The race
#
# Ten seconds at most. If there is no connection, the error is printed above the picture of all that was tried.

# %% tags=["varies"]
connector = nb.Connector()

with nb.record() as recording:
    try:
        stream = await connector.open_tcp_stream(HOST, PORT, addresses=ADDRESSES, give_up_after=10)
    except nb.ConnectError as error:
        print(error)
    else:
        await stream.aclose()

display(recording, recording[-1].explain())

# %% [markdown]
# Why were they tried in this order? `explain` says who named each address, and which rule put it in its place: the
# system's order, a rule of RFC 6724, a history, or the caller.

# %% [markdown]
# ## Each address by itself
#
# A race stops at the first good address; that others are broken may go unnoticed for long. `check` looks the host up
# and connects to each of its addresses alone, all at the same time. Every bar begins at 0, and none is cancelled.

# %% tags=["varies"]
found = await nb.check(HOST, PORT, tls=PORT == 443, addresses=ADDRESSES, connector=connector, give_up_after=0.5)
found

# %% [markdown]
# The same facts as data, say for a program that watches over your host:

# %%
for row in found.addresses:
    print(row.address.ip, "good" if row.is_good else type(row.error).__name__)

# %% [markdown]
# ## Again, and again
#
# One race says little. Ten of them, with how long each took:

# %% tags=["varies"]
with nb.record() as recording:
    for _ in range(10):
        with trio.move_on_after(10):
            try:
                stream = await connector.open_tcp_stream(HOST, PORT, addresses=ADDRESSES)
                await stream.aclose()
            except nb.ConnectError:
                pass  # it is in the recording

recording.summary()

# %% [markdown]
# ## When there is no such name
#
# This is how it looks when a name cannot be found. Names that end in `.invalid` never can (RFC 6761), and so no name
# server is asked.

# %%
try:
    await nb.open_tcp_stream("no-such-host.invalid", 443, give_up_after=2)
except nb.ConnectError as error:
    display(error)

# %%
for sock in demo:
    sock.close()

# %% [markdown]
# ## Try
#
# - Your own host's name in the second cell; then one with many addresses, and one that you know to be slow.
# - `connector = nb.Connector(resolver=nb.dns.DNSResolver())` (extra `dns`) queries name servers directly, for HTTPS
#   records, too. Does your host have them?
# - `open_tls_stream` in place of `open_tcp_stream`: whose certificate is not good?
# - `await nb.watch(nb.open_tcp_stream, HOST, PORT)` draws the race while it runs.
# - `recording.save("races.html")` keeps the pictures as a page; `.qlog` and `.json` are for other programs.
# - On the command line the same is `python -m trio_nbconnect HOST:443 --tls`, `-n 10` connects ten times,
#   and `check HOST` is this notebook in a line, with an exit code for monitoring.
