"""The ledger's tables, each column with its meaning. Knows nothing of who reads or writes them.

State and history are apart: `drops` and `batches` say how things stand, `events` only grows and says how they came to.

How a drop moves, and the write that moves it:

    (new), found, unmatched -> working                           claim
    (new), found -> unmatched                                    unmatched
    working -> found                                             give_back, recover, forget
    working -> (no row)                                          gone
    working -> ingested, partial, rejected, duplicate, failed    record, finish
    failed -> found                                              retry
    rejected, partial -> partial, ingested                       record, of a batch that decisions have made

and a batch: (new) -> intended by intend; intended -> committed by record; intended -> forgotten by forget. While its
batch is intended, a drop leaves `working` by record or forget only.

And a decision: (new) -> pending by the command that a person gives; pending -> done by record, or by end where it
moves no row; pending -> refused, failed by end.

Markers and days have tables of their own, in `daytables`.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

#: Every revision of these tables, oldest first; the last is what this program works with. A test holds it against
#: the migrations, so that the version can be judged without importing Alembic.
REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005")
HEAD: Final = REVISIONS[-1]

metadata: Final = sa.MetaData()

#: What stands in a column until something is known.
ZERO: Final = sa.text("0")
EMPTY: Final = sa.text("''")
NO_RULES: Final = sa.text("'[]'")

#: Alembic's own table, declared here so that a new ledger and a version check do not need Alembic.
version = sa.Table(
    "alembic_version",
    metadata,
    sa.Column("version_num", sa.String(32), nullable=False, comment="The revision of these tables"),
    sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

#: One row: which ledger this is.
about = sa.Table(
    "ledger",
    metadata,
    sa.Column("identity", sa.Text, primary_key=True, comment="A uuid made with the ledger; the tables' app id uses it"),
    sa.Column("created_at", sa.Double, nullable=False, comment="When the ledger was made, unix seconds"),
)

#: Groups of drops that go into a feed's table in one transaction.
batches = sa.Table(
    "batches",
    metadata,
    sa.Column("feed", sa.Text, primary_key=True, comment="The feed whose table it is for"),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False, comment="Grows with each batch, from 1"),
    sa.Column("state", sa.Text, nullable=False, comment="intended, committed or forgotten"),
    sa.Column("drops", sa.BigInteger, nullable=False, comment="How many drops are in it"),
    sa.Column("intended_at", sa.Double, nullable=False, comment="When the intent was written, unix seconds"),
    sa.Column("ended_at", sa.Double, comment="When it was committed or forgotten, unix seconds; null while intended"),
    sa.Column("outcomes", sa.JSON(none_as_null=True), comment="Its outcomes, for recovery; null when it has ended"),
    sa.Column("files", sa.JSON(none_as_null=True), comment="Its staged files, for recovery; null when it has ended"),
    sa.Column(
        "replaces", sa.JSON(none_as_null=True), comment="Drops it replaces, for recovery; null when it has ended"
    ),
)

# The store says only which number is its newest, so two open batches of one feed could not be told apart after a crash.
sa.Index(
    "batches_open",
    batches.c.feed,
    unique=True,
    sqlite_where=sa.text("ended_at IS NULL"),
)

#: One row for each version of each dropped object: how it stands.
drops = sa.Table(
    "drops",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="Made from uri and version; 16 hexadecimal digits"),
    sa.Column("uri", sa.Text, nullable=False, comment="Where the object is, percent-encoded ASCII"),
    sa.Column("version", sa.Text, nullable=False, comment="Changes with the object: an etag, or mtime, size and inode"),
    sa.Column("name", sa.Text, nullable=False, comment="Path below the source's root; unprintable characters escaped"),
    sa.Column("exact_name", sa.LargeBinary, comment="The name in UTF-8 with surrogates, where `name` is not exact"),
    sa.Column("size", sa.BigInteger, nullable=False, comment="Bytes"),
    sa.Column("modified", sa.Double, nullable=False, comment="Unix seconds by the source's clock"),
    sa.Column("feed", sa.Text, nullable=False, comment="The feed it belongs to; empty when unmatched"),
    sa.Column("customer", sa.Text, nullable=False, comment="The customer it belongs to; empty when unmatched"),
    sa.Column("state", sa.Text, nullable=False, comment="A value of daemon.model.State"),
    sa.Column(
        "attempt",
        sa.Integer,
        nullable=False,
        server_default=ZERO,
        comment="How many goes were begun; 0 before the first",
    ),
    sa.Column(
        "not_before",
        sa.Double,
        nullable=False,
        server_default=ZERO,
        comment="found: wait until then, unix seconds; 0 for at once",
    ),
    sa.Column("found_at", sa.Double, nullable=False, comment="When the ledger first heard of it, unix seconds"),
    sa.Column("changed_at", sa.Double, nullable=False, comment="When it came into its state, unix seconds"),
    sa.Column(
        "started_at",
        sa.Double,
        nullable=False,
        server_default=ZERO,
        comment="When its outcome's work began, unix seconds; 0: never",
    ),
    sa.Column(
        "finished_at",
        sa.Double,
        nullable=False,
        server_default=ZERO,
        comment="When its outcome's work ended, unix seconds; 0: never",
    ),
    sa.Column("batch", sa.BigInteger, comment="Its feed's batch it is in; null outside of any"),
    sa.Column(
        "sha256",
        sa.Text,
        nullable=False,
        server_default=EMPTY,
        comment="Digest of its bytes as dropped; empty while unknown",
    ),
    sa.Column(
        "rows_read", sa.BigInteger, nullable=False, server_default=ZERO, comment="Records read = accepted + rejected"
    ),
    sa.Column(
        "rows_accepted", sa.BigInteger, nullable=False, server_default=ZERO, comment="Records that went into the table"
    ),
    sa.Column(
        "rows_rejected", sa.BigInteger, nullable=False, server_default=ZERO, comment="Records that went into quarantine"
    ),
    sa.Column(
        "rules",
        sa.JSON,
        nullable=False,
        server_default=NO_RULES,
        comment="Broken rules: a list of [rule, column, count]",
    ),
    sa.Column(
        "reason",
        sa.Text,
        nullable=False,
        server_default=EMPTY,
        comment="Why it was rejected, failed or given back; may be empty",
    ),
    sa.Column(
        "report", sa.Text, nullable=False, server_default=EMPTY, comment="Where its report is; empty when there is none"
    ),
    sa.Column(
        "contract",
        sa.Text,
        nullable=False,
        server_default=EMPTY,
        comment="The contract it was judged by; empty when it was not",
    ),
    sa.Column("superseded_by", sa.Text, comment="The drop of a newer version that has taken its place; null: none"),
    sa.Column("settled_at", sa.Double, comment="When its object was kept, archived or deleted; null: not yet"),
    sa.Column(
        "settle_failures", sa.Integer, nullable=False, server_default=ZERO, comment="How often settling has failed"
    ),
    sa.Column(
        "settle_reason",
        sa.Text,
        nullable=False,
        server_default=EMPTY,
        comment="Why settling failed last; empty: it did not",
    ),
    sa.Column(
        "settle_not_before",
        sa.Double,
        nullable=False,
        server_default=ZERO,
        comment="Do not settle before then, unix seconds",
    ),
    sa.Column("watermark", sa.BigInteger, comment="Its scope's when it was claimed first, unix seconds; null: none"),
    sa.Column(
        "rows_late",
        sa.BigInteger,
        nullable=False,
        server_default=ZERO,
        comment="Records before that watermark, whether accepted or rejected",
    ),
    sa.ForeignKeyConstraint(["feed", "batch"], ["batches.feed", "batches.number"], name="drops_in_batch"),
)

sa.Index("drops_by_uri", drops.c.uri, drops.c.version, unique=True)
sa.Index("drops_by_name", drops.c.name)
sa.Index("drops_by_time", drops.c.found_at)
sa.Index("drops_by_state", drops.c.state, drops.c.feed, drops.c.found_at)
sa.Index("drops_by_size", drops.c.feed, drops.c.customer, drops.c.size)
sa.Index("drops_by_digest", drops.c.feed, drops.c.customer, drops.c.sha256)
# Few rows are unsettled at a time, however many there are.
sa.Index(
    "drops_unsettled",
    drops.c.state,
    sqlite_where=sa.text("settled_at IS NULL"),
)

#: What has happened, in order. Rows are added, never changed; they outlive their drop's row.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, comment="Grows with time"),
    sa.Column("at", sa.Double, nullable=False, comment="When, unix seconds"),
    sa.Column("drop_id", sa.Text, nullable=False, comment="To which drop; its row may be gone"),
    sa.Column("kind", sa.Text, nullable=False, comment="A value of daemon.ledger.rows.Kind"),
    sa.Column("state", sa.Text, comment="The drop's state after it; null when its row is gone"),
    sa.Column("attempt", sa.Integer, nullable=False, comment="Which go it was part of"),
    sa.Column("batch", sa.BigInteger, comment="The batch it was part of; null outside of any"),
    sa.Column("note", sa.Text, nullable=False, comment="A reason, a name, another drop; may be empty"),
)

sa.Index("events_by_drop", events.c.drop_id)

#: What people have decided of drops in quarantine. Rows are added by commands; the daemon brings each to its end.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, comment="Grows with time"),
    sa.Column("drop_id", sa.Text, nullable=False, comment="Of which drop"),
    sa.Column("action", sa.Text, nullable=False, comment="A value of daemon.decisions.Action"),
    sa.Column("rules", sa.JSON, nullable=False, server_default=NO_RULES, comment="The rules that are waived"),
    sa.Column("reason", sa.Text, nullable=False, server_default=EMPTY, comment="Why, in the person's words"),
    sa.Column("by", sa.Text, nullable=False, comment="Who: the operating system's name of the user"),
    sa.Column("at", sa.Double, nullable=False, comment="When it was decided, unix seconds"),
    sa.Column("state", sa.Text, nullable=False, comment="A value of daemon.decisions.Standing"),
    sa.Column(
        "attempt", sa.Integer, nullable=False, server_default=ZERO, comment="How many goes have broken their worker"
    ),
    sa.Column("ended_at", sa.Double, comment="When it came to its end, unix seconds; null while pending"),
    sa.Column("note", sa.Text, nullable=False, server_default=EMPTY, comment="What came of it, in words"),
    sa.Column(
        "rows_accepted", sa.BigInteger, nullable=False, server_default=ZERO, comment="Rows it brought into the table"
    ),
    sa.Column("feed", sa.Text, comment="With `batch`: the batch that brought them; null for none"),
    sa.Column("batch", sa.BigInteger, comment="Its number"),
    sa.ForeignKeyConstraint(["feed", "batch"], ["batches.feed", "batches.number"], name="decisions_in_batch"),
)

sa.Index("decisions_by_drop", decisions.c.drop_id)
# A drop waits for one decision at a time, so that each is judged by what the one before has left.
sa.Index(
    "decisions_pending",
    decisions.c.drop_id,
    unique=True,
    sqlite_where=sa.text("state = 'pending'"),
)
