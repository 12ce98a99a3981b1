"""The daemon's errors, on the tree that `validators.errors` plants: wrong data, wrong set-up, work that cannot go on.

A docstring is the message when none is given.
"""

from __future__ import annotations

import errno

from validators.errors import BlobdropError, ContractError, DataError, FileProblem, SetupError

__all__ = [
    "BlobdropError",
    "ChangedError",
    "ConfigError",
    "ContractError",
    "DataError",
    "DecisionError",
    "DiskError",
    "EndpointError",
    "FileProblem",
    "LedgerBusyError",
    "LedgerError",
    "LedgerMissingError",
    "LedgerOldError",
    "MissingRightError",
    "NotFoundError",
    "NotPermittedError",
    "SetupError",
    "SourceError",
    "StoreError",
    "UndeliveredError",
    "UndoneError",
    "UnreachableError",
    "WorkError",
    "WorkerError",
]


class ConfigError(SetupError):
    """A setting is wrong: the message names the field, the value and the rule."""


class NotFoundError(SetupError):
    """There is no such drop, feed or file. `blobdrop drops` and `blobdrop feeds` list what there is."""


class DecisionError(SetupError):
    """This cannot be decided of that drop, or not any more: the message says why, and what can be done instead."""


class WorkError(BlobdropError):
    """The work cannot be done now, though data and set-up may be right: a disk, a lock, a table."""


class DiskError(WorkError):
    """A disk or container that all drops need is full, read-only or away. No drop is at fault; it is tried again."""

    @classmethod
    def kind(cls, error: OSError) -> type[WorkError]:
        """Return this class where the system's error is of that kind, else that of any other trouble."""
        return cls if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EREMOTEIO) else WorkError


class SourceError(WorkError):
    """The place where drops land cannot be reached, listed or read."""


class ChangedError(SourceError):
    """The dropped object vanished or changed while it was read; it is found again in its new version."""


class UnreachableError(SourceError):
    """The place where drops land does not answer, or not now. No drop is at fault; it is tried again and again."""


class NotPermittedError(UnreachableError):
    """The place where drops land refuses us: a right is missing, or a key or signature is wrong or over."""


class MissingRightError(NotPermittedError):
    """What opens the place where drops land is good, and does not have the right to do this."""


class StoreError(WorkError):
    """A table cannot be read or written."""


class UndoneError(StoreError):
    """A table could not be written, and all that was begun has been taken back: it is tried again."""


class WorkerError(WorkError):
    """The worker process was lost: killed, out of memory, or over its time. Its drop is tried again, then failed.

    Attributes:
        log: the last lines that the worker wrote; empty when it wrote none.
        at: which drop it was at; empty when it was at none, or at several.
        exitcode: with which it ended by itself; None when it did not.
    """

    def __init__(self, message: str | None = None, *, log: str = "", at: str = "", exitcode: int | None = None) -> None:
        """Keep what is known of the worker's end."""
        super().__init__(message)
        self.log, self.at, self.exitcode = log, at, exitcode


class EndpointError(WorkError):
    """The address of `http.listen` cannot be listened on: another program does, or the machine does not have it."""


class UndeliveredError(WorkError):
    """A message could not be delivered, as far as we know; it is tried again, under the same id."""


class LedgerError(WorkError):
    """The ledger cannot be read or written."""


class LedgerBusyError(LedgerError):
    """Another daemon holds this ledger. Stop it first, or give this one a ledger of its own."""


class LedgerMissingError(LedgerError):
    """Tables exist but their ledger does not: starting an empty one would ingest every file again.

    Restore the ledger from a backup, or point `ledger.url` at the right one.
    """


class LedgerOldError(LedgerError):
    """The ledger is older than the tables, as a backup is: it would ingest again what they hold."""
