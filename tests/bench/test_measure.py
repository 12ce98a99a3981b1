"""What is measured of processes is what they did."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .measure import CommandFailedError, Contender, Figures, race, run
from .report import Figure, Result, Unit, as_json, table

MB = 1024**2
#: A process that holds little and starts another one that holds much, in a moment.
CHILD = f"import time; held = bytearray({200 * MB}); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.4)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"


def test_memory_counts_the_processes_that_a_command_starts(tmp_path: Path) -> None:
    done = run((sys.executable, "-c", PARENT), tmp_path, memory=True)
    assert 200 * MB < done.peak_bytes < 300 * MB
    assert done.seconds > 0.4


def test_a_command_that_fails_is_no_figure_and_its_words_are_shown(tmp_path: Path) -> None:
    with pytest.raises(CommandFailedError, match="no such thing"):
        run((sys.executable, "-c", "raise SystemExit('no such thing')"), tmp_path)


def test_settings_of_whoever_measures_do_not_reach_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BLOBDROP_SOURCE__URL", "/somewhere")
    told = run((sys.executable, "-c", "import os; print([n for n in os.environ if n[:4] == 'BLOB'])"), tmp_path)
    assert told.printed == "[]\n"


def test_contenders_take_turns_and_the_first_round_counts_for_memory_only(tmp_path: Path) -> None:
    order: list[str] = []

    def who(name: str) -> Contender:
        def command(folder: Path) -> tuple[str, ...]:
            order.append(f"{name} in a fresh folder: {not any(folder.iterdir())}")
            return ("sh", "-c", "sleep 0.1; echo 1")

        return Contender(name, command, int)

    figures = race([who("a"), who("b")], tmp_path, 2, rows=1)
    assert order == [f"{name} in a fresh folder: True" for name in "ababab"]
    assert [len(each.seconds) for each in figures.values()] == [2, 2]
    assert all(each.peak_bytes > 0 for each in figures.values())
    assert not any(tmp_path.iterdir())


def test_work_done_in_part_is_scaled_up() -> None:
    assert Figures(seconds=[1.0, 2.0, 9.0], share=0.1).median == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("value", "more", "reached"),
    [(0.5, False, "aim"), (0.9, False, "enough"), (1.2, False, "short"), (0.5, True, "short"), (1.2, True, "aim")],
)
def test_a_figure_says_how_far_it_is(value: float, more: bool, reached: str) -> None:
    wanted = {"at_least": 0.8, "aim": 1.1} if more else {"at_least": 1.1, "aim": 0.6}
    assert Figure(what="speed", value=value, unit=Unit.TIMES, more=more, **wanted).reached == reached


def test_the_table_and_the_json_hold_every_figure() -> None:
    figure = Figure(what="the script's speed", value=4.5, unit=Unit.TIMES, at_least=2.2, aim=4.0, more=True)
    result = Result(
        name="clean", work="10 rows", figures=[figure], contenders={"blobdrop": Figures([2.0], peak_bytes=300 * MB)}
    )
    shown = table([result])
    for part in ("clean", "10 rows", "the script's speed", "4.50x", "2.20x", "4.00x", "aim", "2.00 s", "300 MB"):
        assert part in shown
    written = as_json([result], {"rows": 10})
    assert written["results"][0]["figures"][0]["value"] == 4.5
    assert written["sizes"] == {"rows": 10}
    assert {"date", "machine"} <= written.keys()
