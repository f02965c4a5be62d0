"""Parameters whose value is one of several classes, told apart by their `kind`."""

from typing import Any

from pydantic import BeforeValidator


def _expand(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


kind_from_name = BeforeValidator(_expand)
"""Lets a preset write `schedule: cubic` for `schedule: {kind: cubic}`."""
