"""The warm parent is started without importing anything slow here; what it holds itself, `test_workers` looks at."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HEAVY = "{'pandas', 'pandera', 'pyarrow', 'numpy', 'sqlalchemy', 'pydantic', 'deltalake', 'duckdb'}"


def test_starting_it_imports_nothing_slow_here() -> None:
    program = f"import sys, daemon.warming; print(sorted({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_daemons_own_process_leaves_pandas_to_its_workers() -> None:
    """It would start a third of a second later, which it did once when modules had been moved about."""
    program = "import sys, daemon.commands.running; print(sorted({'pandas', 'pandera', 'duckdb'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_libraries_for_tests_are_not_loaded_by_it_and_can_be_by_contracts() -> None:
    program = "import sys, daemon.workers.preloaded; print('hypothesis' in sys.modules); import hypothesis"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_what_it_holds_has_asked_arrow_for_no_memory() -> None:
    """Arrow's allocator reserves a gigabyte of addresses at the first byte, which count against a worker's limit."""
    program = "import daemon.workers.preloaded, pyarrow; print(pyarrow.default_memory_pool().max_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "0"
