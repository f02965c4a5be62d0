"""Phrases that all messages about a preset share."""

import json
from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile

from engine.yamltree import Listing, Node, Scalar, resolve, shorten

NEAR = 0.6
"""Similarity from which a name is worth suggesting; difflib's own default, which rarely suggests nonsense."""


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


def suggest(word: str, candidates: Iterable[str]) -> str:
    """ "did you mean …?" with the candidate most like `word`, or nothing.

    >>> suggest("sparsty", ["scope", "sparsity"])
    'did you mean sparsity?'
    """
    best = nearest(word, candidates)
    return f"did you mean {best}?" if best else ""


def nearest(word: str, candidates: Iterable[str]) -> str:
    """The candidate most like `word`, whatever its case and separators; empty if none is."""
    folded = {_fold(candidate): candidate for candidate in candidates}
    wanted = _fold(word[:100])
    # `prune` for `prune.weights`, `resnet18` for `torchvision/resnet18`.
    for fold, candidate in folded.items():
        if wanted in fold.replace("/", ".").split("."):
            return candidate
    matches = get_close_matches(wanted, folded, n=5, cutoff=NEAR)
    if not matches:
        return next((folded[fold] for fold in folded if len(wanted) >= 3 and fold.startswith(wanted)), "")
    # Of those equally like it, the one that begins like it: resnet20, not resnet32, for resnet21.
    return folded[max(matches, key=lambda fold: (_likeness(wanted, fold), _shared_start(wanted, fold)))]


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _shared_start(one: str, other: str) -> int:
    """Number of characters with which both begin."""
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in shared)


def _fold(word: str) -> str:
    return word.lower().replace("-", "_")


def names(candidates: Iterable[str], most: int = 16) -> str:
    """Names in a row, cut short after `most`."""
    listed = list(candidates)
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


def text_of(node: Node | None) -> str:
    """The text a node holds, or an empty one."""
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
