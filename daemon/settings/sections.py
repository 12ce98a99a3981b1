"""A table of the TOML file: what all of them share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator


class FromVariable(str):
    """A value from the environment: text, whatever it stands for."""

    __slots__ = ()


class Section(BaseModel):
    """A table of the TOML file: its keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _has_its_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse what pydantic would take: `true` for the number 1, and a number or a flag in quotes."""
        wanted = cls.model_fields[info.field_name or ""].annotation
        is_text = isinstance(value, str) and not isinstance(value, FromVariable)
        if wanted in (int, float) and (isinstance(value, bool) or is_text):
            raise ValueError("expected a number")
        if wanted is bool and not isinstance(value, bool | FromVariable):
            raise ValueError("expected true or false")
        return value


def twice(names: Iterable[str]) -> str | None:
    """Return the first name that comes again."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
