"""What is said of a new version of a file where the earlier one's rows stay in the table. Pure."""

from __future__ import annotations

from dataclasses import replace

from daemon.errors import FileProblem
from daemon.model import Outcome
from validators.model import Verdict

#: The rule of a feed that takes no new bytes under an old name.
REVISION = "revision"


def refusal() -> FileProblem:
    """Return the problem of a file whose name the feed takes only once."""
    return FileProblem(
        REVISION,
        "a file of this name was ingested before, and this one has other content; the feed takes a name once",
        hint="Give it a name of its own to add its rows; to have them in place of the earlier ones, set the "
        'feed\'s revision to "replace".',
    )


def noted(verdict: Verdict, earlier: str) -> Verdict:
    """Return the verdict on a rejected version with a note on what stays in the table: the drop `earlier`."""
    said = f"the rows of the file's earlier version, drop {earlier}, stay in the table"
    return replace(verdict, notes=(*verdict.notes, f"{said[0].upper()}{said[1:]}."))


def reasoned(outcome: Outcome, earlier: str) -> Outcome:
    """Return the outcome of a rejected version with a reason that says what stays in the table."""
    return replace(outcome, reason=f"{outcome.reason}; the earlier version's rows (drop {earlier}) stay in the table")
