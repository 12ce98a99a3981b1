"""Where the records of a rejected.csv came from: their numbers and lines in the dropped file, in a file beside it.

A rejected.csv that is judged again has numbers and lines of its own; with this file the rows get back those that they
were dropped with. It also keeps what text cannot say: how the file is written, and what was wrong with whole records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from validators.model import Broken, Chunk, Dialect, Hit, Malformed, MalformedRecords, Numbers

#: The file's name, beside rejected.csv.
ORIGINS: Final = "origins.parquet"
#: Where the file's metadata has what is said of the rejected.csv as a whole.
_ABOUT: Final = b"blobdrop"
_SCHEMA: Final = pa.schema(
    [
        # The record's number in the dropped file, and the line on which it starts there.
        pa.field("_row", pa.int64(), nullable=False),
        pa.field("_line", pa.int64(), nullable=False),
        # The rules over the whole file that it breaks: a JSON array of rule and column on each line; mostly null.
        pa.field("whole_drop", pa.string()),
        # A record without cells: rule, found, expected and the record as it came, as a JSON array; mostly null.
        pa.field("malformed", pa.string()),
    ]
)


class OriginsWriter:
    """Writes the origins of one rejected.csv, batch by batch in its order; without a batch there is no file."""

    def __init__(self, path: Path, dialect: Dialect, *, named_by_record: bool) -> None:
        """Write nothing yet.

        Args:
            path: the file to write; one that is there is replaced.
            dialect: how the rejected.csv is written.
            named_by_record: whether each record of the dropped file names its own columns (JSON).
        """
        self._path, self._named_by_record = path, named_by_record
        self._dialect = dialect
        self._writer: pq.ParquetWriter | None = None

    def add(self, chunk: Chunk, positions: Numbers, whole: pa.Array) -> None:
        """Write a batch's rejected records, the malformed ones among them, in the order of the file.

        Args:
            chunk: the batch as its reader gave it.
            positions: which rows of `chunk.table` are rejected, ascending.
            whole: for each of these what `labels` says.

        Raises:
            OSError: the disk is full or cannot be written.
        """
        if not len(positions) and not chunk.malformed:
            return
        table = pa.table(
            [chunk.rows[positions], chunk.lines[positions], whole, pa.nulls(len(positions), pa.string())],
            schema=_SCHEMA,
        )
        if chunk.malformed:
            table = pa.concat_tables([table, _malformed(chunk.malformed)]).sort_by("_row")
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, _SCHEMA, compression="zstd", use_dictionary=False)
        self._writer.write_table(table)

    def close(self, rejected: Path) -> None:
        """Finish the file, with a note of what its finished rejected.csv is, so that a changed one is known.

        Raises:
            OSError: the disk is full, or cannot be written or read.
        """
        if self._writer is None:
            return
        dialect: dict[str, Any] = {"delimiter": self._dialect.delimiter, "quote": self._dialect.quote}
        dialect["null_tokens"] = list(self._dialect.null_tokens)
        about = {**_seal(rejected), "dialect": dialect, "named_by_record": self._named_by_record}
        self._writer.add_key_value_metadata({_ABOUT: json.dumps(about)})
        self._writer.close()
        self._writer = None

    def abandon(self) -> None:
        """Delete what is written: after an error nobody is to read it."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._path.unlink(missing_ok=True)


def labels(hits: Sequence[Hit], positions: Numbers) -> pa.Array:
    """Return for each of the rows the rules of these hits that it breaks, as `whole_drop` has them; null for none."""
    nothing = pa.nulls(len(positions), pa.string())
    # The empty text keeps Arrow from losing the rows for which nothing else is said.
    found = (pc.if_else(pa.array(hit.failed[positions]), json.dumps([hit.rule, hit.column]), nothing) for hit in hits)
    joined = pc.binary_join_element_wise(pc.fill_null(nothing, ""), *found, "\n", null_handling="skip")
    joined = pc.utf8_ltrim(joined, characters="\n")
    return pc.if_else(pc.equal(joined, ""), nothing, joined)


@dataclass(frozen=True, kw_only=True)
class Origins:
    """Where each record of a rejected.csv came from, in its order."""

    rows: Numbers
    lines: Numbers
    #: For records that have no cells what the dropped file's reader said of them; null for the others.
    malformed: pa.Array
    #: The rules over the whole file that rows have broken.
    whole: tuple[Broken, ...]
    #: How the rejected.csv is written.
    dialect: Dialect
    #: Whether each record of the dropped file named its own columns.
    named_by_record: bool
    #: Whether the rejected.csv is another one than was written.
    edited: bool

    def __len__(self) -> int:
        """Return how many records the rejected.csv has."""
        return len(self.rows)

    def malformed_at(self, position: int) -> Malformed | None:
        """Return what the dropped file's reader said of a record that has no cells; None where it has some."""
        told = self.malformed[position].as_py()
        if told is None:
            return None
        rule, found, expected, raw = json.loads(told)
        row, line = int(self.rows[position]), int(self.lines[position])
        return Malformed(row=row, line=line, rule=rule, found=found, expected=expected, raw=raw)


def read_origins(path: Path, rejected: Path) -> Origins:
    """Read the origins of a rejected.csv, and compare that with what was noted of it.

    Raises:
        OSError: one of the two cannot be read.
        ValueError, KeyError, TypeError: it is not such a file, or damaged.
    """
    with pq.ParquetFile(path) as file:
        about: dict[str, Any] = json.loads((file.metadata.metadata or {})[_ABOUT])
        table = file.read()
    rows = table["_row"].to_numpy()
    return Origins(
        rows=rows,
        lines=table["_line"].to_numpy(),
        malformed=table["malformed"].combine_chunks(),
        whole=_whole(table["whole_drop"].combine_chunks(), rows),
        dialect=_dialect(about["dialect"]),
        named_by_record=about["named_by_record"],
        edited=_seal(rejected) != {name: about[name] for name in ("size", "sha256")},
    )


def _malformed(records: MalformedRecords) -> pa.Table:
    begun = [json.dumps([flaw.rule, flaw.found, flaw.expected])[:-1] for flaw in records.flaws]
    pairs = zip(records.codes.tolist(), records.raw.to_pylist(), strict=True)
    told = [f"{begun[code]}, {encode_basestring_ascii(raw)}]" for code, raw in pairs]
    return pa.table([records.rows, records.lines, pa.nulls(len(records), pa.string()), told], schema=_SCHEMA)


def _seal(rejected: Path) -> dict[str, Any]:
    with rejected.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size": rejected.stat().st_size, "sha256": digest}


def _dialect(about: dict[str, Any]) -> Dialect:
    # Always in UTF-8 and with a header, whatever the dropped file had.
    return Dialect(delimiter=about["delimiter"], quote=about["quote"], null_tokens=tuple(about["null_tokens"]))


def _whole(column: pa.Array, rows: Numbers) -> tuple[Broken, ...]:
    """Return the rules of `whole_drop` with the records that have broken them."""
    encoded = column.dictionary_encode()
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    broken: dict[str, list[Numbers]] = {}
    for code, text in enumerate(encoded.dictionary.to_pylist()):
        for label in text.split("\n"):
            broken.setdefault(label, []).append(rows[codes == code])
    return tuple((*json.loads(label), np.sort(np.concatenate(found))) for label, found in broken.items())
