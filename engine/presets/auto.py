"""What a search's `auto` stands for: `over`, the steps that suit a goal, with ranges wide enough to be searched, and
`table`, the steps by which its first candidates are chosen."""

from collections.abc import Sequence
from typing import Any, get_args

from engine.params.preset import Settings
from engine.params.runtimes import INT8_RUNTIMES, TargetRuntime
from engine.params.search import Search
from engine.params.sensitivity import Of, Sensitivity
from engine.params.training import Train
from engine.presets import limits
from engine.presets.boxes import has_boxes
from engine.presets.space import Space, is_off
from engine.presets.steps import StepNode

CHANNELS: dict[str, Any] = {"prune.channels": {"speedup": "1..8"}}
"""What every goal can use: less to compute, to store and to wait for. Its own `auto` knows the best criterion."""
WEIGHTS: list[dict[str, Any]] = [
    {"prune.weights": {"enabled": [True, False], "sparsity": "0.3..0.95"}},
    {"quantize.weights": {"bits": "3..8", "enabled": [True, False]}},
]
"""What makes a file smaller and no runtime faster."""
STATIC: dict[str, Any] = {"quantize.static": {"enabled": [True, False]}}
EPOCHS = "1..8"
AS_TRAINED = ("optimizer", "momentum", "weight_decay", "batch", "precision")
"""Parameters of a network's training that its training after compression keeps."""
RISING = "onecycle"
"""The schedule after compression: a rate that is at its highest from the start undoes what refitting made up for."""
RATES = (0.02, 0.1)
"""Highest learning rates after compression, of a network of which nobody says how it was trained."""
TARGETS: tuple[str, ...] = get_args(TargetRuntime)

FAR: dict[tuple[str, ...], Of] = {
    ("sparsity",): "weights",
    ("speedup",): "channels",
    ("compression",): "channels",
    ("bits",): "bits",
    ("rank", "ratio"): "rank",
}
"""Parameters that say how far a step goes, and what a table must be of to predict what that loses."""
LEVELS: dict[str, dict[str, Any]] = {
    "weights": {"rates": [0.5, 0.7, 0.8, 0.9, 0.95]},
    "channels": {"criterion": "l2", "rates": [0.2, 0.4, 0.6, 0.8, 0.9]},
    "bits": {"bits": [2, 3, 4, 6]},
    "rank": {"rates": [0.25, 0.5, 0.75]},
}
"""Where curves of single layers bend: few levels, because each is scored for every layer."""
SHARE = 0.05
"""Of what a search's trials compute, what its tables may take together."""
BACKWARD = 3
"""Passes forward that one of training takes as long as: its own, and twice that for the gradients."""
REST = 1
"""Epochs that a trial's other steps and its scores take as long as, at least."""
ROUNDS = 3
"""Rounds that a budget in hours is sure to pay for, about: it is not known how long a trial takes."""


def over(search: Search, settings: Settings, base: Sequence[StepNode]) -> list[dict[str, Any]]:
    """The steps, as a preset has them; `base` are those that the search begins with."""
    steps = [CHANNELS]
    if search.goal.startswith("size.") or any(name.startswith("size.") for name in search.within):
        steps += WEIGHTS
    steps.append(_recovery(settings, base))
    if search.fastest is not None and search.fastest.runtime in INT8_RUNTIMES:
        # What leaves a file can't hold weights of few bits beside it: that step is off where this one is on.
        steps = [step for step in steps if "quantize.weights" not in step]
        steps.append(STATIC)
    return steps


def _recovery(settings: Settings, base: Sequence[StepNode]) -> dict[str, Any]:
    """The training after compression, as a preset has it.

    A network that `base` trains goes on as it was trained, on the labels, at half the rate and without random changes
    to its images: a teacher of so few epochs knows less than they say. A classifier that comes with its weights is
    its own teacher, and of two rates the search finds the one that suits it.
    """
    trained = [
        step for step in base if step.cls is not None and issubclass(step.cls, Train) and not is_off(step)
    ]
    if trained:
        given, rate = trained[-1].params.plain(), trained[-1].value("learning_rate")
        rising = after(rate) if isinstance(rate, int | float) else {"schedule": RISING}
        return {"finetune": {"epochs": EPOCHS, **{n: given[n] for n in AS_TRAINED if n in given}, **rising}}
    if has_boxes(settings):
        return {"finetune": {"epochs": EPOCHS}}
    return {"distill": {"epochs": EPOCHS, "schedule": RISING, "learning_rate": list(RATES)}}


def after(rate: float) -> dict[str, Any]:
    """Schedule and highest rate of a training after compression, of a network that was trained at `rate`.

    >>> after(0.2)
    {'schedule': 'onecycle', 'learning_rate': 0.1}
    """
    return {"schedule": RISING, "learning_rate": float(f"{rate / 2:.3g}")}


def tables(
    search: Search, space: Space, over: Sequence[StepNode], steps: Sequence[StepNode]
) -> list[dict[str, Any]]:
    """A `sensitivity` step for each thing that the steps of `over` take away, as a preset has them; none where no loss
    is limited. `steps` are those of the baseline: what they measure is not measured again, and where they have laid
    something over weights that a table would be refused for, there is none.

    Together they may take a share of the budget, told in passes over the images: only the network tells how many rows
    they have, and only the data how many images a pass is.
    """
    allowed = limits.loss(limits.of_search(search))
    if allowed is None or not 0 < allowed < 1:
        return []
    known = {step.params.plain().get("of", "channels") for step in steps if step.kind == Sensitivity.kind}
    laid = {step.cls.makes for step in steps if step.cls is not None}
    wanted: dict[str, StepNode] = {}
    for one in space.dimensions:
        of = FAR.get(one.field)
        if of is None or of in known or of != getattr(over[one.step].cls, "rates_of", ""):
            continue
        if laid.isdisjoint(Sensitivity.model_construct(of=of).undoes):
            wanted.setdefault(of, over[one.step])
    trials = search.budget.trials or ROUNDS * search.batch
    passes = SHARE * BACKWARD * trials * (space.rungs[0] + REST) / max(len(wanted), 1)
    timed = limits.latencies(search)[:1]
    return [
        {Sensitivity.kind: _table(of, step, timed) | {"passes": round(passes, 2)}}
        for of, step in wanted.items()
    ]


def _table(of: str, step: StepNode, timed: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """The parameters of one of them; layers that the step spares are spared, and split as it splits them."""
    given = step.params.plain()
    skip = given.get("skip")
    kept: dict[str, Any] = (
        {"skip": skip} if isinstance(skip, list) and all(isinstance(one, str) for one in skip) else {}
    )
    if of == "rank" and isinstance(given.get("scheme"), str):
        kept["scheme"] = given["scheme"]
    if of in ("channels", "rank"):
        for runtime, batch in timed:
            kept |= {"latency": {"runtime": runtime, "batch": batch}} if runtime in TARGETS else {}
    return {"id": f"table-{of}", "of": of, **LEVELS[of], **kept}
