"""Chaos: every way to connect, disturbed in every way we know, and then a count of what is left.

`python -m tests.chaos` runs all parts; `tests/test_chaos.py` a short form of each. What must never be: an exception
that is neither of ours nor what the disturbance raised itself, an exception group, a stream that is not connected, a
socket or a task or a thread that stays, a wait that does not end.
"""
