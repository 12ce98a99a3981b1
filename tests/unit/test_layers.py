"""The order in which modules may import each other, and that our names are our own."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Each module may import those on earlier lines, and its neighbours only where a package says so itself.
ORDER = (
    "validators validators.errors validators.model validators.pipelined validators.suggest",
    "validators.texts validators.watching validators.shortcuts",
    "validators.formulas validators.kinds validators.loading validators.sentences",
    "validators.days validators.parsing validators.readers",
    "validators.casting",
    "validators.rules",
    "validators.digest validators.evaluating validators.matching validators.uniqueness validators.wording",
    "validators.trials",
    "validators.schema validators.wholedrop",
    "validators.checking validators.clocks validators.contract validators.sampling",
    "validators.judging validators.metrics validators.signals",
    "validators.events validators.lateness validators.rejudging",
    "validators.files",
    "validators.frames",
    "daemon daemon.at_once daemon.digesting daemon.durable daemon.scratch daemon.stopping daemon.systemd",
    "daemon.errors daemon.measures daemon.warming",
    "daemon.model",
    "daemon.days.bounds daemon.days.restating daemon.decisions daemon.keys daemon.measures.queries",
    "daemon.days.counts daemon.markers",
    "daemon.cloud daemon.signals",
    "daemon.lines daemon.lineup daemon.reports daemon.settings daemon.sources daemon.tally",
    "daemon.places daemon.telling",
    "daemon.cabinets daemon.days.asked",
    "daemon.ledger",
    "daemon.feeds daemon.logs daemon.staging",
    "daemon.config daemon.intake daemon.scopes daemon.stores",
    "daemon.quarantine",
    "daemon.contracts daemon.landing daemon.revisions daemon.salvage daemon.workers.killable daemon.workers.patience",
    "daemon.days.figures daemon.prepare daemon.signals.files",
    "daemon.reviewing",
    "daemon.ailing daemon.workers",
    "daemon.watching",
    "daemon.claims daemon.parts daemon.receipts daemon.retention daemon.settling daemon.signals.reading",
    "daemon.superseding daemon.tidying",
    "daemon.committing daemon.notifying daemon.setbacks daemon.vetting",
    "daemon.deciding daemon.recovery",
    "daemon.days daemon.ingest daemon.observed daemon.ready",
    "daemon.loop",
    "daemon.wiring",
    "daemon.app",
    "daemon.commands",
    "daemon.cli",
    "daemon.__main__",
)
#: The line of each.
PLACES = {place: number for number, line in enumerate(ORDER) for place in line.split()}


def test_daemon_and_validators_are_those_of_this_checkout() -> None:
    """Both names also belong to packages on the index; an environment with one of those must not win."""
    for name in ("daemon", "validators"):
        module = importlib.import_module(name)
        assert module.__file__ is not None
        assert Path(module.__file__).resolve() == ROOT / name / "__init__.py"


@pytest.mark.parametrize(
    "path",
    sorted([*ROOT.glob("daemon/**/*.py"), *ROOT.glob("validators/**/*.py")]),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_run_one_way(path: Path) -> None:
    """A module imports only what stands before it on the way that a file takes."""
    name = _name(path)
    late = [used for used in _imported(path) if _layer(used) > _layer(name)]
    assert not late, f"{name} imports {late}, which stand after it"


def test_validators_import_nothing_from_the_daemon() -> None:
    """They are used alone, in a notebook."""
    for path in ROOT.glob("validators/**/*.py"):
        assert not [used for used in _imported(path) if used.split(".")[0] == "daemon"], path


def test_the_map_of_the_daemon_names_what_there_is() -> None:
    """Newcomers begin with it: `name` is a module, `name/` a package."""
    text = str(importlib.import_module("daemon").__doc__)
    names = {*re.findall(r"`([a-z]+/?)`", text), *re.findall(r"(?m)^    ([a-z]+/?) ", text)} - {"validators"}
    assert len(names) > 1
    paths = [ROOT / "daemon" / (f"{name}__init__.py" if name.endswith("/") else f"{name}.py") for name in names]
    assert not [path for path in paths if not path.is_file()]


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _layer(name: str) -> int:
    """Return the line on which a module stands; without one of its own it stands where its package does."""
    place = name
    while place not in PLACES:
        place = place.rpartition(".")[0]
        assert "." in place, f"{name} has no place in the order"
    return PLACES[place]


def _imported(path: Path) -> Iterator[str]:
    """Yield our own modules that are imported at run time."""
    nodes: list[ast.stmt] = list(ast.parse(path.read_text(encoding="utf-8")).body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            yield from (_module(f"{node.module}.{alias.name}") or node.module for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        nodes.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))


def _is_ours(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in {"daemon", "validators"}


def _module(name: str) -> str | None:
    path = ROOT / name.replace(".", "/")
    return name if path.is_dir() or path.with_suffix(".py").is_file() else None
