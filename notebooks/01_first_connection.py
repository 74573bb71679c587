# %% [markdown]
# # A first connection
#
# **How do I connect to a host from a notebook, and what did it take?**
#
# The line below is all the set-up there is. From here on `await` means Trio's `await`: this kernel still runs
# asyncio, and Trio runs in it as a guest.

# %%
# %load_ext trio_nbconnect.notebook
import trio
import trio_nbconnect as nb

# %% [markdown]
# ## A server
#
# Nothing here needs the internet, so we start a server. `nursery` comes with the extension: what is started in it goes
# on while other cells run. The server listens on 127.0.0.1 and nowhere else, and that will matter in a moment.

# %%
listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
port = listeners[0].socket.getsockname()[1]


async def greet(stream):
    async with stream:
        await stream.send_all(b"hello from the other side")


nursery.start_soon(trio.serve_listeners, greet, listeners)

# %% [markdown]
# ## Connecting
#
# `open_tcp_stream` has the name, the parameters and the result of Trio's own. Most hosts have several addresses. Ours
# has two: `addresses` takes the place of a look-up. `record()` keeps what happens meanwhile.

# %%
with nb.record() as recording:
    stream = await nb.open_tcp_stream("server.example", port, addresses=["127.0.0.2", "127.0.0.1"])

await stream.receive_some()

# %% [markdown]
# It worked. What did it take? A recording displays itself:

# %% tags=["varies"]
recording

# %% [markdown]
# The headline is the answer: connected, to which address, after how long. Below it is one row for each address that
# was tried. Nobody listens on 127.0.0.2, so the machine *refused*, at once; the arrow says that this failure is why the
# second attempt began. That one won.
#
# You would have noticed nothing of this. The stream is simply connected, and the refusal is no error: an error is
# raised when *no* address works. The same facts are there as data:

# %%
race = recording[-1]
print("won by", race.timeline.winner.address.ip)
print("outcome:", race.timeline.outcome.value)

# %% [markdown]
# And `print` draws the picture in text, for terminals and logs.

# %% tags=["varies"]
print(race)

# %%
await stream.aclose()

# %% [markdown]
# ## When it fails
#
# Now a port where nobody listens: we reserve one and never call `listen`. The error says that every attempt was
# refused, and the cell that raises it also shows the race, although it was not recorded. The traceback has the lines
# of your own code, and above them, as the cause, the error of each attempt.

# %%
import socket

closed = socket.socket()
closed.bind(("127.0.0.1", 0))

# %% tags=["varies", "raises-exception"]
await nb.open_tcp_stream(*closed.getsockname())

# %% [markdown]
# A program catches it as any other `OSError`, or by its exact kind. Each attempt is there, with its own error:

# %%
try:
    await nb.open_tcp_stream(*closed.getsockname())
except nb.ConnectRefused as error:
    attempt = error.attempts[0]
    print(f"attempt {attempt.number} of {len(error.attempts)}, {attempt.address.ip}: {type(attempt.error).__name__}")

closed.close()

# %% [markdown]
# ## Try
#
# - Put `host="127.0.0.2"` in the server's cell, run it and the cells below it again. How many attempts are there now?
# - Connect to `"localhost"`, without `addresses`. Which ones does your machine have for it (`/etc/hosts`)? Which family
#   wins if the server listens on all of them, `host="localhost"`?
# - Start `trio.sleep_forever` in the nursery, evaluate `nursery`, then `nursery.cancel_scope.cancel()`. What happens to
#   the server, and to the next connect?
# - Next: what the operating system does in one such attempt is in *02 One connect by hand*; how to read bigger
#   pictures is in *03 Anatomy of a race*.
