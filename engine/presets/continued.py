"""A preset of one trial with other steps after some of its own: how a trial is gone on with."""

from collections.abc import Mapping, Sequence
from typing import Any

from engine.presets.model import Spec, Trial
from engine.presets.spec import candidate, parse, to_yaml

LEFT_OUT = ("about", "search", "plot", "pick")
"""Sections that are about several trials, or another one."""


def continued(
    spec: Spec,
    trial: int,
    steps: Sequence[Mapping[str, Any]],
    about: str,
    *,
    proposal: Mapping[str, Any] | None = None,
    after: str | None = None,
) -> str:
    """The text of a preset without a sweep: the trial's settings and steps, up to the one with the address `after` (all
    by default), then `steps`, each as `{kind: parameters}`.

    `proposal` is that of a search's trial, whose number `trial` then says nothing. Raises PresetInvalid where the steps
    can't follow the trial's.
    """
    of = spec.trials[trial] if not proposal else _proposed(spec, proposal)
    seed = proposal["seed"] if proposal else of.settings.seed
    settings = of.settings.model_dump(mode="json", exclude_unset=True, exclude=set(LEFT_OUT))
    own: list[dict[str, Any]] = []
    for step in of.steps:
        own.append({step.kind: step.model_dump(mode="json", exclude_unset=True)})
        if step.address == after:
            break
    for added in steps:
        own.append(_named(added, {name for one in own for name in _names(one)}))
    text = to_yaml({"about": about, **settings, "seed": seed, "steps": own})
    parse(text, spec.name)
    return text


def _proposed(spec: Spec, proposal: Mapping[str, Any]) -> Trial:
    return candidate(spec, proposal["point"], proposal["rung"]).trials[0]


def _names(step: Mapping[str, Any]) -> list[str]:
    """What a step may be addressed by."""
    ((kind, params),) = step.items()
    return [kind, *([params["id"]] if params.get("id") else [])]


def _named(step: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    """The step, with an id where its kind is there already."""
    ((kind, params),) = step.items()
    if kind not in taken or params.get("id"):
        return dict(step)
    stem, number = kind.replace(".", "-"), 2
    while f"{stem}-{number}" in taken:
        number += 1
    return {kind: {"id": f"{stem}-{number}", **params}}
