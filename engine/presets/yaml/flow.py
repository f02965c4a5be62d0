"""Plain values on one line, as a preset may have them."""

import json
import math
from typing import Any

from engine.presets.yaml.tree import load


def as_written(value: Any) -> str:
    """A value as a preset has it after its name: a text without quotes, whatever it looks like.

    >>> as_written({"head": 2, "stem": 0.5}), as_written(["conv1", "a, b"])
    ('{head: 2, stem: 0.5}', '[conv1, "a, b"]')
    >>> as_written(True), as_written(None), as_written("0.5")
    ('true', 'null', '0.5')
    """
    return value if isinstance(value, str) else flow(value)


def flow(value: Any) -> str:
    """A value inside a list or mapping; texts are in quotes where they would be read as something else.

    >>> flow("a b"), flow("0.5"), flow(1e-05), flow({})
    ('a b', '"0.5"', '1e-05', '{}')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(flow(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{flow(key)}: {flow(item)}' for key, item in value.items())}}}"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return f".{value:g}" if value != -math.inf else "-.inf"
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return _text(value) if isinstance(value, str) else str(value)


def _text(text: str) -> str:
    node, problems = load(f"[{text}]", str)
    alike = node is not None and not problems and node.plain() == [text]
    return text if alike else json.dumps(text, ensure_ascii=False)
