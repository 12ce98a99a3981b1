"""`python -m daemon` is the command `blobdrop`."""

from __future__ import annotations

import importlib


def main() -> None:
    """Run the command line. Workers look into this module too, and are to import nothing for it."""
    importlib.import_module("daemon.cli").main()


if __name__ == "__main__":
    main()
