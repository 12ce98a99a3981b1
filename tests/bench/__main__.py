"""`python -m tests.bench`: measures, prints the table, and writes JSON when asked to. `make bench ROWS=10000000`."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import sys
import sysconfig
import tempfile
from pathlib import Path

from .benches import BENCHES, Ground
from .measure import ROOT
from .report import Result, as_json, machine, table


def main() -> None:
    """Run the benches that were asked for. Slow figures are no error: the table says what falls short."""
    asked = arguments()
    print(f"machine: {', '.join(f'{name} {value}' for name, value in machine().items())}", flush=True)
    compile_bytecode()
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="blobdrop-bench-", dir=asked.folder) as folder:
        sizes = {name: getattr(asked, name) for name in ("rows", "files", "known", "runs", "days")}
        ground = Ground(Path(folder), **sizes)
        for name in asked.only:
            print(f"{name} ...", file=sys.stderr, flush=True)
            results.append(BENCHES[name](ground))
    print(table(results))
    if asked.quick:
        print("\nA try: so little work says whether everything runs, and nothing of how fast it is.")
    if asked.json:
        asked.json.write_text(json.dumps(as_json(results, sizes), indent=2) + "\n", encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure blobdrop beside its peers.")
    parser.add_argument("--rows", type=int, default=2_000_000, help="rows of the large file, about 60 bytes each")
    parser.add_argument("--files", type=int, default=10_000, help="small files; a multiple of 100")
    parser.add_argument("--known", type=int, default=100_000, help="files that the loop knows already")
    parser.add_argument("--days", type=int, default=7, help="days that the rows are spread over")
    parser.add_argument("--runs", type=int, default=3, help="runs of which the median counts")
    parser.add_argument(
        "--only", nargs="+", choices=BENCHES, default=list(BENCHES), metavar="NAME", help="some benches"
    )
    parser.add_argument("--folder", type=Path, help="where inputs and tables are written, and removed at the end")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON too")
    parser.add_argument("--quick", action="store_true", help="a try in two minutes: small, one run each")
    asked = parser.parse_args()
    if asked.quick:
        asked.rows, asked.files, asked.known, asked.runs = min(asked.rows, 200_000), 500, 10_000, 1
    asked.files = max(100, asked.files // 100 * 100)
    return asked


def compile_bytecode() -> None:
    """Compile everybody's packages: with PYTHONDONTWRITEBYTECODE set, an import would compile them each time."""
    with contextlib.redirect_stdout(None):
        for folder in (ROOT / "daemon", ROOT / "validators", Path(sysconfig.get_path("purelib"))):
            compileall.compile_dir(folder, quiet=2, workers=os.cpu_count() or 1)


if __name__ == "__main__":
    main()
