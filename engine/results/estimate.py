"""How long a preset would take, in words; `engine.results.estimates` works it out."""

from dataclasses import dataclass

from engine.text.numbers import duration
from engine.text.phrases import counted


@dataclass(frozen=True)
class Estimate:
    """`seconds` is None while it is unknown; `source` is the study it comes from.

    `stored` of `steps` results are in the store already and are not computed again. `trials`: of a search, how many
    its budget is likely to pay for.
    """

    seconds: float | None = None
    source: str = ""
    steps: int = 0
    stored: int = 0
    trials: int = 0

    def __str__(self) -> str:
        if self.steps and self.stored == self.steps:
            return "all results are stored already"
        if self.seconds is None:
            return "time unknown until the first run"
        if self.trials:
            return (
                f"about {duration(self.seconds)} for {counted(self.trials, 'trial')} and their confirmation"
            )
        kept = f" ({self.stored} of {self.steps} results are stored)" if self.stored else ""
        return f"about {duration(self.seconds)}{kept}"

    @property
    def short(self) -> str:
        """The same in few words."""
        if self.steps and self.stored == self.steps:
            return "all stored"
        return "time unknown" if self.seconds is None else f"about {duration(self.seconds)}"


UNKNOWN = Estimate()
