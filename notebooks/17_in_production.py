# %% [markdown]
# # In production
#
# **How do I see, in logs and metrics, how well my program connects, before users tell me?**
#
# Every connect is a race, and every race tells what happened as events: frozen dataclasses, listed in
# `trio_nbconnect.trace`. Whatever is to be counted or logged is a function of one event. It is called in one guarded
# place: one that raises is logged, switched off for that race, and never fails a connection.

# %%
import collections
import contextlib
import logging

import trio
import trio.testing
import trio_nbconnect as nb
from trio_nbconnect.testing import SimulatedNetwork

# %% [markdown]
# ## Something to look at
#
# A program that connects to three services, in virtual time: one is fine, one has a broken IPv6, one is down.


# %%
def services():
    net = SimulatedNetwork()
    for number, name in enumerate(["fine.example", "slow.example", "down.example"], start=1):
        net.answers(name, aaaa=[f"2001:db8::{number}"], a=[f"192.0.2.{number}"], after=0.01)
        for address in (f"2001:db8::{number}", f"192.0.2.{number}"):
            net.host(address).accepts(after=0.03)
    net.host("2001:db8::2").drops()
    net.host("2001:db8::3").refuses(after=0.03)
    net.host("192.0.2.3").refuses(after=0.03)
    return net


# %%
async def program():
    connector = nb.Connector(network=services())
    for name in ["fine.example", "slow.example", "down.example"] * 3:
        with contextlib.suppress(nb.ConnectError):  # as a program may
            await trio.aclose_forcefully(await connector.open_tcp_stream(name, 443, give_up_after=5))


def run(main):
    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


# %% [markdown]
# ## Logs
#
# `log_to` writes to the `logging` module: a lost race is a warning, a won one is info, each single step is debug.
# `start` is for the whole program; it belongs before `trio.run`.

# %%
import sys

logger = logging.getLogger("program.connections")
logging.basicConfig(stream=sys.stdout, format="%(levelname)-7s %(message)s", level=logging.WARNING, force=True)

listener = nb.trace.log_to(logger).start()
run(program)
listener.stop()

# %% [markdown]
# Warnings alone, and each says why. With `level=logging.DEBUG` there is a line for each step.
#
# ## Metrics
#
# Three numbers tell most of it: how long connects take, how many fail and as what, and why attempts began: each that is
# not the first of its race was needed because the one before was late or has failed, which is how broken a network is.


# %%
class Metrics:
    def __init__(self):
        self.seconds, self.began = collections.defaultdict(list), {}
        self.failures, self.attempts = collections.Counter(), collections.Counter()

    def __call__(self, event):
        if isinstance(event, nb.trace.RaceStarted):
            self.began[event.race] = event
        elif isinstance(event, nb.trace.AttemptStarted):
            self.attempts[event.reason.value] += 1
        elif isinstance(event, nb.trace.RaceWon | nb.trace.RaceLost):
            began = self.began.pop(event.race)
            self.seconds[began.host].append(event.time - began.time)
            if isinstance(event, nb.trace.RaceLost) and event.error is not None:  # else its caller has cancelled it
                self.failures[began.host, type(event.error).__name__] += 1


# %%
metrics = Metrics()
with nb.trace.listen(metrics):
    run(program)

for host, seconds in metrics.seconds.items():
    print(f"connect_seconds{{host={host!r}}} sum={sum(seconds):.2f} count={len(seconds)}")
print("connect_failures", dict(metrics.failures))
print("attempts by reason", dict(metrics.attempts))

# %% [markdown]
# `slow.example` takes 290 ms where `fine.example` takes 40: the attempt delay, on every connect. That is the number
# to put an alarm on; users notice it, and no error tells of it. In a metrics library, `append` is
# `observe`, and `+= 1` is `inc`. For OpenTelemetry all of this is there: `nb.otel.instrument().start()` (extra `otel`)
# makes a span of each race, look-up, TCP and TLS handshake, with histograms of how long they take.
#
# ## A picture of the worst
#
# `record` keeps the last races of a block, a hundred by default. A summary, or the pictures of those that were slow,
# can go wherever reports of errors go: `save` writes text, SVG, HTML, qlog and JSON. A summary is by family, or by
# whatever one asks; where most have failed is the first:

# %%
with nb.record(keep=100) as recording:
    run(program)
nb.summarize(recording, by=lambda race: race.host)

# %%
slowest = max(recording, key=lambda race: race.timeline.duration)
print(slowest)

# %% [markdown]
# An error that was caught late still knows its race: `error.attempts` is data, `error.primary_error` the failure that
# says most, and it survives pickling, so that it can cross processes.

# %% [markdown]
# ## Try
#
# - Let the tracer raise for one host. What do the log and the other races say?
# - Write a JSON line for each event: `recording.save("races.jsonl")`.
# - Summarize by name server, by hour (`race.wall_time`), by the reason of the last attempt.
# - Measure what a tracer costs: `python -m tests.benchmarks literal traced`, in the repository.
