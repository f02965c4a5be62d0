"""A study's preset, edited: for what goes on from one of its trials. What would be refused is never given."""

from collections.abc import Mapping as Map
from collections.abc import Sequence
from typing import Any

from engine.errors import SecateurError, UsageError
from engine.presets import edits, space, spec
from engine.presets.addresses import axes
from engine.presets.edits import Edit
from engine.presets.references import without_stale_plot
from engine.presets.steps import Address, Unknown, normalise, steps_of
from engine.presets.yaml.tree import Mapping, load, node_of, to_yaml, without
from engine.studies.rundir import RunDir
from engine.studies.state import TrialState


def tree_of(run: RunDir, trial: TrialState | None = None) -> Mapping:
    """The study's preset as a tree, without its quick version; with `trial`, of a search the preset that the trial is.

    Raises SecateurError where it can't be read.
    """
    if trial is not None and trial.proposal:
        text = spec.plain(run.spec(), trial.proposal, f"Trial {trial.index} of {run.name}")
    else:
        try:
            text = run.preset.read_text("utf-8")
        except (OSError, ValueError) as error:
            raise UsageError(f"The preset of {run.name} can't be read", f"{run.preset}: {error}") from error
    root, problems = load(text, str)
    if problems or not isinstance(root, Mapping):
        raise UsageError(f"The preset of {run.name} is no preset", str(run.preset))
    root = without(normalise(root), "quick")
    return root if trial is None else space.baseline(root)


def put(address: Address, value: Any) -> Edit:
    """With a plain value at an address."""
    return lambda root: edits.put(root, address, node_of(value))


def fixed(root: Mapping, trial: TrialState, but: str = "") -> list[Edit]:
    """Edits that leave the trial alone of all, its value of the parameter `but` excepted."""
    chosen = [axis for axis in axes(root) if axis.path != but and axis.path in trial.parameters]
    return [put(axis.address, trial.parameters[axis.path]) for axis in chosen if axis.address]


def followed(
    run: RunDir, trial: TrialState, steps: Sequence[Map[str, Map[str, Any]]], about: str, *, after: str = ""
) -> str:
    """The preset that makes the trial's network and goes on with these steps, each `{kind: parameters}`; with `after`,
    in the place of what comes after the trial's step with this address.

    A step gets an id where the preset has one of its kind. Raises SecateurError where there is no such preset.
    """
    root = tree_of(run, trial)
    seed = trial.parameters.get("seed")
    alone = fixed(root, trial) + ([] if seed is None else [put(Address(None, "seed"), seed)])
    added = [_appended(kind, params) for step in steps for kind, params in step.items()]
    return text_of(root, [*alone, *([_until(after)] if after else []), *added], run, about)


def _until(last: str) -> Edit:
    """Without the steps after the one with this address."""

    def edit(root: Mapping) -> Mapping:
        names = [step.name for step in steps_of(root)[0]]
        for index in reversed(range(names.index(last) + 1, len(names))):
            root = edits.remove_step(root, index)
        return root

    return edit


def _appended(kind: str, params: Map[str, Any]) -> Edit:
    own = {name: value for name, value in params.items() if name != "id"}
    return lambda root: edits.add_step(root, kind, len(steps_of(root)[0]), own)


def text_of(root: Mapping, changes: Sequence[Edit], run: RunDir, about: str) -> str:
    """The tree with the edits as YAML. Raises SecateurError where it can't be made or would be refused."""
    changed = root
    try:
        for edit in [*changes, put(Address(None, "about"), about)]:
            changed = edit(changed)
    except Unknown as error:
        what, allowed, _ = error.parts
        raise SecateurError(
            f"The preset of {run.name} can't be edited so", f"It {what}.", f"Allowed: {allowed}."
        ) from error
    text = to_yaml(without_stale_plot(root, changed).plain())
    spec.parse(text, run.name, folder=run.path)
    return text
