"""Testing: a network in virtual time, for applications that must work on bad ones."""

from ._simulation.network import SimulatedHost, SimulatedNetwork, simulate

__all__ = [
    "SimulatedHost",
    "SimulatedNetwork",
    "simulate",
]
