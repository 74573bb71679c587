# %% [markdown]
# # TLS in the race
#
# **An address answers the connect, and then TLS fails, or never comes. Is it a winner?**
#
# For TCP it is. A load balancer accepts connections for servers that are down; a middlebox completes the handshake for
# a host that it then cannot reach; one of five servers has last year's certificate. A race for TCP connections alone
# has its winner before any of this shows. In `open_tls_stream` an address wins only when its TLS handshake is done and
# its certificate is good.

# %%
import ssl

import trio
import trio_nbconnect as nb
import trustme
from trio_nbconnect.testing import SimulatedNetwork, simulate

authority = trustme.CA()  # a certificate authority for the length of this notebook
server_context, context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
authority.issue_cert("example.org").configure_cert(server_context)
authority.configure_trust(context)

# %% [markdown]
# ## A second phase
#
# First in virtual time, with real TLS on simulated bytes. `establish` says what a connection must be able to do before
# it counts, `serve` what the servers do. This server needs 40 ms for its part of the handshake.


# %%
async def handshake(stream):
    secure = trio.SSLStream(stream, context, server_hostname="example.org")
    await secure.do_handshake()
    return secure


async def answer(stream):
    await trio.sleep(0.04)
    await trio.SSLStream(stream, server_context, server_side=True).do_handshake()


# %%
net = SimulatedNetwork()
net.answers("example.org", aaaa=["2001:db8::1"], a=["192.0.2.1"], after=0.02)
net.host("2001:db8::1").accepts(after=0.03)
net.host("192.0.2.1").accepts(after=0.03)
simulate(net, "example.org", 443, establish=handshake, serve=answer)

# %% [markdown]
# One bar in two shades: first TCP, then TLS.
#
# ## TCP works, TLS never comes
#
# Now the IPv6 address accepts, and then sends nothing. When TCP is connected, the next attempt is put off by one more
# delay, since an address that has come so far is likely to be established. This one is not.


# %%
async def answer_on_ipv4_alone(stream):
    if stream.socket.getsockname()[0] == "2001:db8::1":
        await trio.sleep_forever()
    await answer(stream)


silent = simulate(net, "example.org", 443, establish=handshake, serve=answer_on_ipv4_alone)
silent

# %% [markdown]
# A race for TCP alone gives another picture, a shorter one, and a connection that is of no use:

# %%
nb.compare(silent, simulate(net, "example.org", 443))

# %% [markdown]
# ## For real
#
# Two real servers on loopback, on the same port of two addresses. The first accepts and is silent; the second speaks
# TLS. A client may break the handshake off, and one will, further below: that is no reason for the server to fail.


# %%
# %load_ext trio_nbconnect.notebook
async def hello(stream):
    try:
        async with trio.SSLStream(stream, server_context, server_side=True, https_compatible=True) as secure:
            await secure.send_all(b"hello, secretly")
    except trio.BrokenResourceError:
        pass  # the client has gone


async def silence(stream):
    await trio.sleep_forever()


# %%
(good,) = await trio.open_tcp_listeners(0, host="127.0.0.2")
port = good.socket.getsockname()[1]
(bad,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
nursery.start_soon(trio.serve_listeners, hello, [good])
nursery.start_soon(trio.serve_listeners, silence, [bad])

# %%
both = {"addresses": ["127.0.0.1", "127.0.0.2"], "ssl_context": context, "https_compatible": True}
connector = nb.Connector(policy=nb.Policy(attempt_delay=0.05))

with nb.record() as recording:
    stream = await connector.open_tls_stream("example.org", port, **both)
async with stream:
    print(await stream.receive_some(), "from", stream.transport_stream.socket.getpeername()[0])

# %% tags=["varies"]
recording

# %% [markdown]
# The name was never looked up: `addresses` stands in for that. The certificate was checked all the same, for
# "example.org".
#
# ## A bad certificate
#
# Ask for another name, and the certificate is not valid for it. Each address fails at once, and what is raised is a
# `TLSError` that `except ssl.SSLError` catches too. `primary_error` is the one of the attempts' errors that says most.

# %%
try:
    await connector.open_tls_stream("other.example", port, addresses=["127.0.0.2"], ssl_context=context)
except ssl.SSLError as error:
    print(type(error).__name__, "in the phase:", error.attempts[0].phase.value)
    print(type(error.primary_error).__name__, "-", error.primary_error.verify_message)

# %% [markdown]
# With a second address whose certificate is good, there would be no error: the first would have lost, and the second
# won.
#
# `give_up_tls_after` limits the handshake, counted from the end of TCP's:

# %%
hasty = nb.Connector(policy=nb.Policy(give_up_tls_after=0.05))
try:
    await hasty.open_tls_stream("example.org", port, addresses=["127.0.0.1"], ssl_context=context)
except nb.ConnectError as error:
    print(type(error).__name__, "-", error.attempts[0].phase.value)

# %% [markdown]
# ## Try
#
# - Let the slow server of the first picture need 400 ms. When does the second attempt begin, and why then?
# - Swap the two addresses in `both`. How many attempts are there?
# - Offer protocols: `alpn_protocols=["h2", "http/1.1"]` (without `ssl_context`), and ask the stream for
#   `selected_alpn_protocol()`.
# - A greeting instead of TLS: write an `establish` that waits for `220`, and a server that sends `554`.
