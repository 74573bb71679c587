"""Races: Happy Eyeballs itself (RFC 8305, sections 3 to 6)."""
