"""Digests are those of the file's bytes, whether or not somebody waits for them."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from daemon.digesting import digest, digesting


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"x" * 3_000_000], ids=["empty", "small", "many blocks"])
def test_both_ways_give_the_files_sha256(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "drop.csv"
    path.write_bytes(content)
    with digesting(path) as found:
        assert digest(path) == hashlib.sha256(content).hexdigest()
    assert found.result() == hashlib.sha256(content).hexdigest()


def test_a_file_that_cannot_be_read_is_said_where_the_digest_is_asked_for(tmp_path: Path) -> None:
    with digesting(tmp_path / "gone.csv") as found:
        pass
    with pytest.raises(FileNotFoundError):
        found.result()


def test_only_the_digests_own_thread_gives_way(tmp_path: Path) -> None:
    (tmp_path / "drop.csv").write_bytes(b"x")
    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    with digesting(tmp_path / "drop.csv") as found:
        found.result()
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
