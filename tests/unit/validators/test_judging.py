"""What a rejected row is told of itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from validators.judging import Judged, told
from validators.model import Hit


def test_a_rejected_row_is_told_what_was_expected_and_what_to_do() -> None:
    failed = np.array([True, False, True])
    hits = (
        Hit(rule="unix_seconds", column="at", expected="unix seconds", failed=failed, hint="divide by 1000"),
        Hit(rule="type", column="n", expected="a whole number", failed=np.array([True, False, False])),
        Hit(rule="mine", column=None, expected="", failed=failed, hint="ask us"),
    )
    judged = Judged(typed=pa.table({}), days=None, hits=hits, rejected=failed, unknown={})
    assert told(judged).to_pylist() == [
        "at: expected unix seconds (divide by 1000); n: expected a whole number; mine (ask us)",
        "at: expected unix seconds (divide by 1000); mine (ask us)",
    ]
