"""What the techniques of a search can reach, before anything is trained: which limits can be met, and what is nearest.

A worker builds the network, lays each technique over it at a few levels, and counts (`engine.compute.worker.reach`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

from engine.errors import PresetInvalid, UsageError
from engine.machine.value import Machine
from engine.measures import latency
from engine.measures.table import measure_text
from engine.params import STEPS
from engine.params.cheap import cheap
from engine.params.preset import Latency, Model
from engine.params.search import MOST_ACCURATE
from engine.presets import limits
from engine.presets.model import Spec
from engine.presets.space import Dimension
from engine.presets.spec import candidate
from engine.results.summary import measure_value
from engine.search.bounds import Bound, allows
from engine.search.task import Task
from engine.sources import Sources
from engine.store.keys import key
from engine.studies.checkup import REACH
from engine.studies.plan import Job, Node, Plan
from engine.studies.roots import built_from
from engine.text.numbers import ratio
from engine.text.phrases import names
from engine.text.tables import table

VERSION = 5
"""Raised when more is tried, or otherwise."""
FURTHER = (0.5, 1.0)
"""How far along its ranges each technique is tried, beside the first value with which it runs."""
TOGETHER = "all together"
"""The row of all techniques at one level."""
QUICK = {"blocks": 3, "block_ms": 15.0, "warmup_ms": 20.0}
"""A latency good enough to tell whether a limit is out of reach."""
ESTIMATED = 1.5
"""Bytes of a packed file depend on trained weights: only a limit that is missed by more is out of reach."""
NOISY = 1.3
"""The same for latencies, which are measured briefly."""
COARSE = 1.05
"""The same for counts, which go in whole channels."""
DECIDES = ("floor", "round_to", "scope", "skip", "keep")
"""Parameters that decide how much a network allows of those whose `Extent` ends."""
COMBINED = 16
"""Combinations of their values, at most, for each of which that is found out."""


def job(spec: Spec, plan: Plan, machine: Machine, code: Sources) -> Job:
    """The job that finds it out; its `material` has the levels of each technique, as steps."""
    settings = spec.settings
    timed = _timed(spec)
    material: dict[str, Any] = {
        "kind": REACH,
        "version": VERSION,
        "model": settings.model.model_dump(mode="json", include=set(Model.model_fields)),
        "techniques": list(_techniques(spec)),
        "by": _by(Task.of(spec)),
        "size": any(name.startswith("size.") for name in Task.of(spec).names),
        "latency": timed.model_dump(mode="json") if timed else None,
        **(machine.timing(timed.runtimes) | {"threads": machine.threads} if timed else {}),
    }
    built = built_from(settings.model, plan.trials[0].fingerprint, machine, code)
    node = Node(
        key({"built": built, **material}), REACH, REACH, material, None, -1, exclusive=timed is not None
    )
    return Job.of(-1_000_000, 0, (node,), node.exclusive)


def _timed(spec: Spec) -> Latency | None:
    """How latency is measured here, where the search is about it."""
    wanted = limits.latencies(Task.of(spec).search)
    found = spec.settings.measure.latency
    if not wanted or found is None:
        return None
    runtime, batch = wanted[0]
    return found.model_copy(
        update={"runtimes": (runtime,), "batch": (batch,), "precision": ("fp32",), **QUICK}
    )


def _by(task: Task) -> str:
    """The amount by which levels of a technique are put in order."""
    names = [name for name in task.names if not latency.is_name(name)]
    return names[0] if names else "macs"


def _techniques(spec: Spec) -> Iterator[dict[str, Any]]:
    assert spec.space is not None
    # How far a step goes behind one that changes the network's layers, the network as it is built does not tell.
    changed = any(step.changes_layers() for step in spec.trials[0].steps)
    for number, name in enumerate(spec.space.names):
        own = [one for one in spec.space.dimensions if one.step == number]
        levels: list[dict[str, Any] | None] = []
        for point in _points(own):
            level = _level(spec, name, point | {f"{name}.enabled": True})
            if level not in levels:
                levels.append(level)
        if any(levels):
            furthest = [] if changed else list(_furthest(spec, name, own))
            fields = [list(one.field) for one in own if one.extent.ends]
            yield {"name": name, "levels": levels, "fields": fields, "furthest": furthest}
            changed |= any(STEPS[level["kind"]].changes_layers() for level in levels if level)


def _furthest(spec: Spec, name: str, own: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
    """For each number that a network may set an end to: the step with that number at its most and the others at their
    least, once for every combination of the parameters that decide where the end is."""
    able = [one for one in own if one.extent.ends]
    mildest = {one.path: _in_order(one).first for one in own}
    for one in able:
        beside = [other for other in own if other.field[0] in DECIDES]
        values = [other.values or (other.low, other.high) for other in beside]
        combined = [
            dict(zip((other.path for other in beside), found, strict=True)) for found in product(*values)
        ]
        for at in combined if len(combined) <= COMBINED else ():
            point = mildest | at | {one.path: _in_order(one).between(1.0)}
            step = _level(spec, name, point)
            if step is not None:
                yield {"path": one.path, "field": list(one.field), "at": at, "step": step}


def _points(dimensions: Sequence[Dimension]) -> Iterator[dict[str, Any]]:
    """Points with all dimensions at their least, middle and most; and every value that is no number, with the others at
    either end."""
    ordered = {one.path: _in_order(one) for one in dimensions}
    ends = [{path: one.first for path, one in ordered.items()}]
    ends += [{path: one.between(share) for path, one in ordered.items()} for share in FURTHER]
    yield from ends
    for path, one in ordered.items():
        for value in one.values if not one.ordered else ():
            yield ends[0] | {path: value}
            yield ends[-1] | {path: value}


def _in_order(one: Dimension) -> Dimension:
    """The dimension with its values sorted, where they are numbers."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in one.values)
    return replace(one, values=tuple(sorted(one.values))) if numbers else one


def _level(spec: Spec, name: str, point: dict[str, Any]) -> dict[str, Any] | None:
    """The step called `name` at a point, made cheap; None where it does not run, or does not compress."""
    try:
        steps = candidate(spec, point, 0).trials[0].steps
    except PresetInvalid:
        return None
    step = next((one for one in steps if one.address == name and one.compresses), None)
    return None if step is None else cheap(step)


def lines(task: Task, rows: Sequence[dict[str, Any]], bounds: Sequence[Bound] = ()) -> list[str]:
    """A table of what can be reached, how far ranges go beyond that, and of each limit whether it can be met."""
    shown = list(dict.fromkeys([*task.names, "macs", "parameters"]))[:4]
    first = rows[0]
    cells = [
        [row["name"], row["level"], *(_cell(row, first, name) for name in shown)]
        for row in rows
        if "unavailable" not in row
    ]
    heads = ["can be reached", "", *(name.removeprefix("latency.") for name in shown)]
    text = table(heads, cells, ["left", "left"])
    refused = [
        f"{row['name']} at its {row['level']}: {row['unavailable']}" for row in rows if "unavailable" in row
    ]
    told = [
        "amounts on the network as it is built: bytes of packed files are estimates, accuracy is not known"
    ]
    return [
        *text.splitlines(),
        *told,
        *refused,
        *_bounded(task, bounds),
        *(_met(task, rows, limit) for limit in limits.amounts(task.limits)),
    ]


def _bounded(task: Task, bounds: Sequence[Bound]) -> Iterator[str]:
    for one in task.space.dimensions:
        own = [bound for bound in bounds if bound.path == one.path]
        if own:
            least, most = min(bound.most for bound in own), max(bound.most for bound in own)
            depending = (
                f", depending on {names(sorted({path for b in own for path in b.at}))}"
                if least < most
                else ""
            )
            yield f"{one.path}: {most:g} is the most that the network allows{depending}; nothing beyond is proposed"


def _cell(row: dict[str, Any], first: dict[str, Any], name: str) -> str:
    value, before = measure_value(row, name), measure_value(first, name)
    if value is None:
        return ""
    times = f" {ratio(before / value)}" if before and row is not first else ""
    return measure_text(name, value) + times


def _met(task: Task, rows: Sequence[dict[str, Any]], limit: limits.Limit) -> str:
    value, row = nearest(rows, limit.measure)
    bound = limit.bound(measure_value(rows[0], limit.measure))
    if bound is None or row is None:
        return f"{limit}: not known before it is measured"
    verb = "cannot be met"
    if value <= bound * _tolerance(limit) or not _all_tried(rows):
        verb = "can be met" if value <= bound else "may be met"
    return f"{limit}: {verb}; nearest is {measure_text(limit.measure, value)} ({row['name']}, {row['level']})"


def _all_tried(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether what all techniques come to together is known: some may not go beside others that may be off."""
    return not any(row["name"] == TOGETHER and "unavailable" in row for row in rows)


def nearest(rows: Sequence[dict[str, Any]], name: str) -> tuple[float, dict[str, Any] | None]:
    """The row that has least of a measure, and how much."""
    found = [(value, row) for row in rows if (value := measure_value(row, name)) is not None]
    return min(found, key=lambda pair: pair[0], default=(float("inf"), None))


def _tolerance(limit: limits.Limit) -> float:
    if latency.is_name(limit.measure):
        return NOISY
    return ESTIMATED if limit.measure.startswith("size.") else COARSE


def check(task: Task, rows: Sequence[dict[str, Any]], bounds: Sequence[Bound] = ()) -> None:
    """Raises UsageError for the first range that is out of reach as a whole, or limit that all techniques together
    can't meet."""
    for one in task.space.dimensions:
        most = max((bound.most for bound in bounds if bound.path == one.path), default=None)
        if most is not None and not allows(one, most):
            given = names(map(str, one.values)) if one.values else f"{one.low:g}..{one.high:g}"
            raise UsageError(
                f"{one.path} can't be reached: {most:g} is the most that the network allows",
                f"The search is to choose from {given}.",
                f"Begin below {most:g}, or allow more: a lower floor, a smaller round_to, a shorter skip or keep.",
            )
    for limit in limits.amounts(task.limits) if _all_tried(rows) else ():
        value, row = nearest(rows, limit.measure)
        bound = limit.bound(measure_value(rows[0], limit.measure))
        if row is None or bound is None or value <= bound * _tolerance(limit):
            continue
        raise UsageError(
            f"The limit can't be met: {limit}",
            f"The least that can be reached is {measure_text(limit.measure, value)} ({row['name']}, {row['level']}); "
            f"the network as it is has {measure_text(limit.measure, measure_value(rows[0], limit.measure))}.",
            "Raise the limit, widen the ranges under search.over, or add a technique.",
        )
    if task.goal != MOST_ACCURATE and len(rows) > 1:
        value, row = nearest(rows[1:], task.goal)
        before = measure_value(rows[0], task.goal)
        if (
            row is not None
            and before
            and value >= before * (1.0 if not latency.is_name(task.goal) else NOISY)
        ):
            raise UsageError(
                f"Nothing under search.over makes the network better in {task.goal}",
                f"It has {measure_text(task.goal, before)} as it is, and {measure_text(task.goal, value)} at best.",
                "Search over a technique that does, such as prune.channels.",
            )
