"""Steps that remove weights."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Extent, Family, Names, Params, Rate, StepParams, defaults, param
from engine.params.overlays import Overlay
from engine.params.variants import kind_from_name


class OneShot(Params):
    """Prune once, to the full sparsity."""

    kind: Literal["one-shot"] = "one-shot"


class Rounds(Params):
    """Prune in rounds with training between them."""

    rounds: int = param(4, ge=2, le=1000, unit="rounds")
    """Number of pruning rounds; the last one reaches the full sparsity."""
    epochs: int = param(1, ge=0, le=1000, unit="epochs")
    """Training after each round but the last; 0: only choose anew what goes."""
    learning_rate: float = param(0.01, gt=0, le=10)
    """Learning rate of the training between rounds (SGD, cosine within each round)."""


class Linear(Rounds):
    """Sparsity rises by the same amount each round."""

    kind: Literal["linear"] = "linear"


class Cubic(Rounds):
    """Sparsity rises fast at first, slowly at the end (Zhu & Gupta 2017, equation 1)."""

    kind: Literal["cubic"] = "cubic"


Criterion = Literal["l1", "taylor", "obs", "random"]
Schedule = Annotated[OneShot | Linear | Cubic, Field(discriminator="kind"), kind_from_name]


class PruneWeights(StepParams):
    """Set single weights to zero and keep them there through every later step."""

    kind: ClassVar[str] = "prune.weights"
    version: ClassVar[int] = 3
    rates_of: ClassVar[str] = "weights"
    solver: ClassVar[int] = 2
    makes: ClassVar[Overlay | None] = Overlay.MASK
    family: ClassVar[Family] = "pruning"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"sparsity": Extent()}
    fits_by: ClassVar[tuple[str, ...]] = ("pattern", "layers", "skip")

    scope: Literal["local", "global", "sensitivity", "solved"] = "global"
    """Where weights compete: within each layer (`local`), over the whole model (`global`), or within each layer at
    rates by what an earlier `sensitivity` step measured: at which the loss is predicted to rise alike in all
    (`sensitivity`), or the network's outputs to deviate least in sum (`solved`)."""
    criterion: Criterion = "l1"
    """What a weight's importance is: magnitude, squared gradient × weight (Molchanov 2019), what its layer's outputs
    lose while the others make up for it (as in Optimal Brain Compression, Frantar & Alistarh 2022; magnitude then
    tells how many weights of each layer stay), or chance."""
    repair: bool = False
    """Whether weights that stay are refitted by least squares on training images, so that outputs come nearest to what
    they were, and BatchNorm's statistics estimated anew. For pruning without training after it."""
    sparsity: float = param(0.5, ge=0, lt=1)
    """Share of the prunable weights that become zero."""
    layers: dict[str, Rate] = param({})
    """The sparsity of single layers, such as `{conv1: 0.3, layer1.0.conv1: 0.9}`; replaces `scope`, `sparsity` and
    `skip`; layers that are not named stay as they are."""
    pattern: str | None = param(None, pattern=r"^[0-9]{1,2}:[0-9]{1,2}$", form="N:M such as 2:4")
    """N:M pattern: at most N weights stay of every M neighbours along the inputs, such as `2:4`; replaces
    `scope` and `sparsity`."""
    schedule: Schedule = defaults(OneShot)
    """One shot, or several rounds with training between them."""
    skip: Names = ()
    """Layers to leave alone: names (`conv1`, `layer3.*`) or types (`Linear`)."""

    @property
    def by_table(self) -> tuple[str, float] | None:
        return ("sparsity", self.sparsity) if self.scope == "solved" else None

    @property
    def makes_everywhere(self) -> bool:
        # N:M leaves layers alone whose inputs can't be cut in groups of M.
        return super().makes_everywhere and self.pattern is None

    @model_validator(mode="after")
    def _stand_alone(self) -> Self:
        self.refuse_beside_layers("scope", "sparsity", "pattern", "skip")
        if self.pattern is None:
            return self
        keep, of = (int(part) for part in self.pattern.split(":"))
        if not 1 <= keep < of <= 64:
            raise Clash("pattern", f"given {self.pattern}", "N:M with 1 ≤ N < M ≤ 64, such as 2:4")
        for clashing in sorted({"sparsity", "scope"} & self.model_fields_set):
            given = f"given together with pattern {self.pattern}, which fixes it"
            raise Clash(clashing, given, "one of the two")
        if self.schedule.kind != "one-shot":
            raise Clash(
                "schedule",
                f"given {self.schedule.kind} with pattern {self.pattern}",
                "one-shot with a pattern",
            )
        return self
