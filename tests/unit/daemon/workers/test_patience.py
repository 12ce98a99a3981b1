"""A process whose patience ends is ended, whatever it does; one that is in time is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from daemon.workers.patience import GAVE_UP

ROOT = Path(__file__).parents[4]


def ended(body: str, seconds: float | None = 0.2) -> int:
    """Return the exit code of a process that does this with so much patience."""
    program = (
        "import re, signal, time\n"
        "import daemon.workers.patience as module\nfrom daemon.workers.patience import Patience\n"
        f"module.READING_SECONDS = 0.0\npatience = Patience({seconds})\n{body}"
    )
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False, timeout=30).returncode


@pytest.mark.parametrize(
    "work",
    [
        "time.sleep(20)",
        "\n    while True: pass",
        "re.match('(a+)+$', 'a' * 40 + 'b')",
        "\n    try: time.sleep(20)\n    except BaseException: time.sleep(20)",
    ],
    ids=["waiting", "a loop", "code in C that holds everything", "one that catches all"],
)
@pytest.mark.parametrize("step", ["reading", "checking"])
def test_what_takes_too_long_is_ended(step: str, work: str) -> None:
    assert ended(f"with patience.{step}(): {work}") == GAVE_UP


def test_what_is_in_time_goes_on_and_what_is_not_timed_may_take_longer() -> None:
    assert ended("with patience.reading(): pass\nwith patience.checking(): pass\ntime.sleep(0.5)") == 0


def test_an_error_ends_the_step_too() -> None:
    assert ended("try:\n with patience.checking(): raise KeyError\nexcept KeyError: time.sleep(0.5)") == 0


def test_without_patience_to_lose_nothing_is_timed() -> None:
    assert ended("with patience.checking(): time.sleep(0.5)", None) == 0
