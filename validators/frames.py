"""A pandas frame, judged as the rows of a file are."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from validators.contract import Contract, load_contract
from validators.files import Part, judge
from validators.judging import Judged, Policy
from validators.model import Chunk, Dialect, Limits, Verdict


@dataclass(frozen=True, kw_only=True)
class CheckedFrame:
    """A frame after checking: its good rows with exact types, the others as they came, and the verdict."""

    good: pd.DataFrame
    rejected: pd.DataFrame
    verdict: Verdict


class _Frames:
    """A sink that keeps the typed good rows and the numbers of the rejected ones."""

    def __init__(self) -> None:
        self.restart()

    def batch(self, part: Part, judged: Judged, problems: pa.Array) -> None:  # noqa: ARG002 - words are for files
        self.good.append(judged.typed.filter(pa.array(~judged.rejected)))
        self.rejected.append(part.chunk.rows[judged.rejected] - 1)

    def restart(self) -> None:
        self.good: list[pa.Table] = []
        self.rejected: list[Any] = []


class _FrameReader:
    """A frame in memory, read like a typed file."""

    typed = True
    returned = False

    def __init__(self, frame: pd.DataFrame, limits: Limits) -> None:
        self.notes: tuple[str, ...] = ()
        self.dialect = Dialect()
        self._table = pa.Table.from_pandas(frame, preserve_index=False)
        self._limits = limits

    def header(self) -> tuple[str, ...] | None:
        return tuple(self._table.column_names)

    def chunks(self, names: Collection[str] | None = None) -> Iterator[Chunk]:
        table = self._table if names is None else self._table.select(list(names))
        for start in range(0, table.num_rows, self._limits.batch_rows):
            piece = table.slice(start, self._limits.batch_rows)
            rows = np.arange(start + 1, start + 1 + piece.num_rows, dtype=np.int64)
            yield Chunk(table=piece, rows=rows, lines=np.zeros(len(rows), np.int64))

    def close(self) -> None:
        pass


def check_frame(
    frame: pd.DataFrame,
    contract: str | Contract | Any,
    *,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    policy: Policy | None = None,
) -> CheckedFrame:
    """Judge a pandas frame as the rows of a file would be, and return good and rejected rows apart.

    Args:
        frame: any columns; text is cast as strictly as a file's.
        contract: as for `check_file`.
        options: as for `check_file`.
        limits: as for `check_file`.
        policy: as for `check_file`.

    Raises:
        ContractError: the contract cannot be loaded or honoured.
    """
    loaded = contract if isinstance(contract, Contract) else load_contract(contract, options=options or {})
    limits, sink = limits or Limits(), _Frames()
    reader = _FrameReader(frame, limits)
    verdict = judge(reader, loaded, policy or Policy(), limits, sink)
    positions = np.concatenate([*sink.rejected, np.empty(0, np.int64)])
    good = [table for table in sink.good if table.num_rows]
    return CheckedFrame(
        good=pa.concat_tables(good, promote_options="default").to_pandas() if good else frame.iloc[:0],
        rejected=frame.iloc[positions],
        verdict=verdict,
    )
