"""Playground: a simulated network that one edits as a picture, with its race drawn below."""
