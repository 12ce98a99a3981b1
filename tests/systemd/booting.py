"""A machine of its own for tests of the service: systemd on this one's root, with a layer that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

CHECKOUT: Final = Path(__file__).resolve().parents[2]
#: What has no place in a machine that lives for a minute.
MASKED: Final = ("apt-daily.timer", "apt-daily-upgrade.timer", "cron.service", "console-getty.service", "getty.target")
TOOLS: Final = ("systemd-nspawn", "nsenter", "mount", "setsid")
UNIT: Final = "blobdrop.service"


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A booted machine: its root as seen from here, what was written over this machine's, and its first process."""

    root: Path
    written: Path
    leader: int

    @property
    def state(self) -> Path:
        """The service's state directory; systemd keeps that of a dynamic user in a folder that is root's alone."""
        return self.root / "var" / "lib" / "private" / "blobdrop"

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the machine; return what it printed."""
        entering = ["nsenter", "-t", str(self.leader), "-a"]
        return subprocess.run([*entering, *command], check=check, capture_output=True, text=True, timeout=90).stdout

    def property(self, name: str) -> str:
        """Return what systemd knows of the service."""
        return self.run("systemctl", "show", "--value", "-p", name, UNIT).strip()

    def journal(self) -> list[dict[str, Any]]:
        """Return what the daemon has logged, as the journal has it."""
        lines = self.run("journalctl", "-u", UNIT, "-o", "json", "--no-pager", "_COMM=blobdrop").splitlines()
        return [json.loads(line) for line in lines]

    def events(self) -> list[dict[str, Any]]:
        """Return the daemon's own lines."""
        messages = (str(entry["MESSAGE"]) for entry in self.journal())
        return [json.loads(message) for message in messages if message.startswith("{")]

    def configure(self, **dropins: str) -> None:
        """Write drop-ins of the unit, and have systemd read them."""
        folder = self.root / "etc" / "systemd" / "system" / f"{UNIT}.d"
        folder.mkdir(exist_ok=True)
        for name, text in dropins.items():
            (folder / f"{name}.conf").write_text(text)
        self.run("systemctl", "daemon-reload")

    def drop(self, name: str, data: bytes) -> None:
        """Put a whole file where the daemon of the default configuration looks for drops."""
        path = self.state / "drops" / "metrics" / name
        path.parent.mkdir(exist_ok=True)
        unfinished = self.root / "var" / "lib" / "private" / "unfinished"
        unfinished.write_bytes(data)
        unfinished.chmod(0o644)
        unfinished.rename(path)

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        """Wait until something is so; else fail with the service's status."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                status = self.run("systemctl", "status", "--no-pager", "-l", "-n", "40", UNIT, check=False)
                raise AssertionError(f"waited {seconds:g} s until {what}\n{status}")
            time.sleep(0.1)


@contextmanager
def booted(folder: Path, kept: Path, name: str) -> Iterator[Machine]:
    """Install blobdrop into a root of its own and boot that.

    Args:
        folder: for what is thrown away.
        kept: for the installed program, which the next time need not be installed again.
        name: the machine's, such as no other has.
    """
    root = folder / "root"
    with _overlay(folder / "layers", root, kept):
        subprocess.run([CHECKOUT / "deploy" / "install.sh", "--root", root], check=True)
        units = root / "etc" / "systemd" / "system"
        for masked in MASKED:
            (units / masked).unlink(missing_ok=True)
            (units / masked).symlink_to("/dev/null")
        (root / "etc" / "machine-id").write_text("")
        (root / "etc" / "fstab").unlink(missing_ok=True)
        with _leading(root, folder / "nspawn.log", name) as leader:
            machine = Machine(root=root, written=folder / "layers" / "upper", leader=leader)
            machine.wait(lambda: Path(f"/proc/{leader}/root/run/systemd/private").exists(), "systemd answers")
            machine.run("systemctl", "is-system-running", "--wait", check=False)
            yield machine


@contextmanager
def _overlay(layers: Path, root: Path, kept: Path) -> Iterator[None]:
    """Mount this machine's root with a layer in memory over it, and the installed program in its place."""
    for each in (layers, root, kept):
        each.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", layers], check=True)
    try:
        for name in ("upper", "work"):
            (layers / name).mkdir()
        options = f"lowerdir=/,upperdir={layers}/upper,workdir={layers}/work"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, root], check=True)
        program = root / "opt" / "blobdrop"
        program.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", kept, program], check=True)
        yield
    finally:
        subprocess.run(["umount", "-R", root], check=False)
        subprocess.run(["umount", layers], check=False)


@contextmanager
def _leading(root: Path, log: Path, name: str) -> Iterator[int]:
    """Boot, in a control group of its own; yield the first process. At the end it is as if the power had gone."""
    tree = Path("/sys/fs/cgroup/unified")
    group = (tree if tree.is_dir() else tree.parent) / name
    group.mkdir(exist_ok=True)
    script = f'echo $$ > {group}/cgroup.procs; exec setsid systemd-nspawn "$@"'
    options = ["-D", str(root), "-b", "--register=no", "--keep-unit", "--console=pipe", "--quiet", "-M", name]
    with log.open("wb") as output:
        nspawn = subprocess.Popen(
            ["sh", "-c", script, "sh", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
        )
    try:
        leader = _child(nspawn, log)
        try:
            yield leader
        finally:
            os.kill(leader, signal.SIGKILL)
    finally:
        nspawn.terminate()
        nspawn.wait(30)
        for each in ("unified", "systemd", ""):
            _remove(Path("/sys/fs/cgroup", each, name))


def _child(nspawn: subprocess.Popen[bytes], log: Path) -> int:
    """Return the machine's first process; nspawn has others before, for a moment."""
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    end = time.monotonic() + 30
    while nspawn.poll() is None and time.monotonic() < end:
        for child in children.read_text().split():
            with suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        time.sleep(0.05)
    raise AssertionError(f"systemd-nspawn did not boot: {log.read_text(errors='replace')}")


def _remove(group: Path) -> None:
    for folder in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True) if group.exists() else ():
        folder.rmdir()
    if group.exists():
        group.rmdir()


def missing() -> str:
    """Say what is missing to boot a machine here; empty where nothing is."""
    tools = [tool for tool in TOOLS if not shutil.which(tool)]
    if tools:
        return f"{', '.join(tools)} cannot be found: install systemd-container"
    return "" if os.geteuid() == 0 else "only root can boot a machine"
