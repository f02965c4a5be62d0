"""Files that hold several networks, or other things beside one: a trainer's criterion, metrics, a teacher."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from engine.compute.pretrained.unwrap import PREFIXES, Variant, variants


def readings(state: dict[str, Tensor], wanted: str | None = None) -> list[list[Variant]]:
    """Every way to read the names: as one network, then each part of the names as one, a list of ways for each.

    Parts that wrappers name (`model.`, `net.`, `student.`, …) come first, in that order. With `wanted`, only the part
    whose names begin so; an empty list where none do.
    """
    if wanted is not None:
        return [list(_read(part)) for part in _part(state, wanted.rstrip(".") + ".")]
    groups = dict.fromkeys(name.partition(".")[0] + "." for name in state if "." in name)
    ordered = [p for p in PREFIXES if p in groups] + [p for p in groups if p not in PREFIXES]
    parts = [part for prefix in ordered for part in _part(state, prefix) if len(part.state) < len(state)]
    return [variants(state), *(list(_read(part)) for part in parts)]


def alike(groups: Sequence[Sequence[Variant]], fits: Callable[[Variant], bool]) -> list[str]:
    """The parts that no wrapper names and that all fit: which of them is meant, nobody can tell."""
    unknown = [ways for ways in groups if ways[0].left_out and not ways[0].prefix.startswith(PREFIXES)]
    return [ways[0].prefix for ways in unknown if any(map(fits, ways))]


def _part(state: dict[str, Tensor], prefix: str) -> Iterator[Variant]:
    inside = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    others = tuple(dict.fromkeys(_first(name) for name in state if not name.startswith(prefix)))
    if inside:
        yield Variant(inside, prefix, others)


def _read(part: Variant) -> Iterator[Variant]:
    for one in variants(part.state):
        yield replace(one, prefix=part.prefix + one.prefix, left_out=part.left_out)


def _first(name: str) -> str:
    first, dot, _ = name.partition(".")
    return first + ".*" if dot else first
