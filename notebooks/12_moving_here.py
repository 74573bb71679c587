# %% [markdown]
# # Moving here
#
# **I connect with Trio, anyio, asyncio, `socket` or requests today. What do I change, and what changes for me?**
#
# As little as possible: for Trio it is the import, for others a name, and for libraries that connect by themselves a
# `with` block. Below, each is shown on one server of this machine.

# %%
# %load_ext trio_nbconnect.notebook
import trio
import trio_nbconnect as nb


async def greet(stream):
    await stream.send_all(b"220 ready")


(listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
nursery.start_soon(trio.serve_listeners, greet, [listener])
port = listener.socket.getsockname()[1]

# %% [markdown]
# ## From Trio
#
# `open_tcp_stream`, `open_ssl_over_tcp_stream` and `open_unix_socket` have Trio's parameters, defaults and return
# types; Trio's own tests for them pass unmodified. What changes:
#
# | `trio.open_tcp_stream` | `nb.open_tcp_stream` |
# | --- | --- |
# | waits for the look-up of both families | one that takes over 50 ms need not be waited for |
# | an IPv4 address comes second in the list | families alternate all the way down |
# | `OSError`, and what each address met is in its cause | also an errno, a class to catch, and `attempts` |
# | a time-out is a cancellation | `give_up_after=` is an error that says what every attempt was doing |
# | waits for no UNIX backlog | waits while the backlog is full (Linux; on macOS a full backlog refuses) |
# | a socket may meet itself on a free local port | that is refused |
# | port 99536 is 34000 | it is a `ValueError` |
#
# `happy_eyeballs_delay=None` is 0.25 s, as there; `math.inf` is one attempt at a time; less than 10 ms is stretched
# to it.

# %%
for module in (trio, nb):
    async with await module.open_tcp_stream("localhost", port, happy_eyeballs_delay=0.1) as stream:
        print(module.__name__, type(stream).__name__, await stream.receive_some())

# %% [markdown]
# A library that calls Trio itself needs no change: inside the block, it is ours that it calls.

# %%
with nb.patched_trio(nb.Connector(history=nb.History())), nb.record() as recording:
    stream = await trio.open_tcp_stream("localhost", port)
    await stream.aclose()
len(recording)

# %% [markdown]
# ## From anyio
#
# | anyio | here |
# | --- | --- |
# | `connect_tcp(host, port, local_host=...)` | `local_address=`, one for each family; the order is the system's |
# | `connect_tcp(host, port, tls=True)` | `open_tls_stream`: an address that fails the handshake loses |
# | code of others that calls `connect_tcp` | `with nb.anyio.patched_anyio():` |
# | what takes a connectable | `nb.anyio.TCPConnectable`, `TLSConnectable`, `UNIXConnectable` |

# %%
import anyio

stream = await nb.anyio.TCPConnectable("localhost", port).connect()
print(await stream.receive(), stream.extra(anyio.abc.SocketAttribute.remote_port) == port)
await stream.aclose()

# %% [markdown]
# ## From asyncio
#
# | asyncio | here |
# | --- | --- |
# | `happy_eyeballs_delay=0.25, interleave=1` | the default; `Policy(attempt_delay=..., first_address_family_count=1)` |
# | `open_connection(..., all_errors=True)` | always: the cause of an error is an exception group, also of one |
# | `asyncio.timeout(10)` around it | `trio.fail_after(10)`; or `give_up_after=10`, which says what was going on |
# | `create_connection(local_addr=...)` | `local_address=` |
#
# This is a library for Trio: an asyncio program cannot await it. Its blocking form, below, runs in a thread of any
# program.
#
# ## From socket
#
# `socket.create_connection` tries one address after the other, and waits minutes for one that is silent.
# `nb.blocking.create_connection` has its parameters, and is a race.

# %% [markdown]
# The server is in this very kernel, whose thread must stay free; so the call is made in another one, as from any
# blocking program.


# %%
def greeting():
    with nb.blocking.create_connection(("localhost", port), timeout=5) as sock:
        return sock.recv(100)


await trio.to_thread.run_sync(greeting)

# %% [markdown]
# ## From requests, HTTPX and other clients
#
# | library | one line |
# | --- | --- |
# | HTTPX, asynchronous | `httpx.AsyncClient(transport=nb.httpcore.transport())` |
# | requests | `session.mount("https://", nb.requests.HTTPAdapter())` |
# | urllib3, boto3, `urllib`, `smtplib`, `imaplib`, HTTPX's synchronous client | `with nb.blocking.patched_socket():` |
# | trio-websocket and whatever else calls Trio | `with nb.patched_trio():` |

# %%
import urllib.error
import urllib.request


def fetch():
    """Ask a port where nobody listens, through the standard library; our error is behind urllib's."""
    with nb.blocking.patched_socket():
        try:
            urllib.request.urlopen("http://127.0.0.1:1/", timeout=5)
        except urllib.error.URLError as error:
            return nb.connect_error(error.reason)


print(await trio.to_thread.run_sync(fetch))

# %% [markdown]
# ## What stays as it was
#
# - `except OSError`, `except ConnectionRefusedError`, `except TimeoutError` and `except socket.gaierror` catch ours,
#   too.
# - Streams are Trio's, sockets the standard library's; nothing of ours is around them once they are open.
# - A scope of your own that ends is a cancellation, as always; only limits that begin with `give_up` are errors.

# %% [markdown]
# ## Try
#
# - Put `nb.trace.listen(print).start()` before the run of a program of yours. What does it connect to?
# - `nb.connect_error(error)` finds our error inside another library's. What does yours wrap it in?
# - Change one import in a project, and run its tests.
