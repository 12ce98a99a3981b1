"""`blobdrop compact`: small data files become large ones, also while the daemon goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from daemon import wiring
from daemon.commands.looking import begun
from daemon.commands.showing import Column, print_json, print_table
from daemon.feeds import no_such_feed
from daemon.settings import MB

#: Two small files of a day are worth one large one to whoever asks for it; the daemon itself is more patient.
MIN_FILES: Final = 2


def compact(config: Path | None, *, feed: str | None, json: bool) -> int:
    """Merge small data files of one feed's table, or of all, and print how many."""
    settings = begun(config).settings
    names = [each.name for each in settings.feeds]
    if feed is not None and feed not in names:
        raise no_such_feed(feed, names)
    # A compaction commits under no ledger's name: it is no batch.
    store = wiring.store_of(settings, "")
    target = settings.store.target_file_mb * MB
    merged = {
        name: store.compact(name, target_bytes=target, min_files=MIN_FILES) if store.exists(name) else None
        for name in ([feed] if feed else names)
    }
    if json:
        print_json([{"feed": name, "table": store.describe(name), "merged": files} for name, files in merged.items()])
    else:
        columns = [Column(title="feed"), Column(title="files merged", right=True), Column(title="table")]
        cells = [
            [name, "no table yet" if files is None else files, store.describe(name)] for name, files in merged.items()
        ]
        print_table(columns, cells)
    return 0
