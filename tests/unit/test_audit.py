"""`make audit` tells known holes, and does not take silence for a good answer."""

from __future__ import annotations

import json
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
SKIPPED = {"name": "pandas", "skip_reason": "Dependency not found on PyPI and could not be audited: pandas (3.1)"}
SOUND = {"name": "rich", "version": "15.0", "vulns": []}
HOLE = {"name": "jinja2", "version": "3.1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["3.1.6"]}]}


@pytest.fixture
def audit() -> ModuleType:
    spec = spec_from_file_location("audit", DEPLOY / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("packages", "code", "says"),
    [
        ([SKIPPED], 0, "requirements.lock: NOT AUDITED: no database of known holes can be reached from here"),
        ([SKIPPED, SOUND], 0, "1 packages looked up, 0 known holes"),
        ([SOUND, HOLE], 1, "jinja2 3.1.0: CVE-1, mended in 3.1.6"),
        (None, 0, "osv: no such host); nothing was looked for"),
    ],
)
def test_holes_are_told_and_so_is_that_nobody_could_be_asked(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    packages: list[Any] | None,
    code: int,
    says: str,
) -> None:
    printed = "" if packages is None else json.dumps({"dependencies": packages})
    done = subprocess.CompletedProcess((), 1, stdout=printed, stderr="Traceback\nno such host")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert audit.main() == code
    said = capsys.readouterr()
    assert says in said.out + said.err


@pytest.mark.parametrize("name", ["requirements.lock", "test.lock", "bench.lock", "audit.lock"])
def test_every_package_of_a_lock_is_pinned_with_its_hashes(name: str) -> None:
    lines = (DEPLOY / name).read_text(encoding="utf-8").splitlines()
    pinned = [number for number, line in enumerate(lines) if line and line[0] not in " #"]
    assert pinned
    for number in pinned:
        assert "==" in lines[number], lines[number]
        assert "--hash=sha256:" in lines[number + 1], lines[number]
