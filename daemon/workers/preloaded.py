"""What the warm parent of the workers holds: all that work needs, imported before anything is forked from it.

Nothing of it is garbage, so none is looked for meanwhile (a sixth of the time), nor in a worker later: a collection
would touch, and so copy, every page that workers share with their parent.
"""

from __future__ import annotations

import gc
import importlib

import pandas as pd
from pandera.backends.register_checks import register_default_check_backends

gc.disable()
for _name in ("daemon.prepare", "daemon.sources.folder", "validators.metrics", "validators.events"):
    importlib.import_module(_name)
# Else each worker would import them at its first check, and take a fifth of a second for it.
for _kind in (pd.DataFrame, pd.Series):
    register_default_check_backends(_kind)
gc.freeze()
gc.enable()
