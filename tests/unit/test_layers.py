"""The order in which modules may import each other, and that our names are our own."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Each module may import those on earlier lines, and its neighbours only where a package says so itself.
ORDER = (
    "validators.errors validators.model validators.pipelined validators.suggest validators.sentences",
    "validators.formulas validators.kinds validators.texts validators.parsing validators.wording",
    "validators.casting validators.days validators.watching",
    "validators.rules",
    "validators.schema validators.matching validators.contract",
    "validators.loading validators.evaluating validators.duplicates validators.checking",
    "validators.metrics validators.events",
    "validators.readers",
    "validators.judging",
    "validators.files",
    "validators",
    "daemon",
    "daemon.errors",
    "daemon.model",
    "daemon.settings",
    "daemon.complaints daemon.tally daemon.lines",
    "daemon.config daemon.systemd daemon.logs daemon.reports daemon.datafile daemon.quoting daemon.units",
    "daemon.statistics daemon.feeds daemon.pages daemon.terminal daemon.rejects",
    "daemon.sources daemon.stores daemon.ledger daemon.quarantine daemon.staging",
    "daemon.landing",
    "daemon.prepare",
    "daemon.workers",
    "daemon.ingest daemon.intake daemon.tidying",
    "daemon.loop",
    "daemon.app",
    "daemon.commands",
    "daemon.cli",
    "daemon.__main__",
)


def test_daemon_and_validators_are_those_of_this_checkout():
    """Both names also belong to packages on the index; an environment with one of those must not win."""
    for name in ("daemon", "validators"):
        module = importlib.import_module(name)
        assert module.__file__ is not None
        assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


@pytest.mark.parametrize("path", sorted([*ROOT.glob("daemon/**/*.py"), *ROOT.glob("validators/**/*.py")]), ids=str)
def test_imports_run_one_way(path: Path):
    """A module imports only what stands before it on the way that a file takes."""
    name = _name(path)
    late = [used for used in _imported(path) if _layer(used) > _layer(name)]
    assert not late, f"{name} imports {late}, which stand after it"


def test_validators_import_nothing_from_the_daemon():
    """They are used alone, in a notebook."""
    for path in ROOT.glob("validators/**/*.py"):
        assert not [used for used in _imported(path) if used.split(".")[0] == "daemon"], path


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(name: str) -> int:
    while True:
        for number, line in enumerate(ORDER):
            if name in line.split():
                return number
        assert "." in name, f"{name} has no place in the order"
        name = name.rpartition(".")[0]


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in {"daemon", "validators"}:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists()
                yield full if is_module or (ROOT / full.replace(".", "/")).is_dir() else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in {"daemon", "validators"})
