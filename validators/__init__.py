"""Check the rows of a file or a frame against a pandera schema: strictly, exactly, every problem in one pass.

Usable alone, without the daemon: `from validators import check_file`. Importing the package costs nothing; pandas,
pandera and Arrow are imported when one of its names is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from validators.contract import Contract, load_contract
    from validators.files import check_file
    from validators.frames import check_frame
    from validators.model import Problem, Verdict

__all__ = ["Contract", "Problem", "Verdict", "check_file", "check_frame", "load_contract"]

_HOMES = {
    "Contract": "validators.contract",
    "Problem": "validators.model",
    "Verdict": "validators.model",
    "check_file": "validators.files",
    "check_frame": "validators.frames",
    "load_contract": "validators.contract",
}


def __getattr__(name: str) -> Any:
    """Import the module that owns a public name."""
    if name not in _HOMES:
        raise AttributeError(f"module 'validators' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
