"""What the warm parent of the workers holds: all that work needs, imported before anything is forked from it.

Nothing of it is garbage, so none is looked for meanwhile (a sixth of the time), nor in a worker later: a collection
would touch, and so copy, every page that workers share with their parent.
"""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Any, Final

#: Where it is installed, for tests, pandera imports it too, to make data up by contracts; no worker does that, and it
#: takes a tenth of the time.
_UNUSED: Final = "hypothesis"

gc.disable()
_modules: dict[str, Any] = sys.modules
_modules.setdefault(_UNUSED, None)
for _name in ("daemon.prepare", "daemon.sources.folder", "validators.metrics", "validators.events"):
    importlib.import_module(_name)
# Else each worker would import them at its first check, and take a fifth of a second for it.
_register = importlib.import_module("pandera.backends.register_checks").register_default_check_backends
for _kind in ("DataFrame", "Series"):
    _register(getattr(importlib.import_module("pandas"), _kind))
if _modules[_UNUSED] is None:
    del _modules[_UNUSED]
gc.freeze()
gc.enable()
