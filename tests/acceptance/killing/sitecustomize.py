"""Kills the daemon at a named step of its code, or writes down what it does; no line of this is in `daemon`.

Python imports a module of this name at every start, so whoever has this folder on PYTHONPATH gets it: the daemon, the
warm parent of its workers, and by their fork the workers. Without the variables below it does nothing. It imports only
what Python has imported anyway, and wraps a step when the step's module is imported, which it does not hasten.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

#: Where to die: `module:Class.method moment number`; the moment is `before` or `after` of the call of that number.
KILL = "KILLING_AT"
#: The file that grows by a byte with each such call, and the one that says that the daemon was killed.
CALLS, REACHED = "KILLING_CALLS", "KILLING_REACHED"
#: The file that gets a line for each step of KILLING_STEPS (`;` between them), and for what is done to the disk.
RECORD, STEPS = "KILLING_RECORD", "KILLING_STEPS"
#: The daemon's process id, which the first process of them all, the daemon, leaves for the others.
DAEMON = "KILLING_DAEMON"

Wrap = Callable[[str, Callable[..., Any]], Callable[..., Any]]


class Steps(MetaPathFinder):
    """Finds modules as Python does, and wraps the wanted steps of those that it finds."""

    def __init__(self, wanted: Sequence[str], wrap: Wrap) -> None:
        """`wanted` are steps as `module:Class.method` or `module:function`."""
        self._wrap = wrap
        self._wanted: dict[str, list[str]] = {}
        for step in wanted:
            self._wanted.setdefault(step.partition(":")[0], []).append(step)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the module's spec with a loader that wraps; None for modules without a wanted step."""
        steps = self._wanted.get(fullname)
        spec = PathFinder.find_spec(fullname, path, target) if steps else None
        if spec is None or spec.loader is None or steps is None:
            return None
        execute = spec.loader.exec_module

        def wrapping(module: ModuleType) -> None:
            execute(module)
            for step in steps:
                self._replace(module, step)

        spec.loader.exec_module = wrapping  # type: ignore[method-assign]
        return spec

    def _replace(self, module: ModuleType, step: str) -> None:
        *owners, name = step.partition(":")[2].split(".")
        owner = functools.reduce(getattr, owners, module)
        setattr(owner, name, self._wrap(step, getattr(owner, name)))


# ---------------------------------------------------------------- KILLING


def killing(at: str) -> Steps:
    """Have the daemon killed at one step."""
    wanted, moment, number = at.split()

    def wrap(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            dies = _call_number() == int(number)
            if dies and moment == "before":
                _die(f"before {step}")
            result = function(*args, **kwargs)
            if dies and moment == "after":
                _die(f"after {step}")
            return result

        return wrapped

    return Steps([wanted], wrap)


def _call_number() -> int:
    """Count a call; calls of all processes count together."""
    calls = os.open(os.environ[CALLS], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(calls, b".")
        return os.lseek(calls, 0, os.SEEK_CUR)
    finally:
        os.close(calls)


def _die(where: str) -> None:
    """Kill the daemon, and this process too where it is another one: it must not get any further."""
    with open(os.environ[REACHED], "w", encoding="utf-8") as reached:  # noqa: PTH123
        reached.write(where)
    os.kill(int(os.environ[DAEMON]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
    # A signal to another process may take its time; nothing is to happen before this process has got its own.
    time.sleep(60)


# ---------------------------------------------------------------- RECORDING


def recording(path: str, steps: Sequence[str]) -> Steps:
    """Have lines written: `begin STEP` with its paths and `end STEP`, and for the disk `fsync PATH` and the like."""
    lines = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(line: str) -> None:
        os.write(lines, f"{line}\n".encode())

    def wrap(step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            paths = [str(each) for each in args if isinstance(each, str | os.PathLike)]
            write("\t".join([f"begin {step}", *paths]))
            result = function(*args, **kwargs)
            write(f"end {step}")
            return result

        return wrapped

    _record_disk(write)
    return Steps(steps, wrap)


def _record_disk(write: Callable[[str], None]) -> None:
    def told(name: str, say: Callable[..., str]) -> None:
        function = getattr(os, name)

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            line = f"{name} {say(*args)}"
            result = function(*args, **kwargs)
            write(line)
            return result

        setattr(os, name, wrapped)

    told("fsync", lambda descriptor: os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
    told("sync", lambda: "")
    told("mkdir", lambda path, *_: os.path.abspath(path))  # noqa: PTH100
    for name in ("rename", "replace"):
        told(name, lambda source, target: f"{os.path.abspath(source)}\t{os.path.abspath(target)}")  # noqa: PTH100
    for name in ("unlink", "remove"):
        told(name, lambda path, **_: os.fspath(path))


if KILL in os.environ or RECORD in os.environ:
    os.environ.setdefault(DAEMON, str(os.getpid()))
if KILL in os.environ:
    sys.meta_path.insert(0, killing(os.environ[KILL]))
if RECORD in os.environ:
    sys.meta_path.insert(0, recording(os.environ[RECORD], os.environ[STEPS].split(";")))
