"""What the warm parent of the workers holds: all that work needs, imported before anything is forked from it.

Nothing of it is garbage, so none is looked for meanwhile (a sixth of the time), nor in a worker later: a collection
would touch, and so copy, every page that workers share with their parent.
"""

from __future__ import annotations

import gc
import importlib

gc.disable()
importlib.import_module("daemon.prepare")
gc.freeze()
gc.enable()
