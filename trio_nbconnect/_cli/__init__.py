"""The command `nbconnect`."""
