"""The frozen values of checking: what a reader yields, what a check finds, what a verdict says.

Nothing here reads, casts or judges. Arrays are Arrow or NumPy; there is never a Python object for each row.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

#: One flag for each row.
Mask = npt.NDArray[np.bool_]
#: One whole number for each row.
Numbers = npt.NDArray[np.int64]

#: A rule over a whole file, the column that it is on, and the numbers of the records that have broken it.
Broken = tuple[str, str | None, Numbers]

#: The first samples of each rule that a report shows; counts are always exact.
SAMPLES_PER_RULE = 10
#: The rule that rows before the watermark break. It says nothing of what is in them.
LATE = "late"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """How a feed's delimited files are written. Parquet, JSON and Excel files only look at `null_tokens`."""

    #: One ASCII character between fields; a `.tsv` file has a tab whatever stands here.
    delimiter: str = ","
    #: One ASCII character around fields, doubled inside them; empty for none.
    quote: str = '"'
    #: A Python codec name. A byte order mark in the file wins over it.
    encoding: str = "utf-8"
    #: Whether the first record names the columns.
    header: bool = True
    #: The columns' names where there is no header.
    columns: tuple[str, ...] = ()
    #: Cells, as they stand in the file, that mean that there is no value. Only the empty cell by default: `NA` may be
    #: Namibia, and `NaN` in a metric is a mistake to report, not a value that is missing.
    null_tokens: tuple[str, ...] = ("",)
    #: Find delimiter and encoding in the file's first bytes, and say so in the report.
    auto: bool = False


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one file may ask of the machine. Beyond it the file is refused with a clear problem."""

    #: Bytes after decompression, of all kinds of file.
    max_decompressed_bytes: int = 8 * 1024**3
    #: Bytes of one record of a text file, quoted line breaks included.
    max_line_bytes: int = 16 * 1024**2
    #: Columns of a file.
    max_columns: int = 2000
    #: Bytes of an Excel sheet after decompression (it is read as a whole).
    max_excel_bytes: int = 256 * 1024**2
    #: Bytes of typed columns that rules over the whole drop may hold in memory.
    max_whole_drop_bytes: int = 512 * 1024**2
    #: Records of a batch; speed and memory depend on it, results never do.
    batch_rows: int = 131_072


@dataclass(frozen=True, kw_only=True, slots=True)
class Malformed:
    """A record that is not well-formed: it was read and counted, and it has no cells."""

    #: 1-based number of the record in the file, blank lines and the header left out.
    row: int
    #: 1-based physical line on which it starts; 0 where the format has none.
    line: int
    #: `field_count`, `quote`, `encoding`, `nul_byte`, `invalid_json`, ...
    rule: str
    #: What was found.
    found: str
    #: What was expected.
    expected: str
    #: The record as it came, without its line end, in UTF-8 (undecodable bytes as `\\xNN`).
    raw: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a malformed record, as `Malformed` has it."""

    rule: str
    found: str
    expected: str


class MalformedRecords(Sequence[Malformed]):
    """Malformed records in the order of the file, as columns: there may be very many, and most have the same flaw.

    Attributes:
        rows: as `Malformed.row` (int64).
        lines: as `Malformed.line` (int64).
        raw: as `Malformed.raw` (`pa.large_string()`); halves of characters are escapes.
        flaws: each once.
        codes: which of the flaws each record has (int64).
    """

    def __init__(self, rows: Numbers, lines: Numbers, raw: pa.Array, flaws: Sequence[Flaw], codes: Numbers) -> None:
        """Keep the columns; all but `flaws` are of one length."""
        self.rows, self.lines, self.raw = rows, lines, raw
        self.flaws, self.codes = tuple(flaws), codes

    @classmethod
    def of(cls, records: Iterable[Malformed]) -> MalformedRecords:
        """Return these records, which come one by one."""
        records = tuple(records)
        flaws: dict[Flaw, int] = {}
        codes = [flaws.setdefault(Flaw(each.rule, each.found, each.expected), len(flaws)) for each in records]
        rows, lines = [each.row for each in records], [each.line for each in records]
        raw = [each.raw.encode("utf-8", "backslashreplace") for each in records]
        return cls(
            np.array(rows, np.int64),
            np.array(lines, np.int64),
            pa.array(raw, pa.large_binary()).cast(pa.large_string()),
            tuple(flaws),
            np.array(codes, np.int64),
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.rows)

    @overload
    def __getitem__(self, position: int) -> Malformed: ...
    @overload
    def __getitem__(self, position: slice) -> MalformedRecords: ...
    def __getitem__(self, position: int | slice) -> Malformed | MalformedRecords:
        """Return one of them, or some."""
        if isinstance(position, slice):
            return MalformedRecords.of(self[each] for each in range(*position.indices(len(self))))
        flaw = self.flaws[self.codes[position]]
        return Malformed(
            row=int(self.rows[position]),
            line=int(self.lines[position]),
            rule=flaw.rule,
            found=flaw.found,
            expected=flaw.expected,
            raw=self.raw[position].as_py(),
        )

    def with_rule(self, rule: str) -> Mask:
        """Tell which of them break a rule."""
        return np.isin(self.codes, [code for code, flaw in enumerate(self.flaws) if flaw.rule == rule])


@functools.cache
def none_malformed() -> MalformedRecords:
    """Return no malformed records, for where all have cells.

    No constant: Arrow would set up its memory, a gigabyte of addresses, in the parent of workers, which have less.
    """
    return MalformedRecords.of(())


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Some consecutive records of one file.

    `table` has the well-formed records: a column for each name asked for, in text (`pa.string()`, null where the cell
    is a null token or missing) or, from typed formats, in the file's own types. A name that no record of this chunk
    has is left out of the table.
    """

    table: pa.Table
    #: Record numbers of the table's rows, 1-based, ascending; malformed ones are the gaps.
    rows: Numbers
    #: Physical lines on which they start, 1-based; zeros where the format has none.
    lines: Numbers
    #: The records that have no cells, in order.
    malformed: MalformedRecords = field(default_factory=none_malformed)
    #: Delimited text only: positions in the table -> those records as they came, without line ends (`pa.binary()`).
    raw: Callable[[Numbers], pa.Array] | None = None

    @property
    def read(self) -> int:
        """Records read: well-formed and malformed."""
        return len(self.rows) + len(self.malformed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One place where a rule is broken."""

    row: int | None
    line: int | None
    #: The cell as it came, at most 200 characters of it.
    value: str | None
    #: Row, column, what was found, what was expected: one sentence.
    message: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One rule broken in one column, at one or many rows."""

    rule: str
    #: The contract's name of the column; None for rules on rows and files.
    column: str | None
    #: Rows that break it, exact; 1 for a rule on the file.
    count: int
    #: What a value must be, in words: "one of user_id, stable_id".
    expected: str
    sample: tuple[Sample, ...] = ()
    #: What to do next, in words: "did you mean 'user_id'?". Empty when `expected` says it all.
    hint: str = ""
    #: Whether the rule speaks of the file as a whole, which then is rejected.
    whole_file: bool = False


@dataclass(frozen=True, kw_only=True)
class Rows:
    """How many records went where; read = accepted + rejected, always."""

    read: int = 0
    accepted: int = 0
    rejected: int = 0
    #: How many of those read lay before the watermark, whether they were accepted or rejected.
    late: int = field(default=0, repr=False)

    def __add__(self, other: Rows) -> Rows:
        """Add field by field."""
        return Rows(
            read=self.read + other.read,
            accepted=self.accepted + other.accepted,
            rejected=self.rejected + other.rejected,
            late=self.late + other.late,
        )


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The outcome of checking one file."""

    rows: Rows
    problems: tuple[Problem, ...] = ()
    #: Why the whole file is rejected: a sentence; empty when its good rows are accepted.
    rejected_because: str = ""
    #: Columns of the file that the contract does not know; they were left out.
    ignored_columns: tuple[str, ...] = ()
    #: What a reader should know: the dialect that was found, merged cells, an encoding's mark.
    notes: tuple[str, ...] = ()
    #: The contract's name and digest.
    contract: str = ""
    digest: str = ""

    @property
    def ok(self) -> bool:
        """Whether every row is accepted and nothing is wrong with the file."""
        return not self.problems and not self.rejected_because

    @property
    def sampled(self) -> bool:
        """Whether some rule shows fewer samples than it counts."""
        return any(problem.count > len(problem.sample) for problem in self.problems)


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One rule broken somewhere in one batch, before it is counted into a `Problem`."""

    rule: str
    column: str | None
    expected: str
    #: True where the row breaks the rule; one flag for each row of the batch.
    failed: Mask
    hint: str = ""
    #: Named columns whose cells a sample shows; the column itself when empty.
    shows: tuple[str, ...] = field(default=())
    #: The values that the rule allows, for a did-you-mean on the one that was found.
    allowed: tuple[str, ...] = ()
    #: The batch's days (date32), where it is to be said of each row which day it is of; else None.
    days: pa.Array | None = None
