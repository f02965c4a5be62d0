"""Values as they are typed and shown in a field: what is shown reads back to the same, half typed or not."""

from dataclasses import dataclass
from typing import Any

from engine.params.rows import Row
from engine.presets.yaml.flow import flow
from engine.presets.yaml.tree import MAX_DIGITS, load, resolve

SINGLE = ("number", "integer", "yes/no", "choice")
"""Types of which a list or a range typed into the field can only be meant as a sweep."""


@dataclass(frozen=True)
class Fixed:
    """One value for all trials."""

    value: Any


@dataclass(frozen=True)
class Swept:
    """A list of values, or the text of a range: a trial for each."""

    values: Any


@dataclass(frozen=True)
class Default:
    """Nothing typed: the declared default."""


Typed = Fixed | Swept | Default


def read(row: Row, typed: str) -> Typed:
    """What was typed into the field of `row`; whether it is right is for the engine to say.

    >>> read(Row("sparsity", "number"), "0, 0.5")
    Swept(values=[0, 0.5])
    >>> read(Row("sparsity", "number"), "0..0.9 by 0.1")
    Swept(values='0..0.9 by 0.1')
    """
    text = typed.strip()
    if not text:
        return Default()
    if row.type == "list":
        return Fixed(text) if text in row.choices and row.item != "choice" else _list(text)
    if row.type == "mapping":
        return Fixed(_collection(text if text.startswith("{") else f"{{{text}}}", text))
    if row.type in SINGLE and (text.startswith("[") or "," in text):
        values = _listing(text)
        return Fixed(values) if row.listable else Swept(values)
    if row.type in SINGLE and ".." in text:
        return Swept(text)
    if text.startswith("[") and text.endswith("]"):
        return Swept(_listing(text))
    return Fixed(text if row.type == "text" and _is_text(row, text) else _scalar(text))


def _is_text(row: Row, text: str) -> bool:
    return not (row.optional and text == "null")


def _list(text: str) -> Typed:
    values = _listing(text)
    if isinstance(values, list) and values and all(isinstance(item, list) for item in values):
        return Swept(values)
    return Fixed(values)


def read_sweep(row: Row, typed: str) -> Any:
    """A list or range for the sweep editor; a single value is a list of one."""
    text = typed.strip()
    if ".." in text and "," not in text and not text.startswith("["):
        return text
    return _listing(text)


def _listing(text: str) -> Any:
    return _collection(text if text.startswith("[") else f"[{text}]", text)


def _collection(yaml: str, text: str) -> Any:
    """The list or mapping in `yaml`; while half typed, the text itself, which the engine will refuse."""
    node, problems = load(yaml, str)
    return text if node is None or problems else node.plain()


def _scalar(text: str) -> Any:
    return text if len(text) > MAX_DIGITS else resolve(text)


def text_of(value: Any) -> str:
    """A value as it is typed.

    >>> text_of([0, 0.5, "a b"]), text_of({"width": 32}), text_of(True), text_of(1e-05)
    ('0, 0.5, a b', 'width: 32', 'true', '1e-05')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        if len(value) == 1 or (value and all(isinstance(item, list) for item in value)) or not value:
            return flow(list(value)) if not value or isinstance(value[0], list) else flow(value[0])
        return ", ".join(flow(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) or "{}"
    return flow(value)


def sweep_text(values: Any) -> str:
    """The values of an axis as they are typed; a single one in brackets, or it would not look swept."""
    if isinstance(values, list) and (len(values) < 2 or any(isinstance(item, str | list) for item in values)):
        return flow(values)
    return text_of(values)
