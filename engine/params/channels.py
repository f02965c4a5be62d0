"""The step that removes whole channels."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import (
    Clash,
    Extent,
    Family,
    Foreseen,
    Names,
    Params,
    Rate,
    StepParams,
    defaults,
    param,
)
from engine.params.overlays import TABLES, Overlay
from engine.params.pruning import OneShot, Schedule
from engine.params.runtimes import LARGEST_BATCH, Runtime, TargetRuntime
from engine.params.variants import kind_from_name

TARGETS = ("speedup", "compression", "latency")
"""Parameters that say when to stop; given one or several, `ratio` does not count."""


class NoLearning(Params):
    """Prune the weights as they are."""

    kind: Literal["none"] = "none"


class Learning(Params):
    """Train with a penalty that drives unimportant channels towards zero before they are removed."""

    epochs: int = param(4, ge=1, le=1000, unit="epochs")
    """Training with the penalty."""
    learning_rate: float = param(0.01, gt=0, le=10)
    """Highest learning rate of that training (SGD, cosine)."""
    strength: float = param(1e-4, gt=0, le=1)
    """Factor of the penalty's gradient."""


class GroupLearning(Learning):
    """Penalty on all weights of coupled channels, stronger for the weaker ones (DepGraph, Fang et al. 2023)."""

    kind: Literal["group_sl"] = "group_sl"


class ScaleLearning(Learning):
    """L1 penalty on the scales of BatchNorm (network slimming, Liu et al. 2017)."""

    kind: Literal["bn-scale"] = "bn-scale"


class GrowingLearning(Learning):
    """L2 penalty on the channels chosen to go, growing until they are small (GReg, Wang et al. 2021)."""

    kind: Literal["growing"] = "growing"


SparsityLearning = Annotated[
    NoLearning | GroupLearning | ScaleLearning | GrowingLearning, Field(discriminator="kind"), kind_from_name
]


Criterion = Literal["l1", "l2", "bn-scale", "fpgm", "lamp", "taylor", "hessian", "output", "random"]


class LatencyTarget(Params):
    """Prune until the model is measured to be this much faster, where it buys the most time."""

    speedup: float = param(2.0, gt=1, le=100)
    """Latency of the model before this step over its latency after it, as measured."""
    runtime: TargetRuntime = "onnxruntime"
    """Inference runtime to measure in. Not `torch-compile`: it would compile every candidate anew."""
    batch: int = param(1, ge=1, le=LARGEST_BATCH, unit="images")
    """Batch size to measure."""


class PruneChannels(StepParams):
    """Remove whole channels with everything coupled to them, so that the network really shrinks; of attention also
    whole heads, and dimensions of heads."""

    kind: ClassVar[str] = "prune.channels"
    rates_of: ClassVar[str] = "channels"
    version: ClassVar[int] = 11
    family: ClassVar[Family] = "pruning"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {
        **dict.fromkeys(("ratio", "speedup", "compression"), Extent(ends=True)),
        "latency.speedup": Extent(0, ends=True),
    }
    clears: ClassVar[frozenset[Overlay]] = frozenset(TABLES)
    spares_skipped: ClassVar[bool] = False
    resizes: ClassVar[bool] = True
    fits_by: ClassVar[tuple[str, ...]] = (
        *("criterion", "learning", "scope", "skip", "layers"),
        *("ratio", "speedup", "compression", "latency", "floor", "round_to"),
    )

    criterion: Literal["auto", Criterion] = "auto"
    """A channel's importance, summed over what is coupled to it: norms, BatchNorm's scale, the loss to first (Taylor)
    or second order (Hessian), or what the answer loses (`output`). `auto`: `output` where a classifier's channels go at
    once, with `repair` and no latency; else `l2`."""
    scope: Literal["auto", "local", "global", "isomorphic", "cost", "sensitivity", "solved"] = "auto"
    """Where channels compete: within a layer (of attention the dimensions of its heads, which stay), over the whole
    model, among layers of the same structure, over the model by importance per unit of cost saved, or within a layer at
    rates by what an earlier `sensitivity` step measured: at which the loss is predicted to rise alike in all
    (`sensitivity`), or least in sum (`solved`). `auto`: `cost` with the criterion `output`, else `global`."""
    ratio: float = param(0.5, ge=0, lt=1)
    """Share of the channels to remove; replaced by the targets below."""
    speedup: float | None = param(None, gt=1, le=1000)
    """Prune until the MACs before over the MACs after reach this."""
    compression: float | None = param(None, gt=1, le=1000)
    """Prune until the parameters before over the parameters after reach this; with `speedup`, until both do."""
    latency: LatencyTarget | None = None
    """Prune until a measured latency is reached. With `scope: cost`, importance alone is tried as an order too, and
    the better one on validation images is taken; with `solved`, networks that the solver proposes by the times of
    layers are measured."""
    layers: dict[str, Rate] = param({})
    """The ratio of single layers, such as `{conv1: 0.25, layer1.0.conv1: 0.5}`, to the nearest whole channel; what
    their channels are coupled to goes with them. Replaces `ratio`, targets, `scope`, `floor`, `round_to` and `skip`;
    layers that are not named keep all their channels."""
    schedule: Schedule = defaults(OneShot)
    """One shot, or several rounds with training between them."""
    learning: SparsityLearning = defaults(NoLearning)
    """Sparsity learning before the pruning."""
    floor: float = param(0.1, ge=0, le=1)
    """Share of its channels that every layer keeps at least, so that none collapses."""
    round_to: Annotated[int, Field(ge=1, le=128)] | Literal["auto"] = "auto"
    """Keep multiples of this many channels; `auto`: what runtimes compute in one go, which with `latency` is measured,
    and is 8 otherwise (a processor's vector); of a narrow layer a quarter of its width at most."""
    skip: Names = ()
    """Layers whose channels all stay: names (`conv1`, `layer3.*`) or types (`Linear`); those of the output always
    do."""
    repair: bool = True
    """Whether layers that lost inputs are refitted by least squares on training images without their labels, so that
    their outputs come nearest to what they were (He et al. 2017), most of all where the network's prediction
    depends on them; heads of attention are turned beforehand, so that dimensions that go are made up for by those that
    stay."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards where layers were not refitted; those that were give
    outputs that fit the statistics they had."""

    def settled(self, *, classifier: bool) -> Self:
        """With what `auto` means.

        >>> step = PruneChannels(speedup=2)
        >>> of_classifier, of_detector = step.settled(classifier=True), step.settled(classifier=False)
        >>> of_classifier.criterion, of_classifier.scope, of_detector.criterion, of_detector.scope
        ('output', 'cost', 'l2', 'global')
        """
        at_once = isinstance(self.schedule, OneShot) and isinstance(self.learning, NoLearning)
        refitted = self.repair and classifier and self.latency is None
        criterion, scope = self.criterion, self.scope
        if criterion == "auto":
            criterion = "output" if at_once and refitted else "l2"
        if scope == "auto":
            scope = "cost" if criterion == "output" else "global"
        return self.model_copy(update={"criterion": criterion, "scope": scope})

    @property
    def layers_foreseen(self) -> Foreseen:
        if self.layers:
            return "surely"
        if self.latency is not None or self.scope in ("sensitivity", "solved"):
            return "not"
        return "surely" if self.scope == "local" and isinstance(self.schedule, OneShot) else "likely"

    @property
    def timed_in(self) -> Runtime | None:
        return self.latency.runtime if self.latency else None

    @model_validator(mode="after")
    def _targets(self) -> Self:
        self.refuse_beside_layers(*TARGETS, "ratio", "scope", "floor", "round_to", "skip")
        given = [name for name in TARGETS if getattr(self, name) is not None]
        if given and "ratio" in self.model_fields_set:
            raise Clash("ratio", f"given together with {given[0]}", "one of the two")
        if self.latency is not None and len(given) > 1:
            raise Clash("latency", f"given together with {given[0]}", "a latency target alone")
        return self
