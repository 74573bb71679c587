"""Resolution: who finds a host's addresses, and in which order they are tried."""
