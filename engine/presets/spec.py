"""Preset text → validated `Spec` with its trials, or every problem at once."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from engine.errors import PresetInvalid, Problem, UsageError
from engine.params.preset import Settings
from engine.presets import checks, overrides, sweep
from engine.presets import quick as small
from engine.presets.files import absolute
from engine.presets.model import Spec, Trial
from engine.presets.sequence import clashes
from engine.presets.steps import normalise, steps_of
from engine.presets.teaching import teachers
from engine.presets.trials import Built, Sweep, build, parameters, read_sweep, with_seed
from engine.presets.wording import given
from engine.presets.yaml.tree import MAX_CHARACTERS, Mapping, load, to_yaml

__all__ = ["Spec", "Trial", "parse", "read", "read_stored", "to_yaml"]


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
    root, problems = overrides.apply(normalise(root), changes)
    root = absolute(root, folder)
    steps, in_steps = steps_of(root)
    swept, in_sweep = read_sweep(root)
    problems += in_steps + in_sweep
    if not stored:
        problems += checks.order(root, steps, swept)
    built, invalid = build(root, steps, swept)
    problems += invalid
    if not stored:
        problems += checks.named(root, swept) + teachers(steps, built) + clashes(steps, built)
    if problems:
        return None, problems
    return _assemble(root, name, swept, built), []


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
