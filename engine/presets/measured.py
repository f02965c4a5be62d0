"""Measures that a preset names where it says what to draw, to pick and to look for: its trials must have them, and
those of a search do."""

from collections.abc import Iterator

from engine.errors import Problem
from engine.measures import latency
from engine.params.preset import Latency, Measure, Settings
from engine.params.runtimes import INT8, RUNTIMES, Runtime
from engine.presets import limits
from engine.presets.wording import text_of
from engine.presets.yaml.tree import Mapping, Scalar, at
from engine.text.phrases import names

SAID = (("plot", "x"), ("plot", "y"), ("pick", "by"))
LIMITED = (("pick", "limits"), ("search", "within"))
SIZE = "size."
EXAMPLE = "latency.onnxruntime.1"


def unmeasured(root: Mapping, measure: Measure) -> list[Problem]:
    """Names of what no trial is measured for: a chart would stay empty, nothing be picked, no candidate meet a limit,
    and all that only after the computing."""
    found = []
    for node in _said(root):
        name = text_of(node)
        problem = _of_rows(name, measure.latency) if latency.is_name(name) else _of_files(name, measure)
        if problem is not None:
            what, allowed = problem
            found.append(Problem(node.place, node.path, f"given {name}, {what}", allowed))
    return found


def _said(root: Mapping) -> Iterator[Scalar]:
    """Every measure that is named; of one that is a key, the key as a node."""
    for keys in SAID:
        node = at(root, *keys)
        if isinstance(node, Scalar):
            yield node
    for keys in LIMITED:
        section = at(root, *keys)
        if isinstance(section, Mapping):
            for name in section.items:
                yield Scalar(name, section.key_place(name), f"{section.path}.{name}", name)


def _of_files(name: str, measure: Measure) -> tuple[str, str] | None:
    if measure.size or not name.startswith(SIZE):
        return None
    return "but measure.size is false", "with `measure: {size: true}`"


def _of_rows(name: str, measured: Latency | None) -> tuple[str, str] | None:
    if not latency.is_known(name):
        return "which is no runtime, batch, precision or threads", f"names such as {EXAMPLE}"
    if measured is None:
        return "but no trial measures latency", "with `measure: {latency: {}}`"
    if _has(measured, name):
        return None
    field = latency.parse(name).field
    rows = [f"{field}.{runtime}.{batch}" for runtime in measured.runtimes for batch in measured.batch]
    return "which no trial measures", f"what measure.latency says: {names(rows, most=8)}"


def _has(measured: Latency, name: str) -> bool:
    """Whether there is a row of that name; where threads are left to each trial, of any number of them."""
    wanted = dict(latency.parse(name).wanted)
    return (
        wanted.get("runtime") in (None, *measured.runtimes)
        and wanted.get("precision") in (None, INT8, *measured.precision)
        and wanted.get("batch") in (None, *measured.batch)
        and (measured.threads is None or wanted.get("threads") in (None, *measured.threads))
    )


def measuring(settings: Settings) -> Settings:
    """The settings with every size and latency measured that the goal or a limit is about."""
    search, measure = settings.search, settings.measure
    assert search is not None
    if any(name.startswith(SIZE) for name in (search.goal, *search.within)):
        measure = measure.model_copy(update={"size": True})
    if wanted := limits.latencies(search):
        given = measure.latency
        asked: tuple[Runtime, ...] = tuple(
            name for name in RUNTIMES if any(name == runtime for runtime, _ in wanted)
        )
        runtimes = dict.fromkeys([*(given.runtimes if given else ()), *asked])
        batch = dict.fromkeys([*(given.batch if given else ()), *(size for _, size in wanted)])
        both = {"runtimes": tuple(runtimes), "batch": tuple(batch)}
        measure = measure.model_copy(update={"latency": (given or Latency()).model_copy(update=both)})
    return settings.model_copy(update={"measure": measure})
