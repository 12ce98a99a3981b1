"""`blobdrop init`: a configuration and a contract to begin with."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path
from typing import Final

from daemon.commands.showing import say
from daemon.errors import ConfigError

#: What is written, and the template that it is.
FILES: Final = {"blobdrop.toml": "start.toml", "orders.py": "start_contract.txt"}


def init(folder: Path) -> int:
    """Write the files of a first configuration into a folder; none, if one of them is there."""
    if there := [str(folder / name) for name in FILES if os.path.lexists(folder / name)]:
        raise ConfigError(f"{' and '.join(there)}: already there, and nothing is overwritten; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name, template in FILES.items():
        # "x": whoever was quicker keeps what they wrote.
        with (folder / name).open("xb") as file:
            file.write(files("daemon").joinpath("templates", template).read_bytes())
        say(f"wrote {folder / name}")
    say("", "Change them as you need, then:")
    named = "" if folder.resolve() == Path.cwd() else f" --config {folder / 'blobdrop.toml'}"
    say(f"  blobdrop config{named}    shows what is in force, and tries the contracts", f"  blobdrop run{named}")
    return 0
