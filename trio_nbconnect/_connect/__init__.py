"""Connects: one non-blocking connect, and the system calls below it."""
