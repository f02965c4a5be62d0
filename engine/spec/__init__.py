"""Preset text → validated `Spec` with its trials, or every problem at once."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from engine import sweep
from engine.errors import PresetInvalid, Problem, UsageError
from engine.params.preset import Settings
from engine.spec import checks, overrides
from engine.spec.files import absolute
from engine.spec.model import MEASURES, Spec, Trial
from engine.spec.tree import normalise, steps_of
from engine.spec.trials import Built, Sweep, build, parameters, read_sweep, with_seed
from engine.wording import given
from engine.yamltree import MAX_CHARACTERS, Mapping, load, to_yaml

__all__ = ["MEASURES", "Spec", "Trial", "parse", "read", "to_yaml"]


def read(path: Path, overrides: Sequence[str] = ()) -> Spec:
    """Read a preset file.

    Raises:
        UsageError: The file is missing, cannot be read, or is no text.
        PresetInvalid: With every problem found in it.
    """
    text = _text(path)
    return parse(text, path.stem, overrides, source=str(path), folder=path.parent)


def parse(
    text: str, name: str, overrides: Sequence[str] = (), *, source: str = "", folder: Path | None = None
) -> Spec:
    """Read a preset from its text.

    Args:
        text: YAML.
        name: The preset's name; a study is called after it.
        overrides: `PATH=VALUE`, each VALUE in YAML.
        source: What to call the file in messages (default: the name).
        folder: Where relative paths are looked up first.

    Raises:
        PresetInvalid: With every problem found.
    """
    shown = source or name

    def place(line: int) -> str:
        return f"{shown}:{line}"

    root, problems = _tree(text, place)
    if root is None:
        raise PresetInvalid(shown, tuple(problems))
    spec, found = _spec(root, name, overrides, folder)
    problems = _tidy([*problems, *found])
    if problems or spec is None:
        raise PresetInvalid(shown, tuple(problems))
    return spec


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
    root: Mapping, name: str, changes: Sequence[str], folder: Path | None
) -> tuple[Spec | None, list[Problem]]:
    root, problems = overrides.apply(normalise(root), changes)
    root = absolute(root, folder)
    steps, found = steps_of(root)
    swept, in_sweep = read_sweep(root)
    problems += found + in_sweep + checks.order(root, steps, swept)
    built, invalid = build(root, steps, swept)
    problems += invalid + checks.named(root, swept)
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
