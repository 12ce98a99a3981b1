"""A fingerprint of a contract: the same in every process, another when anything changes that decides a verdict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from validators.rules import RULES_VERSION, Column, Rule


def digest(columns: Sequence[Column], rules: Sequence[Rule], others: Sequence[Any], source: bytes) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of what a contract says.

    Args:
        columns: its columns.
        rules: its rules.
        others: everything else that decides: numbers, texts, and lists and mappings of them.
        source: the text that it was made from. Without one, the functions' code stands for it.
    """
    said = {
        "version": RULES_VERSION,
        "source": hashlib.sha256(source).hexdigest(),
        "columns": [
            [each.name, each.type.kind, str(each.type.arrow), str(each.type.pandas), each.required, each.nullable]
            for each in columns
        ],
        "rules": [_said(rule, with_code=not source) for rule in rules],
        "others": [plain(each) for each in others],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> str:
    """Write a value so that it reads the same in every process: sets in order, functions by name."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{plain(key)}: {plain(value[key])}' for key in sorted(value, key=repr))}}}"
    if isinstance(value, set | frozenset):
        return f"{{{', '.join(sorted(plain(each) for each in value))}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(plain(each) for each in value)}]"
    return getattr(value, "__qualname__", None) or repr(value)


def _said(rule: Rule, *, with_code: bool) -> list[Any]:
    said: list[Any] = [rule.name, rule.scope, rule.column, rule.pattern, rule.expected, rule.allowed, rule.keep]
    if rule.check is None:
        return [*said, rule.columns]
    said += [plain(rule.check.statistics), rule.check.ignore_na, rule.check.element_wise, plain(rule.check.groupby)]
    return [*said, *(_code(rule.check._check_fn) if with_code else [])]  # noqa: SLF001 - pandera has no public way


def _code(function: Any) -> list[str]:
    """Return what a function does, the functions that it wraps included."""
    if not isinstance(function, FunctionType):
        return [getattr(function, "__name__", type(function).__name__)]
    inner = [cell.cell_contents for cell in function.__closure__ or () if isinstance(cell.cell_contents, FunctionType)]
    return [*_bytecode(function.__code__), *(each for other in inner for each in _code(other))]


def _bytecode(code: CodeType) -> list[str]:
    nested = [each for each in code.co_consts if isinstance(each, CodeType)]
    constants = [plain(each) for each in code.co_consts if not isinstance(each, CodeType)]
    return [code.co_code.hex(), *constants, *code.co_names, *(each for other in nested for each in _bytecode(other))]
