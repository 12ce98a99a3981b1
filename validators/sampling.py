"""Samples of broken rules: where a rule is broken, what was found there, in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from validators.casting import to_text
from validators.model import Chunk, Hit, Malformed, Numbers, Sample
from validators.sentences import sentence
from validators.suggest import suggest

#: Characters of a cell that a sample shows.
SAMPLE_CHARACTERS = 200


def of_record(record: Malformed) -> Sample:
    """Return the sample of a record that has no cells."""
    message = sentence(record.row, record.line or None, None, record.found, record.expected)
    return Sample(row=record.row, line=record.line or None, value=record.raw[:SAMPLE_CHARACTERS], message=message)


def of_rows(hit: Hit, positions: Numbers, chunk: Chunk, source: pa.Table) -> Iterator[Sample]:
    """Yield the samples of a batch's rows at these positions; `source` has their cells as they came."""
    # A rule on rows that may read anything is shown with all of the row.
    shown = [hit.column] if hit.column else list(hit.shows) or source.column_names
    cells = source.select([name for name in shown if name in source.column_names]).take(pa.array(positions))
    nothing: list[str | None] = [None] * len(positions)  # No record of this batch has the column; of another one may.
    texts = {name: to_text(cells[name]).to_pylist() if name in cells.column_names else nothing for name in shown}
    for index, position in enumerate(positions):
        value = _shown(texts, index, hit.column)
        row, line = int(chunk.rows[position]), int(chunk.lines[position]) or None
        hint = suggest(value, hit.allowed) if value is not None and hit.allowed else None
        hint = f"did you mean '{hint}'?" if hint else ""
        if hit.days is not None:
            hint = f"it is of day {hit.days[int(position)]}"
        yield Sample(
            row=row, line=line, value=value, message=sentence(row, line, hit.column, value, hit.expected, hint)
        )


def _shown(texts: dict[str, list[str | None]], index: int, column: str | None) -> str | None:
    if column is not None:
        value = texts[column][index] if column in texts else None
        return None if value is None else value[:SAMPLE_CHARACTERS]
    pairs = [f"{name}={values[index] or ''}" for name, values in texts.items()]
    return ", ".join(pairs)[:SAMPLE_CHARACTERS] if pairs else None
