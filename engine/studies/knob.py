"""What the live knob's worker and those who turn the knob say to each other: plain values in JSON texts."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["starting", "ready", "ended"]
LONGEST = 1 << 20
"""Bytes of a message at most; those of networks with hundreds of layers take some thousand."""


@dataclass(frozen=True)
class Technique:
    """One way to compress a stored model without training.

    Its values go from `least` to `most` in steps of `step`; `start` is the one that compresses least. In the unit `%`
    values are shares, 0 … 1; `×` says how many times less, and `bits` are those of a weight. `how` says by what each
    layer's part is decided. `why_not` says why this model can't be compressed so; it is empty where it can.
    """

    name: str
    what: str
    unit: str
    least: float
    most: float
    step: float
    start: float
    why_not: str = ""
    how: str = ""


@dataclass(frozen=True)
class Question:
    """The model at this value of a technique, please; `number` grows with every question of one knob."""

    number: int
    technique: str
    value: float


@dataclass(frozen=True)
class Costs:
    """What a network takes.

    Attributes:
        size_plain: Bytes as a file.
        size_packed: Bytes as a packed file, estimated.
        parameters: Number of parameters.
        nonzero_parameters: Those that are not zero.
        macs: Multiply-accumulates for one image.
        effective_macs: Those whose weight is not zero.
        latency_ms: Latency of one batch, as the study measured it or predicted from that; None where nothing is known.
    """

    size_plain: int
    size_packed: int
    parameters: int
    nonzero_parameters: int
    macs: int
    effective_macs: int
    latency_ms: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the model would be at a value of a technique, without training.

    Attributes:
        number: That of the question.
        technique: What was asked for.
        value: Its value as it can be had, nearest to what was asked for.
        quality: Predicted quality on validation images, 0 … 1: that of the stored model, known on all of them, plus the
            mean difference from it on the images that were scored.
        error: Standard error of that difference (Agresti & Min 2005: half an image more of each outcome); 0 where all
            images were scored.
        images: Validation images that were scored.
        of: Images that will have been scored with the last answer to this question.
        costs: What the network takes.
        levels: What becomes of each layer: the share of it that goes, or its bits.
        seconds: From the question to this answer.
        final: Whether no finer answer to the same question follows.
        added: The steps that make it of the stored model, as a preset has them.
    """

    number: int
    technique: str
    value: float
    quality: float
    error: float
    images: int
    of: int
    costs: Costs
    levels: dict[str, float]
    seconds: float
    final: bool
    added: list[dict[str, Any]] = field(default_factory=list)

    def steps(self) -> list[dict[str, Any]]:
        """The steps to append to those of the trial for a preset that makes this network."""
        return [dict(step) for step in self.added]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Answer":
        """What `as_dict` gave."""
        return cls(**values | {"costs": Costs(**values["costs"])})


@dataclass(frozen=True)
class Baseline:
    """The stored model as it is, beside which answers stand.

    `images` is how many validation images its quality is known on; `latency` names the runtime and batch of the latency
    among its costs, empty where the study measured none.
    """

    quality: float
    images: int
    costs: Costs
    latency: str

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Baseline":
        """What `as_dict` gave."""
        return cls(**values | {"costs": Costs(**values["costs"])})
