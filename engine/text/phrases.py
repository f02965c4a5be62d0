"""Phrases that messages share: names in a row, how many there are, and the name that was meant."""

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from itertools import takewhile

NEAR = 0.6
"""Similarity from which a name is worth suggesting; difflib's own default, which rarely suggests nonsense."""


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


def counted(number: int, noun: str, plural: str = "") -> str:
    """How many of what: the `plural` is the noun with an s unless it is given.

    >>> counted(1, "channel"), counted(1200, "channel"), counted(0, "class", "classes")
    ('1 channel', '1,200 channels', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def names(candidates: Iterable[str], most: int = 16) -> str:
    """Names in a row, cut short after `most`."""
    listed = list(candidates)
    return ", ".join(listed[:most]) + (", …" if len(listed) > most else "")


def listed(names: Sequence[str], most: int = 6) -> str:
    """The names, or the first few and how many more; a single one more is named too.

    >>> listed(["a", "b", "c", "d"], 2), listed(["a", "b", "c"], 2)
    ('a, b, and 2 more', 'a, b, c')
    """
    more = len(names) - most
    return ", ".join(names if more <= 1 else [*names[:most], f"and {more} more"])


def last_parts(names: Sequence[str]) -> list[str]:
    """The last part of each dotted name, where no other one ends alike; else the name.

    >>> last_parts(["prune.weights.sparsity", "train.epochs", "finetune.epochs"])
    ['sparsity', 'train.epochs', 'finetune.epochs']
    """
    ends = [name.rpartition(".")[2] for name in names]
    return [end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)]
