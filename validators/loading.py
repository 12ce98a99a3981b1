"""From a reference in the configuration to the thing that it names, with everything that goes wrong explained.

A contract is somebody's Python file. Whatever it raises while it is loaded is told with its file and line.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml  # type: ignore[import-untyped]
from pandera.api.checks import Check
from pandera.io.pandas_io import deserialize_schema

from validators.errors import ContractError
from validators.suggest import did_you_mean

_YAML = (".yaml", ".yml")
_OURS = str(Path(__file__).parent) + os.sep
_FORMS = "`module:name`, `path/to/file.py:name`, or a pandera YAML file"


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a reference names."""

    thing: Any
    #: Its own name, for reports.
    name: str
    #: The file it was read from, for its digest; empty where there is none.
    source: bytes


@contextmanager
def named(reference: str, base: Path) -> Iterator[Named]:
    """Load what a reference names, for the length of a `with` block in which its code may be called.

    Args:
        reference: `module:name`, `path/to/file.py:name`, or a pandera YAML file.
        base: the folder that relative paths start from; modules are looked for there too.

    Raises:
        ContractError: naming the reference, the cause, and what to do. The same for whatever the block raises.
    """
    try:
        with _opened(reference, base) as found:
            yield found
    except ContractError as error:
        said = str(error)
        raise ContractError(said if said.startswith("contract '") else f"contract '{reference}': {said}") from error
    except (Exception, SystemExit) as error:
        raise ContractError(f"contract '{reference}': {blame(error)}. Mend it and try again") from error


@contextmanager
def _opened(reference: str, base: Path) -> Iterator[Named]:
    path, colon, name = reference.rpartition(":")
    if reference.endswith(_YAML):
        yield _from_yaml(base / Path(reference).expanduser())
    elif not colon or not path or not name:
        hint = f"; add the name of the schema in it: `{reference}:Name`" if reference.endswith(".py") else ""
        raise ContractError(f"it is not {_FORMS}{hint}")
    elif path.endswith(".py"):
        with _from_file(base / Path(path).expanduser()) as module:
            yield Named(thing=_named(module, name), name=name, source=_source(module))
    else:
        with _importable(base):
            module = _imported(path, base)
            yield Named(thing=_named(module, name), name=name, source=_source(module))


def _from_yaml(path: Path) -> Named:
    source = _present(path).read_bytes()
    try:
        said = yaml.safe_load(source)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ContractError(f"{path} is not YAML: {error}") from error
    if not isinstance(said, dict) or not isinstance(said.get("columns"), dict):
        raise ContractError(f"{path} is not a schema of pandera: it names no columns. Write it with schema.to_yaml()")
    if (api := said.get("api", "pandas")) != "pandas":
        raise ContractError(f"{path} is a schema for {api}. Write it with `import pandera.pandas as pa`")
    schema = deserialize_schema(said)  # type: ignore[no-untyped-call]
    return Named(thing=schema, name=schema.name or path.stem, source=source)


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ContractError(
            f"there is no file {path}. Check the path; relative ones start from the folder of the configuration"
        )
    return path.resolve()


@contextmanager
def _from_file(path: Path) -> Iterator[ModuleType]:
    """Import a file under a module name of its own, so that files of the same name do not meet."""
    path = _present(path)
    name = f"blobdrop_contract_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ContractError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    with _importable(path.parent, first=True), _own_modules(path.parent, name):
        # pandera looks its annotations up in sys.modules, now and whenever the model is used.
        sys.modules[name] = module
        spec.loader.exec_module(module)
        yield module


def _imported(name: str, base: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ContractError(
            f"there is no module '{error.name}', neither installed nor in {base.resolve()}. "
            "Check the name, or give a file as `path/to/file.py:name`"
        ) from error


@contextmanager
def _importable(folder: Path, *, first: bool = False) -> Iterator[None]:
    """Have Python look for modules in a folder too, for the length of a `with` block."""
    entry = str(folder.resolve())
    sys.path.insert(0 if first else len(sys.path), entry)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(entry)


@contextmanager
def _own_modules(folder: Path, keep: str) -> Iterator[None]:
    """Forget, at the end, a contract's neighbours: another contract's may have their names."""
    before, inside = set(sys.modules), str(folder.resolve())
    try:
        yield
    finally:
        for name in set(sys.modules) - before - {keep}:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(f"{inside}{os.sep}") and not _of_a_library(file):
                del sys.modules[name]
        _forget_checks(keep)


def _forget_checks(keep: str) -> None:
    """Forget the checks that modules which are forgotten, or run again next time, have registered with pandera.

    pandera knows such a check by its name alone and refuses a second one, so that two feeds could not share a file. A
    schema at hand has its checks already.
    """
    registered = Check.REGISTERED_CUSTOM_CHECKS
    for name, method in list(registered.items()):
        by = _registered_by(method)
        if by == keep or (by and by not in sys.modules):
            del registered[name]


def _registered_by(method: Any) -> str:
    """Return the module of a check that was registered with pandera; empty where it cannot be seen."""
    inner = inspect.unwrap(getattr(method, "func", method))
    function = inspect.getclosurevars(inner).nonlocals.get("check_fn") if inspect.isfunction(inner) else None
    return getattr(function, "__module__", "") or ""


def _named(module: ModuleType, name: str) -> Any:
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            have = [each for each in vars(thing) if not each.startswith("_")]
            near = did_you_mean(part, have)
            shown = re.sub("^blobdrop_contract_.*", Path(getattr(module, "__file__", None) or "").name, module.__name__)
            raise ContractError(f"{shown} has no '{name}'; {near or 'check the name after the colon'}")
        thing = getattr(thing, part)
    return thing


def _source(module: ModuleType) -> bytes:
    path = Path(getattr(module, "__file__", None) or "")
    return path.read_bytes() if path.is_file() else b""


def called(function: Any, options: Mapping[str, Any]) -> Any:
    """Call a contract's function with the feed's options.

    Raises:
        ContractError: an option is not one of its own, or one that it needs is missing.
    """
    signature = inspect.signature(function)
    known = [
        name for name, each in signature.parameters.items() if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
    ]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values())
    for name in options:
        if name not in known and not takes_any:
            have = f"its options are {', '.join(known)}" if known else "it takes none"
            raise ContractError(f"it has no option '{name}'; {did_you_mean(name, known) or have}")
    for name in known:
        if signature.parameters[name].default is inspect.Parameter.empty and name not in options:
            raise ContractError(f"it needs the option '{name}'. Set it in the feed's options")
    return function(**options)


def blame(error: BaseException) -> str:
    """Say what was raised, and where: the file and line that are not a library's."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    said = f"{type(error).__name__}: {error}".rstrip(": .")
    where = blamed_line(error)
    return f"{said} ({where})" if where else said


def blamed_line(error: BaseException) -> str:
    """Return the file and line that an exception comes from and that are no library's; empty where there are none."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not _of_a_library(frame.filename)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def _of_a_library(filename: str) -> bool:
    """Tell whether a file is Python's, a package's, or our own, and not its author's whose contract is loaded."""
    inside = ("site-packages", "dist-packages", f"lib{os.sep}python{sys.version_info.major}.{sys.version_info.minor}")
    is_compiled = filename.endswith((".pyx", ".pxi"))  # Cython names its sources by paths of their own.
    return is_compiled or filename.startswith(("<", _OURS)) or any(part in filename for part in inside)
