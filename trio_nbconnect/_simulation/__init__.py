"""Simulation: a network in virtual time."""
