"""`python -m daemon` is the command `blobdrop`."""

from __future__ import annotations

import importlib
import sys


def main() -> None:
    """Run the command line. Workers look into this module too, and are to import nothing for it."""
    if sys.argv[1:2] == ["run"] and "--help" not in sys.argv:
        # Sooner than the command line is read, which takes a while to import.
        importlib.import_module("daemon.warming").begin()
    importlib.import_module("daemon.cli").main()


if __name__ == "__main__":
    main()
