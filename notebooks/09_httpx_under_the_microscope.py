# %% [markdown]
# # httpx under the microscope
#
# **My HTTP client is slow now and then. What does it do when I say `get`?**
#
# Most of the time it does not connect at all: it has a pool. When it does, the connect is deep inside, and all you see
# is the sum. `record()` hears of every connection that is opened in its block through this library, by whatever code.
# So HTTPX is given a transport that connects through it, and we look on.

# %%
# %load_ext trio_nbconnect.notebook
import socket

import httpx
import trio
import trio_nbconnect as nb
from trio_nbconnect.httpcore import transport

# %% [markdown]
# ## A server to ask
#
# Enough of HTTP/1.1 for our purpose: it answers every request on a connection, until the client leaves, and it can be
# told to let requests wait for each other. It listens on IPv4 alone.

# %%
at_once, waiting, enough = 1, [], trio.Event()


async def serve(stream):
    async with stream:
        async for request in stream:
            waiting.append(request)
            if len(waiting) >= at_once:
                enough.set()
            await enough.wait()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")


# %%
(listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
port = listener.socket.getsockname()[1]
url = f"http://localhost:{port}/"
nursery.start_soon(trio.serve_listeners, serve, [listener])

# %% [markdown]
# ## One request

# %%
client = httpx.AsyncClient(transport=transport(nb.Connector()))

with nb.record() as recording:
    response = await client.get(url)
print(response.status_code, response.text)

# %% tags=["varies"]
recording

# %% [markdown]
# `localhost` is `::1` first, where nobody listens; a refusal, and then IPv4. On a laptop that costs a tenth of a
# millisecond. On the internet it is a round trip, for each new connection.
#
# ## The second request
#
# The connection is in the pool now. Nothing is recorded, since nothing is opened:

# %%
with nb.record() as recording:
    for _ in range(5):
        await client.get(url)
print("requests: 5, races:", len(recording))

# %% [markdown]
# ## Five at once
#
# A connection of HTTP/1.1 carries one request at a time. The server now answers nobody before it has five requests; so
# HTTPX needs five connections, one from the pool and four new ones:

# %%
at_once, waiting, enough = 5, [], trio.Event()

with nb.record() as recording:
    async with trio.open_nursery() as group:
        for _ in range(5):
            group.start_soon(client.get, url)
print("requests: 5, races:", len(recording))
print("winners:", {race.timeline.winner.address.ip for race in recording})

# %% [markdown]
# Many races are better counted than looked at one by one:

# %% tags=["varies"]
nb.summarize(recording)

# %% [markdown]
# ## A broken address
#
# Now a host whose first address is a black hole. There is no name for that here, so we write a resolver: an object that
# delivers answers. It is what a program would do to pin addresses, or to ask a service registry.

# %%
hole = socket.create_server(("127.0.0.9", port), backlog=0)
filler = socket.create_connection(hole.getsockname())


class Registry:
    async def resolve(self, question, send_answer):
        found = [nb.Address(socket.AF_INET, host, question.port) for host in ("127.0.0.9", "127.0.0.1")]
        send_answer(nb.Answer(nb.Source.A, tuple(found)))


broken = nb.Connector(resolver=Registry(), policy=nb.Policy(attempt_delay=0.1))

# %%
async with httpx.AsyncClient(transport=transport(broken)) as second_client:
    with nb.record() as recording:
        response = await second_client.get(f"http://shop.example:{port}/")
print(response.text, "in", len(recording[0].timeline.attempts), "attempts")

# %% tags=["varies"]
recording

# %% [markdown]
# The request was answered, and was slow by the delay. Nothing in HTTPX's own log says why.
#
# ## A watch that stays
#
# To find such hosts in a program that runs, give the connector a tracer. It is any callable, it hears every event, and
# it must not wait. This one writes down who was beaten by another address:

# %%
beaten = []


def watch_for_losers(event):
    if isinstance(event, nb.trace.AttemptCancelled):
        beaten.append(event.address.ip)


watched = nb.Connector(resolver=Registry(), policy=nb.Policy(attempt_delay=0.05), tracer=watch_for_losers)
async with httpx.AsyncClient(transport=transport(watched)) as third_client:
    await third_client.get(f"http://shop.example:{port}/")
beaten

# %% [markdown]
# ## When it fails
#
# HTTPX raises its own `ConnectError`. Ours, with every attempt, is behind it, and shows itself:

# %%
try:
    await client.get("http://127.0.0.1:1/")
except httpx.ConnectError as error:
    ours = error.__cause__.__context__

print(type(ours).__name__, "-", ours)

# %%
await client.aclose()
hole.close()
filler.close()

# %% [markdown]
# ## Try
#
# - A time-out of HTTPX, `timeout=0.05`, on the broken host. What does its error say, and what the recording?
# - `transport(nb.Connector(), http2=True)` and an `https` URL of your own: how many races do five requests take?
# - Any library that calls `trio.open_tcp_stream` can be looked at without its help, inside `with nb.patched_trio():`.
