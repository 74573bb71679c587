"""What a connect costs: a bench on which every way of connecting is measured alike; `python -m tests.benchmarks`.

The problem: absolute figures drift with the machine, its load and the weather. How we solve it: ratios. Each contender
runs in a process of its own, they take turns within each repetition, and a ratio is the median of the ratios within
repetitions. CPU time (user and system, all threads of the client) decides, or better, what does not drift at all:
system calls and user instructions, counted from outside as the difference of two loops.

The modules, from the bottom:

- `figures`: medians, spreads, ratios and fits; `cases`: what is measured; both know neither socket nor process.
- `namespaces`: the veth pair, for packets that leave the machine; it needs root.
- `place`: where everybody connects to: the servers (`server.py`, `server.c`, `name_server.py`), the full queue, what is
  compiled.
- `on_trio`, `on_asyncio`, `blocking`: one function for each way of connecting, `connect.c` and `connect.go` beside
  them; `contenders`: the table of all.
- `worker`: the process of one contender; `measuring`: who starts workers and lets them take turns.
- `memory`, `startup`: what is no race among contenders; `report`, `plot`, `command`: what you see.
"""
