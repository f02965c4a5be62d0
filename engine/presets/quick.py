"""The `quick` section of a preset: values, by dotted path, that make a small version of the same study.

Paths and values follow the rules of `--set`. A small version is always checked, whether or not it is run.
"""

from collections.abc import Sequence
from dataclasses import replace

from engine.errors import Problem
from engine.presets.overrides import Change, put_all
from engine.presets.wording import given
from engine.presets.yaml.tree import Mapping, is_empty, without

SECTION = "quick"
SUFFIX = "-quick"
"""Ends the name of a small study, so that it is not taken for the whole one."""
_ALLOWED = "lines of PATH: value such as train.epochs: 1"


def split(root: Mapping) -> tuple[Mapping, Mapping | None, list[Problem]]:
    """The preset without its quick section, the section if it has a usable one, and what is wrong with it."""
    if SECTION not in root.items:
        return root, None, []
    section = root.items[SECTION]
    rest = without(root, SECTION)
    if is_empty(section) or (isinstance(section, Mapping) and not section.items):
        hint = "leave the section out if there is no small version"
        return rest, None, [Problem(section.place, SECTION, "is empty", _ALLOWED, hint)]
    if not isinstance(section, Mapping):
        return rest, None, [Problem(section.place, SECTION, given(section), _ALLOWED)]
    return rest, section, []


def apply(root: Mapping, section: Mapping) -> tuple[Mapping, list[Problem]]:
    """The normalised preset with the section's values put in, and what is wrong with its paths."""
    changes = [
        Change(path, node, section.key_place(path), f"{SECTION}.{path}")
        for path, node in section.items.items()
    ]
    return put_all(root, changes)


def own_problems(
    problems: Sequence[Problem], of_whole: Sequence[Problem], section: Mapping, *, overridden: bool
) -> list[Problem]:
    """The problems of the small version that the whole preset does not have, each telling that it is quick's.

    With `overridden` only those that lie in the section: an override may have mended the rest.
    """
    known = {(problem.place, problem.path) for problem in of_whole}
    lines = {section.key_place(path) for path in section.items}
    own: list[Problem] = []
    for problem in problems:
        if problem.path.startswith(f"{SECTION}."):
            own.append(problem)
        elif (problem.place, problem.path) in known:
            continue
        elif problem.place in lines:
            own.append(replace(problem, path=f"{SECTION}.{problem.path}"))
        elif not overridden:
            own.append(replace(problem, given=f"with quick applied, {problem.given}"))
    return own
