"""Secrets that settings only name: looked for in the environment, then in the folder of credentials; never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from daemon.errors import ConfigError

#: Where systemd's `LoadCredential=` puts files (systemd.exec(5)).
FOLDER: Final = "CREDENTIALS_DIRECTORY"


def secret(name: str, environ: Mapping[str, str], setting: str) -> str:
    """Return the secret of this name; blanks and line breaks around it are no part of it.

    Raises:
        ConfigError: there is none, it is empty or cannot be read; the message names the `setting` and never shows it.
    """
    found = environ.get(name, "").strip()
    folder = environ.get(FOLDER, "")
    if not found and folder:
        try:
            found = Path(folder, name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            found = ""
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not text"
            raise ConfigError(f"{Path(folder, name)}: this credential cannot be read: {why}") from None
    if not found:
        raise ConfigError(
            f"{setting} = {name!r}: there is no such secret; expected a variable of this name, or a file of this name "
            "in $CREDENTIALS_DIRECTORY (systemd: LoadCredential=)"
        )
    return found
