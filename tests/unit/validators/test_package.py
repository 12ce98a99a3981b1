"""The package as others import it."""

from __future__ import annotations

import subprocess
import sys

import pytest

import validators


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, validators; print(sorted({'pandas', 'pandera', 'pyarrow', 'numpy', 'duckdb'} & set(sys.modules)))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        check=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert said.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert {name for name in validators.__all__ if getattr(validators, name) is not None} == set(validators.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'validators' has no attribute 'check_fil'"):
        validators.check_fil  # noqa: B018 - reading it is what fails
