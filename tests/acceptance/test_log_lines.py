"""What a machine reads in the daemon's log: one line for each drop, its fields, and nothing of what cells have."""

from __future__ import annotations

import json
from typing import Any

from tests.acceptance.conftest import Blobdrop
from tests.corpus import text

#: What stands in customers' cells here, and nowhere in the log.
CELL = "Zq7PrivateCell"
#: A contract that speaks of cells where it can, and breaks on one.
CONTRACT = """
import sys
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series


class Notes(pa.DataFrameModel):
    note: Series[str] = pa.Field(isin=["fine"])
    size: Series[int]

    @pa.dataframe_check
    def speaks(cls, frame):
        sys.stderr.write(f"looking at {list(frame['note'])}\\n")
        if (frame["size"] == 13).any():
            raise ValueError(f"cannot judge {frame['note'].iloc[0]}")
        if (frame["size"] == 14).any():
            import os
            os.abort()
        return frame["size"] < 100
"""
FEEDS = """
[workers]
attempts = 1
[[feeds]]
name = "metrics"
paths = ["metrics/**"]
contract = "validators.metrics:precomputed_metrics"
[[feeds]]
name = "notes"
paths = ["notes/**"]
contract = "notes.py:Notes"
"""


def lines_of(said: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in said.splitlines()]


def test_each_drop_is_one_line_with_its_fields(blobdrop: Blobdrop) -> None:
    blobdrop.drop("good.csv", text.good(5))
    blobdrop.drop("partial.csv", text.with_record(b"x,user_id,revenue,2026-03-01,lots\n", 4, "p"))
    blobdrop.drop("rejected.csv", b"nothing,of,ours\n1,2,3\n")
    lines = lines_of(blobdrop.run("run", "--once", "--json", "--log-format", "json").stderr)

    ended = {line["name"]: line for line in lines if line["event"].startswith("drop.")}
    assert len([line for line in lines if "drop" in line]) == len(ended) == 3
    for name, state in (("good", "ingested"), ("partial", "partial"), ("rejected", "rejected")):
        line = ended[f"metrics/{name}.csv"]
        assert line["event"] == f"drop.{state}"
        assert (line["feed"], line["customer"]) == ("metrics", "default")
        assert line.keys() >= {"time", "level", "drop", "rows", "accepted", "seconds"}
        assert line.get("batch") == (None if state == "rejected" else 1)
    assert all(line["event"] == line["event"].lower() and line["level"] != "debug" for line in lines)


def test_no_line_has_what_customers_wrote_in_cells(blobdrop: Blobdrop) -> None:
    blobdrop.configure(FEEDS)
    (blobdrop.folder / "notes.py").write_text(CONTRACT)
    blobdrop.drop("bad.csv", text.good(5) + f"{CELL},{CELL},{CELL},{CELL},{CELL}\n{CELL}\n".encode())
    blobdrop.drop("headless.csv", f"{CELL},{CELL}2\n{CELL},1\n".encode())
    blobdrop.drop("quotes.csv", text.HEADER + f'"{CELL},user_id,x\n{CELL}'.encode())
    blobdrop.drop("not.parquet", CELL.encode())
    blobdrop.drop("lines.ndjson", f'{{"unit_id": "{CELL}"}}\n{{"unit_id": {CELL}\n'.encode())
    for size in (1, 13, 14):
        blobdrop.drop(f"{size}.csv", f"note,size\n{CELL},{size}\n".encode(), feed="notes")
    said = blobdrop.run("run", "--once", "--json", "--log-format", "json").stderr

    lines = lines_of(said)
    assert len([line for line in lines if line["event"].startswith("drop.") and "seconds" in line]) >= 8
    assert not [line for line in lines if CELL in json.dumps(line)]
    reasons = {line["name"]: line.get("reason", "") for line in lines if line["event"].startswith("drop.")}
    assert reasons["metrics/not.parquet"] == "the name ends in .parquet, but this is not Parquet: it begins with '…'"
    assert reasons["notes/13.csv"] == "the contract's rule 'speaks' raised ValueError"
    assert "killed by SIGABRT" in reasons["notes/14.csv"]


def test_debug_lines_have_what_the_contract_said(blobdrop: Blobdrop) -> None:
    blobdrop.configure(FEEDS)
    (blobdrop.folder / "notes.py").write_text(CONTRACT)
    blobdrop.drop("14.csv", f"note,size\n{CELL},14\n".encode(), feed="notes")
    said = blobdrop.run("run", "--once", "--log-format", "json", "--log-level", "debug").stderr

    (line,) = [line for line in lines_of(said) if line["event"] == "drop.said"]
    assert CELL in line["log"]
