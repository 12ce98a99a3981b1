"""The command line itself: quick to answer, clear when it is misused, the same names as the code's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from daemon import __version__, cli
from daemon.cli import asking
from daemon.model import State
from daemon.settings import LogSettings

ROOT = Path(__file__).parents[4]
COMMANDS = ("run", "check", "status", "feeds", "drops", "config", "retry", "compact")
QUARANTINE = ("list", "show", "release", "waive", "discard")
#: What `--help` must not wait for.
HEAVY = ("pandas", "pandera", "pyarrow", "numpy", "sqlalchemy", "pydantic", "structlog", "duckdb", "deltalake", "rich")
#: Processor seconds of `--help`, the interpreter's own start included; the aim is 0.15 on an idle machine.
HELP_SECONDS = 0.4


def blobdrop(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if not key.startswith("BLOBDROP_")}
    return subprocess.run(
        [sys.executable, "-m", "daemon", *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd or ROOT,
        env={**environ, "PYTHONPATH": str(ROOT)},
    )


def test_help_imports_nothing_heavy_and_is_quick() -> None:
    script = (
        "import sys, resource, daemon.cli\n"
        "try: sys.argv = ['blobdrop', '--help']; daemon.cli.main()\n"
        "except SystemExit: pass\n"
        "usage = resource.getrusage(resource.RUSAGE_SELF)\n"
        f"print([name for name in {HEAVY} if name in sys.modules], usage.ru_utime + usage.ru_stime, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    heavy, seconds = done.stderr.rsplit(" ", 1)

    assert heavy == "[]"
    assert float(seconds) < HELP_SECONDS
    for command in (*COMMANDS, "quarantine"):
        assert f"\n  {command} " in done.stdout
    assert "Exit codes: 0 fine, 1 the data has problems" in done.stdout


@pytest.mark.parametrize(
    "command",
    [*((command,) for command in COMMANDS), *(("quarantine", command) for command in QUARANTINE)],
    ids=" ".join,
)
def test_each_command_explains_itself_with_examples_and_takes_a_configuration(command: tuple[str, ...]) -> None:
    shown = blobdrop(*command, "--help")

    assert shown.returncode == 0
    assert shown.stdout.startswith(f"Usage: blobdrop {' '.join(command)} ")
    assert f"\n  Examples:\n\n    blobdrop {' '.join(command)}" in shown.stdout
    assert "--config FILE" in shown.stdout
    assert "--json" in shown.stdout


def test_no_help_line_of_a_command_is_cut() -> None:
    shown = blobdrop("--help").stdout

    assert "..." not in shown.partition("Commands:")[2]


def test_the_version_is_that_of_the_package() -> None:
    assert blobdrop("--version").stdout == f"blobdrop {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("statsu",), "No such command 'statsu'. Did you mean 'status'?"),
        (("run", "--onec"), "No such option: --onec"),
        (("drops", "--state", "lost"), "'lost' is not one of 'found', 'working', 'ingested'"),
        (("drops", "--limit", "0"), "--limit"),
        (("check",), "FILE"),
        (("run", "--json"), "blobdrop: --json is for the summary of run --once; for log lines in JSON"),
        (("retry",), "blobdrop: name one drop, or give --all-failed"),
        (("retry", "x", "--all-failed"), "blobdrop: name one drop, or give --all-failed"),
        (("status", "--config", "nowhere.toml"), "blobdrop: --config nowhere.toml: there is no such file"),
        (("--config", "nowhere.toml", "status"), "blobdrop: BLOBDROP_CONFIG nowhere.toml: there is no such file"),
    ],
)
def test_misuse_is_a_usage_error_with_one_clear_message(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    done = blobdrop(*arguments, cwd=tmp_path)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_options_are_those_of_the_code() -> None:
    assert get_args(cli.State) == tuple(state.value for state in State)
    assert get_args(cli.Format) == get_args(LogSettings.model_fields["format"].annotation)
    assert get_args(cli.Level) == get_args(LogSettings.model_fields["level"].annotation)


def test_an_error_prints_nothing_that_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    asking.tell("first \x1b[31m\nsecond \udcff")

    assert capsys.readouterr().err == "blobdrop: first \\x1b[31m\n  second \\udcff\n"


def test_a_reader_that_has_had_enough_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m daemon config | true"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    assert done.stderr == ""
