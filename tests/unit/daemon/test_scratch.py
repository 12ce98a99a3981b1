"""Temporary files have a folder of their own, which does not outlive its process, or not for long."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CODE = """
import os, sys, tempfile
from daemon.scratch import use_scratch
use_scratch()
use_scratch()
folder = tempfile.gettempdir()
assert os.environ["TMPDIR"] == folder, folder
open(os.path.join(folder, "spilled"), "w").close()
print(folder, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def around() -> Iterator[Path]:
    """Where temporary files go; pytest's own folders have longer names than a socket's path may have."""
    with tempfile.TemporaryDirectory(prefix="bd", dir="/tmp") as folder:
        yield Path(folder)


def begun(around: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that uses a folder until its input ends; return it and the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(around)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_the_folder_goes_when_its_process_ends(around: Path) -> None:
    process, folder = begun(around)
    assert folder.parent == around
    process.communicate("\n")

    assert process.returncode == 0
    assert list(around.iterdir()) == []


def test_a_killed_process_s_folder_is_removed_by_the_next_one_and_a_living_one_s_is_not(around: Path) -> None:
    killed, left = begun(around)
    living, kept = begun(around)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert (left / "spilled").exists()
    following, own = begun(around)

    assert sorted(around.iterdir()) == sorted([kept, own])
    for process in (living, following):
        process.communicate("\n")
    assert list(around.iterdir()) == []


def test_folders_of_another_kind_are_nobody_s_business(around: Path) -> None:
    (around / "blobdrop-unique-1").mkdir()
    begun(around)[0].communicate("\n")

    assert [path.name for path in around.iterdir()] == ["blobdrop-unique-1"]


def test_where_a_socket_s_path_would_be_too_long_temporary_files_go_where_they_went(around: Path) -> None:
    deep = around / ("x" * 80)
    deep.mkdir()
    code = "import tempfile; from daemon.scratch import use_scratch; use_scratch(); print(tempfile.gettempdir())"
    env = {**os.environ, "TMPDIR": str(deep)}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    assert told.stdout.strip() == str(deep), told.stderr
    assert list(deep.iterdir()) == []
