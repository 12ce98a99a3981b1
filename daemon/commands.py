"""What the commands do. Each returns the exit code."""

from __future__ import annotations

import json as jsonlib
import os
import sys
from pathlib import Path

from daemon import app, config, logs
from daemon.errors import BlobdropError, SetupError
from daemon.model import State


def run(path: Path | None, *, once: bool, json: bool) -> int:
    """Run the daemon, or until nothing is left."""
    try:
        configuration = config.load(path, os.environ)
        settings = configuration.settings
        logs.configure(settings.logs.format, settings.logs.level, sys.stderr)
        with app.daemon(configuration, os.environ, once=once) as daemon:
            if not once:
                daemon.loop.run()
                return 0
            pending = daemon.loop.run_once()
            counts = daemon.ingest.tallied
    except BlobdropError as error:
        print(f"blobdrop: {error}", file=sys.stderr)
        return 2 if isinstance(error, SetupError) else 3
    summary = {
        "drops": {s.value: counts.drops[s] for s in State if s.final},
        "rows": {"read": counts.rows.read, "accepted": counts.rows.accepted, "rejected": counts.rows.rejected},
        "pending": pending,
    }
    print(jsonlib.dumps(summary))
    return 0
