# %% [markdown]
# # Blocking programs
#
# **My program has no event loop: it uses requests, `smtplib` or plain sockets. Can it have the race, too?**
#
# Yes. A race runs in a Trio of its own, in the thread that connects; what comes back is a blocking socket of the
# standard library's. There is a function for code of your own, an adapter for requests, and a patch for all the rest.

# %%
import contextlib
import socket
import threading

import trio_nbconnect as nb


# %%
def serve(listener, says):
    """Say something to each client, until the listener is closed."""
    with contextlib.suppress(OSError):
        while True:
            with listener.accept()[0] as client:
                client.sendall(says)
                while client.recv(1000):
                    pass


# %%
@contextlib.contextmanager
def server(host="127.0.0.1", says=b"220 ready\r\n"):
    with socket.create_server((host, 0)) as listener:
        threading.Thread(target=serve, args=(listener, says), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


# %% [markdown]
# ## A function
#
# `create_connection` has the parameters of `socket.create_connection`. That one tries addresses one after the other,
# and waits minutes for a silent one; ours waits a quarter of a second. Here nobody listens on the first address.

# %% tags=["varies"]
with server() as port, nb.record() as recording:
    addresses = [("127.0.0.1", 1), "127.0.0.1"]
    with nb.blocking.create_connection(("mail.example", port), timeout=5, addresses=addresses) as sock:
        print(sock.recv(100), sock.gettimeout())
recording[-1]

# %% [markdown]
# Errors are those that `except OSError` and its subclasses catch today, and say more.

# %%
try:
    nb.blocking.create_connection(("127.0.0.1", 1), timeout=5)
except ConnectionRefusedError as error:
    print(type(error).__name__, "-", error)

# %% [markdown]
# Policy, options, history, a resolver, a proxy: whatever a connector has, its blocking form has.

# %%
connector = nb.Connector(policy=nb.Policy(attempt_delay=0.1), options=nb.SocketOptions(no_delay=True))
with server() as port, connector.blocking().create_connection(("localhost", port)) as sock:
    print(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)

# %% [markdown]
# ## Libraries that connect by themselves
#
# `patched_socket` puts ours in the place of the standard library's and urllib3's, for a block or from `start` to
# `stop`: in the whole process, all threads included. `smtplib` knows nothing of it.

# %%
import smtplib

script = b"220 ready\r\n250 hello\r\n221 bye\r\n"
with server(says=script) as port, nb.blocking.patched_socket(), nb.record() as recording:
    mail = smtplib.SMTP("localhost", port, local_hostname="me.example")
    print(mail.ehlo()[0], mail.quit()[0])
print(len(recording), "race")

# %% [markdown]
# For requests there is an adapter, which patches nothing: `session.mount("https://", nb.requests.HTTPAdapter())`
# (extra `requests`).
#
# ## What it is not for
#
# A call blocks its thread, whatever runs there: under asyncio or Trio, all tasks wait. There, await the asynchronous
# functions, or call this one in a thread.

# %% [markdown]
# ## Try
#
# - `nb.blocking.patched_socket().start()` at the top of a script of yours, and `nb.trace.listen(print).start()`
#   before it.
# - Time `socket.create_connection` to a host whose first address is silent, and then ours.
# - Ten threads with one blocking connector and a `History`: what do the later ones try first?
