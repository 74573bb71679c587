"""Testing: a network in virtual time, for applications that must work on bad ones."""

from ._public import publish
from ._simulation.network import SimulatedHost, SimulatedNetwork, simulate, simulate_race

__all__ = [
    "SimulatedHost",
    "SimulatedNetwork",
    "simulate",
    "simulate_race",
]

publish(__name__)
