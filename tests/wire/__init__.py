"""The wire: how long a connect takes on bad networks, ours and its peers', as seen on the wire."""
