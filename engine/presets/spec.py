"""Preset text → validated `Spec` with its trials, or every problem at once."""

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as AnyMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.errors import PresetInvalid, Problem, UsageError
from engine.params import Step
from engine.params.data import LARGEST_SEED
from engine.params.preset import Settings
from engine.params.sensitivity import Sensitivity
from engine.presets import auto, checks, limits, overrides, space, sweep
from engine.presets import quick as small
from engine.presets.boxes import boxes
from engine.presets.files import absolute
from engine.presets.measured import measuring, unmeasured
from engine.presets.model import Spec, Trial
from engine.presets.sequence import beyond_tables, clashes
from engine.presets.steps import AROUND, StepNode, normalise, settings_node, steps_of
from engine.presets.teaching import teachers
from engine.presets.trials import Built, Sweep, build, parameters, read_sweep, with_seed
from engine.presets.validate import check
from engine.presets.wording import given
from engine.presets.yaml.tree import (
    MAX_CHARACTERS,
    Listing,
    Mapping,
    at,
    is_empty,
    load,
    node_of,
    put,
    to_yaml,
)

__all__ = ["Spec", "Trial", "candidate", "parse", "plain", "proposed", "read", "read_stored", "to_yaml"]


def read(path: Path, overrides: Sequence[str] = (), *, quick: bool = False) -> Spec:
    """Read a preset file; with `quick`, the small version that its `quick` section makes of it.

    Raises:
        UsageError: The file is missing, cannot be read, is no text, or has no quick version.
        PresetInvalid: With every problem found in it.
    """
    text = _text(path)
    return parse(text, path.stem, overrides, source=str(path), folder=path.parent, quick=quick)


def read_stored(path: Path, name: str = "") -> Spec:
    """The preset in a study's folder; `name` is the preset's own (default: the study's).

    It was checked when the study began: what else is refused by now must not lock the study's results away, so
    only what is needed to read it is checked again. Raises like `read`.
    """
    return parse(_text(path), name or path.parent.name, stored=True)


def parse(
    text: str,
    name: str,
    overrides: Sequence[str] = (),
    *,
    source: str = "",
    folder: Path | None = None,
    quick: bool = False,
    stored: bool = False,
) -> Spec:
    """Read a preset from its text.

    Args:
        text: YAML.
        name: The preset's name; a study is called after it.
        overrides: `PATH=VALUE`, each VALUE in YAML.
        source: What to call the file in messages (default: the name).
        folder: Where relative paths are looked up first.
        quick: Whether the preset's `quick` section is applied, before the overrides.
        stored: Whether it is that of a study which exists (see `read_stored`).

    Raises:
        UsageError: With `quick`, for a preset that has no such section.
        PresetInvalid: With every problem found.
    """
    shown = source or name

    def place(line: int) -> str:
        return f"{shown}:{line}"

    root, problems = _tree(text, place)
    if root is None:
        raise PresetInvalid(shown, tuple(problems))
    root, section, new_problems = small.split(root)
    problems += new_problems
    if quick and section is None and not problems:
        raise _no_quick(shown)
    spec, new_problems = _spec(root, name, () if quick else overrides, folder, stored)
    problems += new_problems
    if section is not None:
        variant, new_problems = _variant(root, section, name, overrides if quick else (), folder, stored)
        overridden = bool(overrides) and not quick
        problems += small.own_problems(new_problems, problems, section, overridden=overridden)
        spec = variant if quick or spec is None else replace(spec, quick=variant)
    problems = _tidy(problems)
    if problems or spec is None:
        raise PresetInvalid(shown, tuple(problems))
    return spec


def _variant(
    root: Mapping, section: Mapping, name: str, changes: Sequence[str], folder: Path | None, stored: bool
) -> tuple[Spec | None, list[Problem]]:
    """The small version of a preset."""
    root, problems = small.apply(normalise(root), section)
    spec, more = _spec(root, name + small.SUFFIX, changes, folder, stored)
    return spec, [*problems, *more]


def _no_quick(preset: str) -> UsageError:
    detail = "It has no section `quick:` that says what to make smaller."
    remedy = "Run it without --quick, or with --set; `secateur presets` shows which presets have one."
    return UsageError(f"Preset {preset} has no quick version", detail, remedy)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # Enough for `load` to see that the limit is passed; a character takes up to 4 bytes.
            data = file.read(4 * MAX_CHARACTERS + 1)
    except FileNotFoundError as error:
        remedy = "`secateur presets` lists the presets that come with secateur."
        raise UsageError(f"There is no preset {path}", "", remedy) from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder", "A preset is a YAML file.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no file can have this name"
        raise UsageError(f"Preset {path} cannot be read", f"The system says: {reason}.") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problem = Problem(f"{path}:{line}", "", "holds bytes that are not UTF-8", "UTF-8 text")
        raise PresetInvalid(str(path), (problem,)) from error


def _tree(text: str, place: Callable[[int], str]) -> tuple[Mapping | None, list[Problem]]:
    root, problems = load(text, place)
    sections = "sections such as model:, data: and steps:"
    if root is None and not problems:
        return None, [Problem(place(1), "", "is empty", sections)]
    if root is not None and not isinstance(root, Mapping):
        return None, [*problems, Problem(root.place, "", given(root), sections)]
    return root, problems


def _spec(
    root: Mapping, name: str, changes: Sequence[str], folder: Path | None, stored: bool
) -> tuple[Spec | None, list[Problem]]:
    root, problems = overrides.apply(space.tree(normalise(root)), changes)
    root = absolute(space.tree(root), folder)
    if not is_empty(root.items.get("search")):
        searched, found = _searching(root, name, stored)
        return (None if problems else searched), problems + found
    built, found = _plain(root, name, stored)
    if built is not None and not stored:
        found = unmeasured(root, built.settings.measure)
    return (None if problems else built), problems + found


def _plain(
    root: Mapping, name: str, stored: bool, *, probe: bool = False
) -> tuple[Spec | None, list[Problem]]:
    """The spec of a normalised tree without a search; `probe`: of a candidate of one, which may go too far."""
    problems: list[Problem] = []
    steps, in_steps = steps_of(root)
    swept, in_sweep = read_sweep(root)
    problems += in_steps + in_sweep
    if not stored:
        problems += checks.order(root, steps, swept)
    built, invalid = build(root, steps, swept)
    problems += invalid
    if not stored:
        problems += checks.named(root, swept) + teachers(steps, built) + boxes(steps, built)
        problems += clashes(steps, built) + ([] if probe else beyond_tables(steps, built))
    if problems:
        return None, problems
    return _assemble(root, name, swept, built), []


def _searching(root: Mapping, name: str, stored: bool) -> tuple[Spec | None, list[Problem]]:
    """The spec of a search: its one trial so far is the network that candidates are compared with."""
    opened, problems = _opened(root, stored)
    if opened is None:
        return None, problems
    root, settings, found_space = opened
    root, settings, problems = _with_tables(root, settings, found_space, stored)
    for point, rung in space.probes(found_space) if not stored else ():
        problems += _plain(space.concrete(root, found_space, point, rung), name, stored, probe=True)[1]
    first = space.baseline(root, tables=True)
    begun, found = _plain(first, name, stored) if _has_steps(first) else (None, [])
    problems += found
    if problems:
        return None, problems
    settings = measuring(settings)
    problems = [] if stored else unmeasured(root, settings.measure)
    if problems:
        return None, problems
    steps, tables = _apart(begun.steps if begun else (), root)
    trial = Trial(
        0,
        {},
        with_seed(settings, settings.seeds[0]),
        tuple(step for step in steps if step.enabled),
        validation_only=True,
        tables=tuple(step for step in tables if step.enabled),
    )
    return Spec(name, root.plain(), settings, steps, {}, (trial,), space=found_space), []


def _opened(
    root: Mapping, stored: bool
) -> tuple[tuple[Mapping, Settings, space.Space] | None, list[Problem]]:
    """A search's tree and settings, with steps in the place of `over: auto`, and the space that these open; None where
    anything is wrong with them."""
    problems = [] if stored else _beside_search(root)
    settings, found = check(Settings, settings_node(root), also=AROUND)
    problems += found
    if settings is None or settings.search is None:
        return None, problems
    problems += limits.problems(root.items.get("search"), "within", settings.search.goal)
    problems += _seeds(root, settings.search.seeds, settings.seeds[0])
    if settings.search.over == "auto":
        over = auto.over(settings.search, settings, _written(root, "steps"))
        root = space.tree(put(root, ("search", "over"), node_of(over, "search.over")))
        search = settings.search.model_copy(update={"over": tuple(over)})
        settings = settings.model_copy(update={"search": search})
    found_space, found = space.read(root)
    problems += found
    if not problems and not stored and not found_space.techniques:
        listed = at(root, "search", "over") or root
        what = "has no step that compresses and may run"
        problems.append(Problem(listed.place, "search.over", what, "such as prune.channels: {speedup: 1..8}"))
    return (None if problems else (root, settings, found_space)), problems


def _with_tables(
    root: Mapping, settings: Settings, found: space.Space, stored: bool
) -> tuple[Mapping, Settings, list[Problem]]:
    """Tree and settings with the steps that `search.table` stands for, and what is wrong with those that it lists.

    A search that was stored without the word began before there were such steps: it has none.
    """
    search, given_ = settings.search, at(root, "search", "table")
    assert search is not None
    made: list[dict[str, Any]] = []
    if search.table == "auto" and not (stored and given_ is None):
        over, base = (_written(root, *path) for path in (("search", "over"), ("steps",)))
        made = auto.tables(search, found, over, base)
        root = put(root, ("search", "table"), node_of(made or "none", "search.table"))
    if search.table == "auto":
        search = search.model_copy(update={"table": tuple(made) or "none"})
        return root, settings.model_copy(update={"search": search}), []
    problems = [
        Problem(step.place, step.path, f"is {step.kind}", "steps of the kind sensitivity")
        for step in _written(root, "search", "table")
        if step.kind != Sensitivity.kind
    ]
    return root, settings, problems


def _written(root: Mapping, *path: str) -> list[StepNode]:
    """The steps of a list in the tree; none where there is no list."""
    steps = at(root, *path)
    return steps_of(replace(root, items={"steps": steps}))[0] if isinstance(steps, Listing) else []


def _apart(steps: tuple[Step, ...], root: Mapping) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """The steps of the baseline, and those of `search.table` that come after them."""
    tables = at(root, "search", "table")
    count = len(steps) - (len(tables.items) if isinstance(tables, Listing) else 0)
    return steps[:count], steps[count:]


def _beside_search(root: Mapping) -> list[Problem]:
    """What a search can't have beside it, and what it can't do without."""
    problems = []
    if "sweep" in root.items:
        what = "is given together with search"
        problems.append(
            Problem(root.key_place("sweep"), "sweep", what, "one of the two: a search chooses the trials")
        )
    seed = root.items.get("seed")
    if isinstance(seed, Listing):
        allowed = "one seed; search.seeds says on how many its finalists are trained"
        problems.append(Problem(seed.place, "seed", "is a list", allowed))
    weights = at(root, "model", "weights")
    trained = weights is not None and weights.plain() != "random"
    if not trained and not any(step.cls is not None and step.cls.trains for step in steps_of(root)[0]):
        what = "train nothing, and the weights are random: there is no baseline to compare with"
        allowed = "a train step under steps, or model.weights"
        problems.append(Problem(root.key_place("steps"), "steps", what, allowed))
    return problems


def _seeds(root: Mapping, number: int, first: int) -> list[Problem]:
    """Finalists are trained on the study's seed and those that follow it."""
    if first + number - 1 <= LARGEST_SEED:
        return []
    what = f"given {first}, with {number} seeds for finalists from it on"
    return [Problem(root.key_place("seed"), "seed", what, f"at most {LARGEST_SEED - number + 1}")]


def _has_steps(root: Mapping) -> bool:
    steps = root.items.get("steps")
    return isinstance(steps, Listing) and bool(steps.items)


def candidate(spec: Spec, point: space.Point | None, rung: int) -> Spec:
    """The preset at a point of a search's space (see `space.concrete`), as a spec of one trial on the search's own
    seed: a search's trials are those of such presets, and the best one is its answer.

    Raises PresetInvalid where the values do not go together.
    """
    assert spec.space is not None
    root = node_of(spec.document)
    assert isinstance(root, Mapping)
    tree = space.concrete(root, spec.space, point, rung)
    latency = spec.settings.measure.latency
    if latency is not None:
        written = latency.model_dump(mode="json", exclude_defaults=True)
        tree = put(tree, ("measure", "latency"), node_of(written, "measure.latency"))
    if spec.settings.measure.size and at(tree, "measure", "size") is not None:
        tree = put(tree, ("measure", "size"), node_of(True, "measure.size"))
    found, problems = _plain(tree, spec.name, True) if _has_steps(tree) else (None, [])
    if problems:
        raise PresetInvalid(spec.name, tuple(_tidy(problems)))
    if found is None:
        first = replace(spec.trials[0], parameters={}, steps=())
        return Spec(spec.name, tree.plain(), spec.settings, (), {}, (first,))
    return found


def proposed(spec: Spec, proposal: AnyMapping[str, Any]) -> Trial:
    """The trial that a search's proposal is, as number 0 and without parameters of its own; `proposal` has its `point`,
    `rung` and `seed`.

    Raises PresetInvalid where the values do not go together.
    """
    steps = candidate(spec, proposal["point"], proposal["rung"]).trials[0].steps
    return Trial(0, {}, with_seed(spec.settings, proposal["seed"]), steps)


def plain(spec: Spec, proposal: AnyMapping[str, Any], about: str) -> str:
    """The text of the preset that a search's trial is; `proposal` has its `point`, `rung` and `seed`.

    Raises PresetInvalid where the values do not go together.
    """
    found = candidate(spec, proposal["point"], proposal["rung"])
    return to_yaml({"about": about} | found.document | {"about": about, "seed": proposal["seed"]})


def _assemble(root: Mapping, name: str, swept: Sweep, built: Built) -> Spec:
    document = root.plain()
    if swept.axes:
        document["sweep"] = sweep.plain(list(swept.axes))
    axes = {path: axis.values(path) for axis in swept.axes for path in axis.paths}
    first = built.settings[0]
    return Spec(name, document, first, built.steps[0], axes, tuple(_trials(first, swept, built)))


def _trials(first: Settings, swept: Sweep, built: Built) -> Iterable[Trial]:
    points = list(swept.points())
    seeds = first.seeds
    index = 0
    for seed in seeds:
        seeded: dict[int, Settings] = {}
        for point, settings, steps in zip(points, built.settings, built.steps, strict=True):
            if id(settings) not in seeded:
                seeded[id(settings)] = with_seed(settings, seed)
            several = {"seed": seed} if len(seeds) > 1 else {}
            enabled = tuple(step for step in steps if step.enabled)
            yield Trial(index, several | parameters(swept, point), seeded[id(settings)], enabled)
            index += 1


def _tidy(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, in the order of the lines; what is wrong with one value in two ways is told once."""
    first: dict[tuple[str, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.place, problem.path), problem)
    return sorted(first.values(), key=lambda problem: _line(problem.place))


def _line(place: str) -> int:
    """The line in `file:line`; overrides come last."""
    match = re.search(r":(\d+)$", place)
    return int(match[1]) if match and not place.startswith("--set") else MAX_CHARACTERS
