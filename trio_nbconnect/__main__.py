"""`python -m trio_nbconnect`: the command `nbconnect`."""

from __future__ import annotations

import sys

from ._cli.command import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
