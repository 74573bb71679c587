"""What a connect costs; see `__main__`."""
