"""The unit and its installer, without a booted systemd."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = DEPLOY / "blobdrop.service"
#: The most that `systemd-analyze security` may find exposed, times ten.
EXPOSURE = 15

needs_analyze = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], check=False, capture_output=True, text=True)


# ---------------------------------------------------------------- THE UNIT


@needs_analyze
def test_the_unit_is_as_systemd_wants_it(tmp_path: Path) -> None:
    """What it starts is replaced by something that is there; everything else stands as it is."""
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"(?m)^ExecStart=.*", "ExecStart=/bin/true", UNIT.read_text()))
    done = analyze("verify", unit)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
def test_the_unit_exposes_little() -> None:
    done = analyze("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", UNIT)
    assert done.returncode == 0, done.stdout


def test_each_line_of_hardening_has_its_reason() -> None:
    _, _, hardening = UNIT.read_text().partition("# ---- what it may not do")
    paragraphs = hardening.partition("[Install]")[0].split("\n\n", 1)[1].strip().splitlines()
    assert paragraphs[0].startswith("# ")
    runs = re.findall(r"(?m)(?:^[^#\n].*\n?)+", "\n".join(paragraphs))
    longest = max(runs, key=lambda run: run.count("\n"))
    assert longest.count("\n") <= 6, f"no reason is near all of these:\n{longest}"


def test_what_opens_a_container_is_loaded_under_the_names_that_the_daemon_looks_for() -> None:
    from_unit = re.findall(r"(?m)^LoadCredential=(AZURE_[A-Z_]+):", UNIT.read_text())
    source = (DEPLOY.parent / "daemon" / "cloud" / "credentials.py").read_text()
    assert from_unit == re.findall(r'"(AZURE_STORAGE_[A-Z_]+)"', source)


# ---------------------------------------------------------------- THE INSTALLER


def test_shellcheck_finds_nothing() -> None:
    if not (shellcheck := shutil.which("shellcheck")):
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, DEPLOY / "install.sh"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose lock has nothing but what builds it, so that installing takes seconds."""
    made = tmp_path / "checkout"
    for package in ("daemon", "validators"):
        shutil.copytree(DEPLOY.parent / package, made / package, ignore=shutil.ignore_patterns("__pycache__"))
    (made / "deploy").mkdir()
    ours = ("install.sh", "blobdrop.service", "blobdrop.toml", "alerts.yml", "grafana.json")
    for name in (*(f"deploy/{each}" for each in ours), "pyproject.toml", "README.md"):
        shutil.copy(DEPLOY.parent / name, made / name)
    lock = (DEPLOY / "requirements.lock").read_text()
    builds = re.findall(r"(?m)^setuptools==(?:.*\n)(?:[ ].*\n)*", lock)
    (made / "deploy" / "requirements.lock").write_text("".join(builds))
    return made


def install(checkout: Path, root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command: list[str | Path] = [checkout / "deploy" / "install.sh", "--root", root, *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environ)


def system_python() -> str:
    """Return the Python of the system, where it can make environments; else say why the test is left out."""
    python = "/usr/bin/python3"
    able = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
    if subprocess.run([python, "-c", able], check=False, capture_output=True).returncode:
        pytest.skip(f"{python} is older than 3.11, or has no venv")
    return python


@pytest.mark.slow
def test_it_installs_again_and_away_and_leaves_what_is_the_sites_own(checkout: Path, tmp_path: Path) -> None:
    system_python()
    root = tmp_path / "a root"
    root.mkdir()
    first = install(checkout, root)
    assert first.returncode == 0, first.stderr
    program = root / "opt" / "blobdrop"
    command = (program / "venv" / "bin" / "blobdrop").read_text()
    assert str(root) not in command, "it runs where it will be"
    assert re.search(r"(#!|exec' \")/opt/blobdrop/venv-[0-9a-f]{12}/bin/python", command)
    assert list(program.glob("venv/lib/*/site-packages/daemon/__pycache__/app.*.pyc")), "bytecode is compiled"
    assert (root / "usr" / "local" / "bin" / "blobdrop").readlink() == Path("/opt/blobdrop/venv/bin/blobdrop")
    assert (root / "etc" / "systemd" / "system" / UNIT.name).read_text() == UNIT.read_text()

    settings = root / "etc" / "blobdrop" / "blobdrop.toml"
    written = tomllib.loads(settings.read_text())
    assert written["source"] == {"url": "/var/lib/blobdrop/drops"}
    assert written["ledger"] == {"url": "sqlite:////var/lib/blobdrop/ledger.db"}
    assert {written[section]["url"] for section in ("store", "quarantine")} == {
        "/var/lib/blobdrop/tables",
        "/var/lib/blobdrop/quarantine",
    }

    settings.write_text("# ours\n")
    environment = (program / "venv").resolve()
    made = environment.stat().st_mtime_ns
    assert install(checkout, root).returncode == 0
    assert ((program / "venv").resolve(), environment.stat().st_mtime_ns) == (environment, made), "nothing was to do"
    assert settings.read_text() == "# ours\n"

    data = root / "var" / "lib" / "blobdrop"
    data.mkdir(parents=True)
    assert install(checkout, root, "--uninstall").returncode == 0
    assert install(checkout, root, "--uninstall").returncode == 0
    assert not program.exists()
    assert not list((root / "etc" / "systemd").rglob("blobdrop*"))
    assert settings.read_text() == "# ours\n"
    assert data.is_dir()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--rooot"], "'--rooot': there is no such option"),
        (["--root", "/nowhere/at/all"], "there is no such folder"),
        (["--python", "python9"], "there is no such program"),
        (["--python"], "there is no such program"),
    ],
)
def test_a_wrong_option_is_told_and_changes_nothing(arguments: list[str], complaint: str) -> None:
    done = subprocess.run([DEPLOY / "install.sh", *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert complaint in done.stderr
