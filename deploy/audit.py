"""Looks for known holes in what the locks pin, with pip-audit; says so where no database of holes can be reached.

`make audit` runs it. The exit code is 1 where holes are known, else 0: also where nobody could be asked, which is said.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
#: What runs, and what the tests need beside it.
LOCKS: Final = ("requirements.lock", "test.lock")
#: Databases that are asked, the first that answers counts.
SERVICES: Final = ("pypi", "osv")
#: Characters of a reason that are shown.
SHOWN: Final = 120
NOT_AUDITED: Final = "NOT AUDITED: no database of known holes can be reached from here ({why}); nothing was looked for"


class UnreachableError(Exception):
    """Raised when a database does not answer."""


def main() -> int:
    """Audit every lock; return the exit code."""
    holes = 0
    for lock in LOCKS:
        try:
            audited, found = audit(HERE / lock)
        except UnreachableError as error:
            print(f"{lock}: {NOT_AUDITED.format(why=error)}", file=sys.stderr)
            continue
        holes += len(found)
        print(f"{lock}: {audited} packages looked up, {len(found)} known holes", *found, sep="\n  ")
    return 1 if holes else 0


def audit(lock: Path) -> tuple[int, list[str]]:
    """Return how many packages a database knows, and each hole in them in one line.

    Raises:
        UnreachableError: no database knows any of them.
    """
    reasons = []
    for service in SERVICES:
        done = subprocess.run(_command(lock, service), capture_output=True, text=True, check=False)
        if known := _known(done.stdout):
            return len(known), list(_holes(known))
        why = "it knows none of the packages" if done.stdout else done.stderr.strip().rpartition("\n")[2]
        reasons.append(f"{service}: {why[:SHOWN]}")
    raise UnreachableError("; ".join(reasons))


def _command(lock: Path, service: str) -> Sequence[str]:
    options = ("--require-hashes", "--disable-pip", "--progress-spinner", "off", "--format", "json")
    return (sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--vulnerability-service", service, *options)


def _known(printed: str) -> list[dict[str, Any]]:
    """Return the packages that the database knows: those that it does not are skipped."""
    try:
        packages: list[dict[str, Any]] = json.loads(printed)["dependencies"]
    except (ValueError, KeyError):
        return []
    return [package for package in packages if "skip_reason" not in package]


def _holes(packages: Sequence[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for hole in package["vulns"]:
            fixed = ", ".join(hole["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {hole['id']}, mended in {fixed}"


if __name__ == "__main__":
    sys.exit(main())
