# ruff: noqa: INP001 - Alembic loads it by its path, not as a package
"""Alembic's entry: runs the migrations on the connection, and in the transaction, that `opening.migrate` hands over.

A migration is a file `versions/NNNN_what_it_does.py`; it is added, never changed. Its number goes into
`tables.REVISIONS`. To be safe with an older program's data it first adds, then moves, then takes away.
"""

from __future__ import annotations

from alembic import context

from daemon.ledger.tables import metadata

# `render_as_batch`: SQLite cannot alter most things of a table in place.
context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
