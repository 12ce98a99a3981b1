"""What all commands share: their options, how their examples are shown, and how they are loaded, run and ended.

What a command does is slow to import, so it is loaded when the command begins and not for `--help`.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from daemon.errors import BlobdropError, SetupError

#: A block in which line breaks stay where they are, to Typer.
_AS_IT_IS: Final = "\b\n"

Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="The TOML file of settings.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.", show_default=False)]
FeedName = Annotated[str | None, typer.Option("--feed", metavar="FEED", help="Only this feed.")]
Customer = Annotated[str | None, typer.Option("--customer", metavar="NAME", help="Only this customer.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")]


def examples(*lines: str) -> str:
    """Return the examples as a command's help ends with them."""
    return f"Examples:\n\n{_AS_IT_IS}" + "\n".join(f"  {line}" for line in lines)


def perform(command: str, **arguments: object) -> None:
    """Load a command, `module.function` of `daemon.commands`, run it, and exit with its code."""
    module, _, function = command.partition(".")
    try:
        code = getattr(_imported(f"daemon.commands.{module}"), function)(**arguments)
        sys.stdout.flush()
    except BlobdropError as error:
        tell(str(error))
        code = 2 if isinstance(error, SetupError) else 3
    except BrokenPipeError:
        # Whoever read our answer has had enough. What is still in the buffer must not fail at the exit once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except OSError as error:
        tell(f"{error.filename or 'the system'}: {error.strerror or error}")
        code = 3
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code)


def _imported(module: str) -> Any:
    """Import a command and all that it needs, without looking for garbage: there is none, and it takes a tenth."""
    gc.disable()
    imported = importlib.import_module(module)
    gc.freeze()
    gc.enable()
    return imported


def tell(message: str) -> None:
    """Print an error: one message, its further lines indented, nothing in it that a terminal would obey."""
    lines = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in message.splitlines()]
    sys.stderr.write("blobdrop: " + "\n  ".join(lines) + "\n")
