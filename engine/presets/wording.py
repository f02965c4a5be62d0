"""Phrases that all messages about a preset share."""

import json

from engine.presets.yaml.tree import Listing, Node, Scalar, resolve, shorten


def given(node: Node) -> str:
    """What was written, as a phrase.

    >>> given(Scalar("0.5", "a.yaml:1", "x"))
    "given the text '0.5'"
    """
    if isinstance(node, Scalar):
        return _given_scalar(node)
    text = json.dumps(node.plain(), ensure_ascii=False).replace('"', "")
    if len(text) <= 40:
        return f"given {shorten(text)}"
    noun = "values" if isinstance(node, Listing) else "entries"
    return f"given {'a list' if isinstance(node, Listing) else 'a mapping'} of {len(node.items)} {noun}"


def _given_scalar(node: Scalar) -> str:
    if isinstance(node.value, str):
        # Quotes would not show that it is text where the text looks like something else.
        lookalike = not isinstance(resolve(node.value), str)
        return f"given {'the text ' if lookalike else ''}'{shorten(node.value)}'"
    if node.value is None:
        return "given null" if node.text else "given nothing"
    if isinstance(node.value, bool):
        return f"given {str(node.value).lower()}"
    return f"given {shorten(node.text or str(node.value))}"


def text_of(node: Node | None) -> str:
    """The text a node holds, or an empty one."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
