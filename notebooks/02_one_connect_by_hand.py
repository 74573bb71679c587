# %% [markdown]
# # One connect by hand
#
# **What does the operating system do when I connect without waiting, and how do I find out whether it worked?**
#
# This library began with a note about an event loop in C++. It said: call `connect` on a non-blocking socket; it
# answers 0 (connected), `EINPROGRESS` (under way) or something else (failed); when the descriptor becomes writable,
# ask for `SO_ERROR`. That is right, and we do it here by hand, with nothing but Python's `socket` and `select`. The
# note also made two mistakes, which we make too, to see what comes of them.

# %%
import errno
import select
import socket

FLAGS = ["POLLIN", "POLLOUT", "POLLERR", "POLLHUP"]


def ready(sock, timeout=1000):
    """What the kernel says of a socket: readable (IN), writable (OUT), in error, hung up."""
    poller = select.poll()
    poller.register(sock, select.POLLIN | select.POLLOUT)
    mask = dict(poller.poll(timeout)).get(sock.fileno(), 0)
    return [flag for flag in FLAGS if mask & getattr(select, flag)]


# %% [markdown]
# ## A connect that works
#
# `connect_ex` returns the error number, where `connect` would raise. That matters here: Python raises the same
# `BlockingIOError` for `EINPROGRESS`, `EALREADY` and `EAGAIN`, which mean very different things.

# %%
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(5)  # so that no cell waits for ever if it is run twice

sock = socket.socket()
sock.setblocking(False)
errno.errorcode[sock.connect_ex(listener.getsockname())]

# %% [markdown]
# Under way, even on this machine, where the handshake takes microseconds. Now wait until the socket is ready:

# %%
ready(sock)

# %% [markdown]
# **Writable**, and that alone. Here is the note's first mistake: it says that a successful connect makes the socket
# readable *and* writable. Nothing has arrived, so there is nothing to read. An event loop that waits for "readable"
# would wait for as long as the server is silent, and with HTTP that is for ever, since the client speaks first.
#
# Writable means only that it is over. `SO_ERROR` says how: 0 is success. And to be sure, there is a peer:

# %%
print("SO_ERROR:", sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
print("the peer is who we wanted:", sock.getpeername() == listener.getsockname())

# %% [markdown]
# Readable it becomes when the server says something. So "readable" means data, an end of file or an error, and never
# "connected".

# %%
server, _ = listener.accept()
server.send(b"220 ready")
select.select([sock], [], [], 5)
ready(sock)

# %% [markdown]
# ## A connect that fails
#
# A port that is bound, and does not listen, refuses.

# %%
closed = socket.socket()
closed.bind(("127.0.0.1", 0))

refused = socket.socket()
refused.setblocking(False)
print(errno.errorcode[refused.connect_ex(closed.getsockname())])
print(ready(refused))

# %% [markdown]
# The first answer is the same, `EINPROGRESS`: the refusal comes later. Then all flags are set at once: readable,
# writable, error, hang-up. Waiting for "writable" is enough for both outcomes, which is why everybody does.
#
# Now `SO_ERROR`, twice:

# %%
for _ in range(2):
    number = refused.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    print(number, errno.errorcode.get(number, "no error"))

# %% [markdown]
# **Reading clears it.** The second read says that all is well. Where something else has read it first, a debugger or a
# well-meant check, a refused connection passes for a good one. `getpeername` is reliable:

# %%
try:
    refused.getpeername()
except OSError as error:
    print(errno.errorcode[error.errno])

# %% [markdown]
# ## The second mistake: a length instead of a pointer
#
# In C, `getsockopt` wants the *address* of a length, for it writes back how much it has stored. The note passes
# `sizeof(len)`, which is the number 4, as an address. We can do the same from Python, through `ctypes`. First the call
# as it should be, on a fresh refusal:

# %%
import ctypes

libc = ctypes.CDLL(None, use_errno=True)


def so_error(sock, length):
    value = ctypes.c_int(0)
    result = libc.getsockopt(sock.fileno(), socket.SOL_SOCKET, socket.SO_ERROR, ctypes.byref(value), length)
    return {"returned": result, "value": value.value, "errno": ctypes.get_errno() if result else 0}


refused = socket.socket()
refused.setblocking(False)
refused.connect_ex(closed.getsockname())
ready(refused)

# %%
length = ctypes.c_uint(ctypes.sizeof(ctypes.c_int))
wrong = so_error(refused, ctypes.c_void_p(ctypes.sizeof(length)))
right = so_error(refused, ctypes.byref(length))
print("wrong:", wrong, errno.errorcode[wrong["errno"]])
print("right:", right, errno.errorcode[right["value"]])

# %% [markdown]
# The wrong call fails with `EFAULT`: there is nothing at address 4. It leaves `value` as it was, and that was 0. A
# program that does not look at the return value reads "no error" and goes on with a connection that was refused.
#
# ## A connect that takes its time
#
# `listen(0)` has room for one connection that nobody accepts. The next client gets no answer at all: a black hole, on
# loopback. While a handshake is under way the socket is ready for nothing, and a second `connect` says `EALREADY`.

# %%
full = socket.create_server(("127.0.0.1", 0), backlog=0)
full.settimeout(5)
first = socket.create_connection(full.getsockname())

waiting = socket.socket()
waiting.setblocking(False)
print(errno.errorcode[waiting.connect_ex(full.getsockname())])
print(errno.errorcode[waiting.connect_ex(full.getsockname())])
print("ready for:", ready(waiting, timeout=0))
print("SO_ERROR:", waiting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

# %% [markdown]
# `SO_ERROR` is 0 here as well, of a socket that is not connected. So 0 means "no error yet", never "connected"; read it
# only when the socket is ready, and then ask for the peer.
#
# ## UNIX sockets are different
#
# With TCP a full queue means waiting. A UNIX socket says `EAGAIN`, and *nothing is under way*. Yet the socket claims
# to be writable at once, and `SO_ERROR` is 0. Event loops that look no further take this for success (Trio 0.35 does,
# asyncio and uvloop too), and the first `send` fails.

# %%
unix_listener = socket.socket(socket.AF_UNIX)
unix_listener.bind("")  # Linux: a free name of its choice, in no folder
unix_listener.listen(0)
queued, unlucky = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
queued.connect(unix_listener.getsockname())

unlucky.setblocking(False)
print(errno.errorcode[unlucky.connect_ex(unix_listener.getsockname())])
print("ready for:", ready(unlucky))
print("SO_ERROR:", unlucky.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

# %% [markdown]
# ## The same with this library
#
# The note's state machine is an object here. `begin` makes the system call and returns; `wait` is the await. Between
# them the handshake lives in the kernel, not in a task: waiting may be given up and taken up again.

# %%
# %load_ext trio_nbconnect.notebook
import trio
import trio_nbconnect as nb

waiting.close()
by_hand = socket.socket()
by_hand.setblocking(False)
handshake = nb.Handshake.begin(by_hand, full.getsockname())
with trio.move_on_after(0.05):
    await handshake.wait()
print("after 50 ms:", handshake.state.value)

# %% [markdown]
# Now make room: take the other connection out of the queue. The kernel sends its SYN again after about a second, and
# the same handshake completes, in another cell and another await.

# %%
full.accept()[0].close()
await handshake.wait()
print("now:", handshake.state.value)
handshake.abort()

# %% [markdown]
# And in one step, on any non-blocking socket, with the errors sorted out:

# %%
try:
    await nb.connect_socket(fresh := trio.socket.socket(), closed.getsockname())
except ConnectionRefusedError as error:
    print(type(error).__name__, errno.errorcode[error.errno], "and the socket is closed:", fresh.fileno() == -1)

# %%
for used in (listener, sock, server, closed, refused, full, first, unix_listener, queued, unlucky):
    used.close()

# %% [markdown]
# ## Try
#
# - Let the server close (`server.close()`) before you ask `ready(sock)`. How does an end of file look, and how a reset
#   (set `SO_LINGER` to `struct.pack("ii", 1, 0)` first)?
# - Connect the refused socket once more. What does `connect_ex` say the first time, and the second?
# - Ask `ready` of a socket that never connected. Why must one not wait before calling `connect`?
# - Connect `unlucky` again after an `accept`. That is the only remedy, and what `open_unix_socket` does.
