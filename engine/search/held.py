"""Techniques that somebody pins or forbids while a search runs.

The wish lies in the study's folder; whoever plans the next round reads it there, and the round tells what it was
planned with. So proposals stay what follows from the log, and a replay has the same wishes at the same rounds.
"""

from typing import Literal

from engine.errors import UsageError
from engine.presets.model import Spec
from engine.presets.space import Space
from engine.store.files import explained, read_mapping, write_json
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState
from engine.text.phrases import names, suggest

Wish = Literal["pinned", "forbidden", "free"]
WORDS = {True: "pinned", False: "forbidden"}


def space_of(spec: Spec, study: str) -> Space:
    """What the study's search may choose from. Raises UsageError where it is no search."""
    if spec.space is None:
        raise UsageError(
            f"Study {study} is no search",
            "Its preset says which trials it has.",
            "`secateur show` tells them.",
        )
    return spec.space


def wished(run: RunDir, space: Space) -> dict[str, bool]:
    """What is pinned (True) and forbidden (False) from the next round on, by the steps' names in `over`."""
    known = read_mapping(run.held)
    return {name: value for name in space.names if isinstance(value := known.get(name), bool)}


def wish(run: RunDir, state: StudyState, space: Space, name: str, how: Wish) -> dict[str, bool]:
    """Pin, forbid or free a technique from the next round on; what is wished for then.

    A wish may be taken back at any time: it holds until then, also where the search goes on with a larger budget.
    Raises UsageError where no such round comes, for what is no technique of the search, and where nothing would be left
    that compresses.
    """
    last = state.proposed.get(max(state.proposed, default=0))
    is_over = state.chosen is not None or (last is not None and last.purpose == "confirm")
    if is_over and how != "free":
        raise UsageError(
            f"{run.name} tries no more candidates",
            "It is through." if state.chosen is not None else "Its finalists are being confirmed.",
            f"`secateur resume {run.name} --set search.budget.trials=N` lets it go on with a larger budget.",
        )
    able = space.techniques
    if name not in able:
        near = suggest(name, able)
        raise UsageError(
            f"{name[:80]} is no technique of this search", near or f"It searches over {names(able)}."
        )
    found = {one: value for one, value in wished(run, space).items() if one != name}
    if how != "free":
        found[name] = how == "pinned"
    if all(found.get(one) is False for one in able):
        raise UsageError(
            "Nothing would be left that compresses",
            f"{names(able)} would all be forbidden.",
            "Free one of them.",
        )
    with explained(run.held):
        write_json(run.held, found)
    return found
