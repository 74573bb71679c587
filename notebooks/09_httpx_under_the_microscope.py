# %% [markdown]
# # httpx under the microscope
#
# **My HTTP client is slow now and then. What does it do when I say `get`?**
#
# Most of the time it does not connect at all: it has a pool. When it does, the connect is deep inside, and all you see
# is the sum. `record()` records every connection that is opened in its block through this library, by whatever code.
# So HTTPX is given a transport that connects through it.

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
# Enough of HTTP/1.1 for our purpose: it answers every request on a connection, until the client leaves, and it can let
# requests wait for each other.

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
url = f"http://127.0.0.1:{port}/"
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
# One address, one attempt, and over at once: on the internet it is a round trip, for each new connection, and another
# one or two for TLS.
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
# A connection of HTTP/1.1 carries one request at a time. The server now sends no answer before it has five requests; so
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
# Now a host whose first address is a black hole. There is no name for that here, so we write a resolver: an object with
# one method, which sends what it finds. That is how a program would use a service registry.

# %%
hole = socket.create_server(("127.0.0.9", port), backlog=0)
filler = socket.create_connection(hole.getsockname())


class Registry:
    async def resolve(self, query, send_answer):
        send_answer(nb.QuerySent(nb.Source.A))
        found = [nb.Address.parse(f"{host}:{query.port}") for host in ("127.0.0.9", "127.0.0.1")]
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
# ## A tracer
#
# To find such hosts in a program that runs, give the connector a tracer. It is any callable that takes an event, and it
# must not wait. This one notes the addresses of attempts that another one has overtaken:

# %%
overtaken = []


def note_overtaken(event):
    if isinstance(event, nb.trace.AttemptCancelled):
        overtaken.append(event.address.ip)


traced = broken.replace(tracer=note_overtaken)
async with httpx.AsyncClient(transport=transport(traced)) as third_client:
    await third_client.get(f"http://shop.example:{port}/")
overtaken

# %% [markdown]
# ## When it fails
#
# HTTPX raises its own `ConnectError`, whose cause is httpcore's, and a traceback ends there. Ours is behind both, with
# every attempt; `connect_error` finds it.

# %%
try:
    await client.get("http://127.0.0.1:1/")
except httpx.ConnectError as error:
    ours = nb.connect_error(error)

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
