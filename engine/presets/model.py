"""What a valid preset is: settings, steps, and a trial for each point of its sweep."""

from dataclasses import dataclass, field
from typing import Any

from engine.params import Step
from engine.params.preset import Settings
from engine.presets.space import Space


@dataclass(frozen=True)
class Trial:
    """One point of a sweep, with every parameter fixed.

    Attributes:
        index: Position among the trials, from 0; seeds vary slowest, the last axis fastest.
        parameters: Swept dotted path → value (JSON), and `seed` when there are several.
        settings: With `seed` one number and the swept values put in.
        steps: The enabled steps, in order, with the swept values put in. May be empty.
        validation_only: Whether its model is never scored on the test split, because it is chosen among others.
        tables: Steps that find something out of its model, and are no part of it: a search's, of its baseline.
        base: How many of its steps make the baseline, of a search's trial: whatever comes behind is compared with the
            one model. None: the baseline is the model before the first step that compresses.
    """

    index: int
    parameters: dict[str, Any]
    settings: Settings
    steps: tuple[Step, ...]
    validation_only: bool = False
    tables: tuple[Step, ...] = ()
    base: int | None = None

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """All that is computed of it: its steps, then its tables."""
        return (*self.steps, *self.tables)


@dataclass(frozen=True)
class Spec:
    """A validated preset.

    Of a search only the first trial is known: the network that candidates are compared with.

    Attributes:
        name: The preset's file stem.
        document: The preset as plain values, overrides applied, paths absolute, ranges written out, without
            its `quick` section; `to_yaml(document)` reads back to the same spec.
        settings: Everything but steps and sweep, as in the first trial; `seed` may hold several.
        steps: All steps, disabled ones too, as in the first trial.
        axes: Swept path → values, in order.
        trials: Every point of the sweep for every seed; at least one.
        quick: The small version that the preset's `quick` section makes of it, if it has one. Overrides do
            not reach it, and specs are equal whatever it is: it has no part in the study.
        space: Of a search, what it may choose from.
    """

    name: str
    document: dict[str, Any]
    settings: Settings
    steps: tuple[Step, ...]
    axes: dict[str, tuple[Any, ...]]
    trials: tuple[Trial, ...]
    quick: "Spec | None" = field(default=None, compare=False)
    space: Space | None = None

    @property
    def says_where(self) -> bool:
        """Whether the preset says itself where it runs, whatever a site has settled for those that do not."""
        return bool(self.document.get("executor"))
