"""`make demo`: drops a good file, a dirty one and one of a custom feed, runs `blobdrop run --once`, shows the outcome.

Everything is below ./var/demo, made anew each time.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
DEMO: Final = Path("var/demo")
CONFIG: Final = DEMO / "blobdrop.toml"
#: Lines of the dirty drop's report that are shown.
REPORT_LINES: Final = 24

GOOD: Final = """\
unit_id,id_type,metric_name,date,metric_value
u-1,user_id,visits,2026-03-01,3
u-2,user_id,visits,2026-03-01,0
u-1,user_id,revenue,2026-03-01,12.5
"""
DIRTY: Final = """\
unit_id,id_type,metric_name,date,metric_value
u-1,user_id,visits,2026-03-02,3
u-2,userID,visits,2026-03-02,4
u-3,user_id,visits,02.03.2026,5
u-4,user_id,visits,2026-03-02,"1,5"
u-5,user_id,,2026-03-02,NaN
u-6,user_id,visits,2026-03-02
u-7,user_id,visits,2026-03-02,7
u-8,user_id,visits,2026-03-02,8
u-9,user_id,visits,2026-03-02,9
u-10,user_id,visits,2026-03-02,10
"""
ORDERS: Final = """\
order_id;ordered_at;country;quantity;price;paid
A-0001;2026-03-01T10:15:00+01:00;DE;2;9.90;19.80
A-0002;2026-03-01T11:00:00+01:00;FR;1;120;
A-0003;2026-03-01T23:30:00-05:00;US;5;3.5;20
A-0004;2026-03-02T08:00:00+01:00;US;1;7;7
"""


def main() -> int:
    """Run the demo; 0 although the data has problems, for that is what it shows."""
    _lay_out()
    run = _blobdrop("run", "--once")
    sys.stdout.write(run.stdout)
    if run.returncode not in (0, 1):
        return run.returncode
    _show_report()
    _show_paths()
    return 0


def _lay_out() -> None:
    shutil.rmtree(DEMO, ignore_errors=True)
    for name, text in {
        "metrics/march-1.csv": GOOD,
        "acme/metrics/march-2.csv": DIRTY,
        "orders/week-9.csv": ORDERS,
    }.items():
        path = DEMO / "drops" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    for name in ("blobdrop.toml", "orders.py"):
        shutil.copyfile(HERE / "demo" / name, DEMO / name)
    _say(f"Three files lie in {DEMO / 'drops'}. Now: {_typed('run --once')}", "")


def _show_report() -> None:
    drop = next(each for each in _json("quarantine", "list") if each["feed"] == "metrics")
    report = _blobdrop("quarantine", "show", drop["drop"]).stdout.splitlines()
    _say("", f"The report on the dirty one, from: {_typed('quarantine show ' + drop['drop'])}", "")
    _say(*(f"  {line}".rstrip() for line in report[:REPORT_LINES]))
    if len(report) > REPORT_LINES:
        _say(f"  ... and {len(report) - REPORT_LINES} lines more")


def _show_paths() -> None:
    _say("", "Look around")
    for table in sorted(path for path in (DEMO / "tables").iterdir() if path.is_dir()):
        _say(f"  table       {table}")
    for page in sorted((DEMO / "quarantine").glob("*/*/*/report.html")):
        _say(f"  report      {page}", f"  its rows    {page.with_name('rejected.csv')}")
    _say(f"  everything  {_typed('status')}")


def _typed(command: str) -> str:
    """Return a command as it can be typed here, where it need not be on the PATH."""
    installed = Path(sys.executable).with_name("blobdrop")
    name = os.path.relpath(installed) if installed.exists() and not shutil.which("blobdrop") else "blobdrop"
    return f"{name} {command} --config {CONFIG}"


def _json(*arguments: str) -> Any:
    return json.loads(_blobdrop(*arguments, "--json").stdout)


def _blobdrop(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own; what it says on stderr is seen as it comes."""
    command = [sys.executable, "-m", "daemon", *arguments, "--config", str(CONFIG)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - our own command


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
