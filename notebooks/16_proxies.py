# %% [markdown]
# # Proxies
#
# **I may reach the internet only through a proxy. What is raced then, and what does an error tell me?**
#
# Two connections are in question: from here to the proxy, which may have many addresses, and from the proxy to the
# target, which is the proxy's business. So the race is for the proxy, and an address of it has won when it has
# connected us to the target.

# %%
# %load_ext trio_nbconnect.notebook
import trio
import trio_nbconnect as nb
from trio_nbconnect.proxy import HTTPProxy, SOCKS5Proxy, from_environment

# %% [markdown]
# ## A proxy to play with
#
# This one speaks enough of HTTP's CONNECT (RFC 9110, section 9.3.6) to open a tunnel to one name, and forbids others.


# %%
async def play_proxy(stream):
    request = (await stream.receive_some()).decode()
    if "target.example:443" not in request:
        await stream.send_all(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        return
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
    await stream.send_all(b"hello from the target")


(listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
nursery.start_soon(trio.serve_listeners, play_proxy, [listener])
port = listener.socket.getsockname()[1]

# %%
proxy = HTTPProxy("proxy.example", port, addresses=["127.0.0.1"])
async with await proxy.open_tcp_stream("target.example", 443, give_up_after=10) as stream:
    print(await stream.receive_some())

# %% [markdown]
# The target's name went to the proxy as it is: nobody here has looked it up, so that no name server here learns of
# it.
#
# ## When the proxy says no
#
# A tunnel that is refused fails the attempt, in the phase after TCP. The error keeps the proxy's own words.

# %%
try:
    await proxy.open_tcp_stream("other.example", 443)
except nb.ConnectError as error:
    (attempt,) = error.attempts
    print(attempt.phase.value, "-", attempt.error)

# %% [markdown]
# ## Several addresses
#
# A proxy that is silent, or whose process hangs after it has accepted, loses to its next address. Here nobody listens
# on the first one.

# %% tags=["varies"]
both = HTTPProxy("proxy.example", port, addresses=[("127.0.0.1", 1), "127.0.0.1"])
with nb.record() as recording:
    async with await both.open_tcp_stream("target.example", 443):
        pass
recording[-1]

# %% [markdown]
# ## TLS, chains, and what the environment says
#
# - `open_tls_stream` makes TLS with the target part of the race, through the tunnel.
# - `tls=True` speaks TLS with the proxy itself. Then its user name and password cannot be read on the wire; they are
#   kept as secrets, which no picture, error or log shows.
# - `connector=` may be another proxy: a chain.
# - `from_environment()` reads `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.

# %%
outer = HTTPProxy("gateway.example", 443, tls=True, username="me", password="never shown")
inner = SOCKS5Proxy("inner.example", 1080, connector=outer)
inner

# %%
import os

os.environ["HTTPS_PROXY"] = "http://proxy.example:3128"
os.environ["NO_PROXY"] = "localhost,.internal.example"
chosen = from_environment()
for host in ("www.example.org", "db.internal.example"):
    print(host, "by way of", type(chosen.opener_for(host, 443)).__name__)

# %% [markdown]
# ## Wherever a connector goes
#
# `StreamOpener` is the protocol that connectors and proxies satisfy. `nb.httpcore.transport(proxy)` sends an HTTPX
# client through it, `nb.patched_trio(proxy)` whatever calls Trio, `proxy.blocking()` programs without an event loop.

# %% [markdown]
# ## Try
#
# - Let the proxy accept and say nothing. After how long is the second address tried? And with
#   `Policy(attempt_delay=0.1)` in the connector of the proxy?
# - `nbconnect --proxy socks5://HOST:PORT example.org:443` shows a race through a proxy of yours.
# - Record a connect through a chain of two. How many races are there?
