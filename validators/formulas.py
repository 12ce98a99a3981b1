"""Spreadsheet formulas in cells must not come alive when a person opens a CSV file, and the value must survive.

A cell that a spreadsheet would run gets an apostrophe in front, and loses it when the file is dropped back. A cell
that has apostrophes before such a start already gets one more, so that nothing is ever taken that was not given.
"""

from __future__ import annotations

from typing import Final

import pyarrow.compute as pc

from validators.texts import Array

#: What spreadsheets take for the start of a formula (OWASP, "CSV Injection"), the full-width forms included.
_STARTS: Final = "[=+\\-@\t\r\n＝＋－＠]"  # noqa: RUF001  # They are meant.
_RUNS: Final = f"^'*{_STARTS}"
_GUARDED: Final = f"^'+{_STARTS}"
#: A plain number begins like a formula and is none: `-5`, `+3.2`, `-1e5`.
_NUMBER: Final = r"^[+-](?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$"


def guard(column: Array) -> Array:
    """Put an apostrophe before each cell that a spreadsheet would run; `unguard` takes it away again.

    Args:
        column: text, `pa.string()`; null stays null.
    """
    runs = pc.match_substring_regex(column, _RUNS)
    if not pc.any(runs).as_py():
        return column
    hot = pc.and_not(runs, pc.match_substring_regex(column, _NUMBER))
    return pc.if_else(hot, pc.binary_join_element_wise("'", column, ""), column)


def unguard(column: Array) -> Array:
    """Take away the apostrophe that `guard` put before a cell.

    Args:
        column: text, `pa.string()`; null stays null.
    """
    guarded = pc.match_substring_regex(column, _GUARDED)
    if not pc.any(guarded).as_py():
        return column
    return pc.if_else(guarded, pc.utf8_slice_codeunits(column, 1), column)
