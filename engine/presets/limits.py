"""Limits in words: `accuracy: -1 point`, `size.packed: 500 kB`, `macs: 40 %`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from engine.errors import Problem
from engine.measures import latency
from engine.measures.table import FIELDS, QUALITIES, TABLE, drawn, measure, measure_text
from engine.params.preset import Pick
from engine.params.search import MOST_ACCURATE, Search
from engine.presets.steps import Unknown
from engine.presets.wording import given
from engine.presets.yaml.tree import Mapping, Node, Scalar, at, dotted
from engine.text.numbers import number, points_of
from engine.text.phrases import names, suggest

KINDS = ("count", "bytes", "milliseconds")
"""Kinds of measures that can be limited: amounts that a model has, whatever images it is shown."""
AMOUNTS = tuple(
    name
    for name in drawn("plot")
    if TABLE[name].kind in KINDS and TABLE[name].better == "lower" and name not in FIELDS
)
UNITS: dict[str, dict[str, float]] = {
    "bytes": {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30},
    "count": {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "kMACs": 1e3, "MMACs": 1e6, "GMACs": 1e9},
    "milliseconds": {"": 1, "ms": 1, "us": 1e-3, "µs": 1e-3, "s": 1e3},
}
EXAMPLES = {"bytes": "500 kB", "count": "20 M", "milliseconds": "2 ms"}
_AMOUNT = re.compile(r"\s*(\d+\.?\d*|\.\d+)(?:e(\d{1,2}))?\s*(%|[A-Za-zµ]*)\s*", re.ASCII | re.IGNORECASE)
_POINTS = re.compile(r"\s*([-+−]?)\s*(\d+\.?\d*|\.\d+)\s*(?:points?)?\s*", re.ASCII)
POINTS = "what may be lost of it, such as -1 point"


@dataclass(frozen=True)
class Limit:
    """What a model may have of a measure.

    `loss`: at most `value` (0 … 1) less of the quality that its task is judged by than its baseline; `most`: at most
    `value`; `share`: at most `value` times as much as its baseline.
    """

    measure: str
    kind: Literal["loss", "most", "share"]
    value: float

    def bound(self, baseline: float | None) -> float | None:
        """The most that it may have, where the baseline has so much; None while that is not known."""
        if self.kind == "most":
            return self.value
        return None if baseline is None or self.kind == "loss" else self.value * baseline

    @property
    def written(self) -> str:
        """The amount or share as presets have it."""
        return f"{100 * self.value:.9g} %" if self.kind == "share" else f"{self.value:.9g}"

    def __str__(self) -> str:
        match self.kind:
            case "loss":
                return f"{self.measure} −{points_of(round(100 * self.value, 6))}"
            case "share":
                return f"{self.measure} at most {number(round(100 * self.value, 6))} % of the baseline's"
            case "most":
                return f"{self.measure} at most {measure_text(self.measure, self.value)}"


def parse(name: str, value: Any) -> Limit:
    """The limit that `name: value` says. Raises Unknown, with what is allowed, for one that means nothing.

    >>> parse("accuracy", "-1 point")
    Limit(measure='accuracy', kind='loss', value=0.01)
    >>> parse("size.packed", "500 kB").value, parse("macs", "40 %").kind
    (500000.0, 'share')
    """
    if name in QUALITIES:
        return Limit(name, "loss", _lost(value))
    if name not in AMOUNTS and not (latency.is_name(name) and name.startswith("latency.")):
        known = (*QUALITIES, *AMOUNTS)
        raise Unknown("is unknown", names([*known, "latency.onnxruntime.1"], most=20), suggest(name, known))
    kind = measure(name).kind
    allowed = f"an amount such as {EXAMPLES[kind]}, or a share of the baseline's such as 40 %"
    match = _AMOUNT.fullmatch(str(value)) if isinstance(value, int | float | str) else None
    if match is None or isinstance(value, bool):
        raise Unknown(_said(value), allowed)
    amount = float(match[1]) * 10.0 ** int(match[2] or 0)
    if amount <= 0:
        raise Unknown(f"{_said(value)}, which no model can have", allowed)
    if match[3] == "%":
        if amount > 100:
            raise Unknown(f"{_said(value)}, more than the baseline has", allowed)
        return Limit(name, "share", amount / 100)
    factor = UNITS[kind].get(match[3])
    if factor is None:
        units = names([unit for unit in UNITS[kind] if unit])
        raise Unknown(_said(value), f"{allowed}; units are {units}", suggest(match[3], UNITS[kind]))
    return Limit(name, "most", amount * factor)


def _lost(value: Any) -> float:
    match = _POINTS.fullmatch(str(value)) if isinstance(value, int | float | str) else None
    if match is None or isinstance(value, bool):
        raise Unknown(_said(value), POINTS)
    points = float(match[2])
    if points and match[1] not in ("-", "−"):
        raise Unknown(_said(value), POINTS, f"write -{points_of(points)}")
    if points > 100:
        raise Unknown(_said(value), f"{POINTS}, 100 at most")
    return points / 100


def _said(value: Any) -> str:
    return (
        given(Scalar(value, "", "", str(value)))
        if isinstance(value, str | int | float | bool)
        else "given no amount"
    )


def problems(owner: Node | None, name: str, goal: str = "") -> list[Problem]:
    """What is wrong with each limit in the section `name` of `owner`, and with two that are of one thing.

    `goal` is what a search asks for. A `pick`, without one, has `within` for the quality.
    """
    section = at(owner, name)
    if not isinstance(section, Mapping):
        section = Mapping({}, owner.place if owner else "", dotted(owner.path if owner else "", name))
    found: list[Problem] = []
    quality = ""
    for name, node in section.items.items():
        place, path = section.key_place(name), f"{section.path}.{name}"
        try:
            limit = parse(name, node.plain())
        except Unknown as error:
            found.append(Problem(place, path, *error.parts))
            continue
        if limit.kind == "loss" and quality:
            found.append(Problem(place, path, f"given together with {quality}", "one of the two"))
        if limit.kind == "loss" and not goal:
            found.append(Problem(place, path, "is limited by within", "limits of other measures"))
        quality = quality or (name if limit.kind == "loss" else "")
    if goal == MOST_ACCURATE and not [n for n in section.items if n not in QUALITIES] and not found:
        what = "limits nothing that the most accurate model has"
        found.append(Problem(section.place, section.path, what, "a limit such as size.packed: 500 kB"))
    return found


def of_search(search: Search) -> tuple[Limit, ...]:
    """The limits of a valid section; a point of accuracy where it says nothing and does not ask for accuracy."""
    found = tuple(parse(name, value) for name, value in search.within.items())
    if search.goal == MOST_ACCURATE or any(limit.kind == "loss" for limit in found):
        return found
    return (Limit(QUALITIES[0], "loss", float(Pick.model_fields["within"].default) / 100), *found)


def amounts(limits: Iterable[Limit]) -> tuple[Limit, ...]:
    """Those of amounts, not of quality."""
    return tuple(limit for limit in limits if limit.kind != "loss")


def loss(limits: Iterable[Limit]) -> float | None:
    """The quality (0 … 1) that may be lost; None where that is not limited."""
    return next((limit.value for limit in limits if limit.kind == "loss"), None)


def latencies(search: Search) -> list[tuple[str, int]]:
    """Runtimes and batch sizes whose latency the goal or a limit is about."""
    wanted = [name for name in (search.goal, *search.within) if name.startswith("latency.")]
    found = [dict(latency.parse(name).wanted) for name in wanted if latency.is_known(name)]
    return list(dict.fromkeys((one.get("runtime", "onnxruntime"), one.get("batch", 1)) for one in found))
