"""The section of a preset that asks for one model within limits, and leaves it to a search which."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Params, defaults, param
from engine.params.runtimes import LARGEST_BATCH, TargetRuntime

MOST_ACCURATE = "accuracy"
"""What a search for the most accurate model has most of; every other goal is a measure that it has least of."""


class Fastest(Params):
    """The model with the least measured latency."""

    runtime: TargetRuntime = "onnxruntime"
    """Inference runtime to measure in."""
    batch: int = param(1, ge=1, le=LARGEST_BATCH, unit="images")
    """Batch size to measure."""

    @property
    def measure(self) -> str:
        """The measure that is to be least, as tables call it."""
        return f"latency.{self.runtime}.{self.batch}"


class Budget(Params):
    """When the search ends; with both, whichever comes first. It always ends with the best so far."""

    hours: float | None = param(None, gt=0, le=10_000, unit="h")
    """Time for the whole search, the confirmation of its finalists included; looked at between rounds."""
    trials: int | None = param(None, ge=1, le=10_000)
    """Trials of the rounds; a candidate that goes on to a longer training is one more. Finalists come on top."""


class Search(Params):
    """Look for the best model within limits, and end with it as a preset without a search."""

    fastest: Fastest | None = None
    """Ask for the least latency in a runtime, as measured."""
    smallest: Literal["size.packed", "size.plain", "parameters", "macs"] | None = None
    """Ask for the least of a size."""
    most_accurate: bool = False
    """Ask for the best accuracy on validation that the other limits leave."""
    within: dict[str, Any] = param({})
    """Limits, by measure: `accuracy: -1 point` is what may be lost against this study's own baseline, on validation
    (the default, but for `most_accurate`); others are at most so much (`size.packed: 500 kB`) or a share of the
    baseline's (`macs: 40 %`)."""
    budget: Budget = defaults(Budget)
    """When to end."""
    over: Literal["auto"] | Annotated[tuple[dict[str, Any], ...], Field(strict=False, min_length=1)] = "auto"
    """Steps after those of `steps`, in this order, whose parameters may be ranges (`1..8`, `0..0.9 by 0.1`) or lists
    of values; `enabled: [true, false]` for a step that may be off. The last training's range of `epochs` makes rungs:
    short trainings that go on where they are promising. `auto`: what suits the network and the goal."""
    table: (
        Literal["auto", "none"] | Annotated[tuple[dict[str, Any], ...], Field(strict=False, min_length=1)]
    ) = "auto"
    """Steps `sensitivity` beside the baseline: its first candidates go as far along each technique as they predict. No
    candidate has them among its own steps. `auto`: one for each of what `over` takes away (channels, weights, bits,
    ranks) and `steps` does not measure, as thorough as the budget pays for; `none`: by the ranges alone."""
    batch: int = param(8, ge=1, le=256, unit="trials")
    """Trials of a round, planned together; part of what decides which are tried, whatever `parallel` is."""
    finalists: int = param(3, ge=1, le=100)
    """Candidates that are trained on several seeds in the end, and scored on the test split."""
    seeds: int = param(3, ge=1, le=100)
    """Seeds that finalists are trained on, the study's own among them."""

    @property
    def goal(self) -> str:
        """The measure that the model is to have least of, or `MOST_ACCURATE`."""
        if self.fastest is not None:
            return self.fastest.measure
        return self.smallest or MOST_ACCURATE

    @property
    def most(self) -> int:
        """Trials that it can come to, its baseline and finalists among them; -1 where time alone ends it."""
        trials = self.budget.trials
        return -1 if trials is None else 1 + trials + (self.finalists + 1) * self.seeds

    @model_validator(mode="after")
    def _one_goal(self) -> Self:
        given = [name for name in ("fastest", "smallest") if getattr(self, name) is not None]
        given += ["most_accurate"] * self.most_accurate
        if not given:
            raise Clash("smallest", "is missing", "one goal: fastest, smallest or most_accurate")
        if len(given) > 1:
            raise Clash(given[1], f"given together with {given[0]}", "one goal, and a limit under within")
        if self.budget.hours is None and self.budget.trials is None:
            raise Clash("budget", "is missing", "an end: budget: {hours: 2} or {trials: 60}")
        return self
