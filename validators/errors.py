"""The errors of checking: wrong data apart from a wrong contract. `daemon.errors` grows the same tree.

An error's docstring is its message when none is given, so that the help is written once.
"""

from __future__ import annotations


class BlobdropError(Exception):
    """Something went wrong. Every error that this program raises on purpose is one of these."""

    def __init__(self, message: str | None = None) -> None:
        """Keep `message`, or the class's own docstring when there is none."""
        super().__init__(message or (type(self).__doc__ or "").strip())


class DataError(BlobdropError):
    """The data is wrong. The file is at fault; its sender can mend it."""


class FileProblem(DataError):  # noqa: N818 - `problem` is the word of reports
    """The file as a whole cannot be trusted, so none of its rows is taken.

    Attributes:
        rule: the name of the rule in the report, such as `truncated`.
        message: what was found and what was expected, for its sender.
        hint: what to do next; empty when the message says it.
        line: the physical line where it was seen, 1-based, if known.
    """

    def __init__(self, rule: str, message: str, *, hint: str = "", line: int | None = None) -> None:
        """Name the rule that is broken and say it in words."""
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.hint = hint
        self.line = line

    def __reduce__(self) -> tuple[object, ...]:
        """Travel between processes with every attribute."""
        return _file_problem, (self.rule, self.message, self.hint, self.line)


class SetupError(BlobdropError):
    """The set-up is wrong. The operator can mend it; no file is at fault."""


class ContractError(SetupError):
    """The contract cannot be loaded or cannot be honoured."""


def _file_problem(rule: str, message: str, hint: str, line: int | None) -> FileProblem:
    return FileProblem(rule, message, hint=hint, line=line)
