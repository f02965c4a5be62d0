"""Every parameter of secateur, declared once. `STEPS` is the table of step kinds.

The class of a step is imported when it is first asked for: a preset has a few of the kinds, the lab's first frame shows
one of them, and many a command none.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    # `X as X`: for the type checker, a name that others may import from here.
    from engine.params.base import Params as Params
    from engine.params.base import StepParams as StepParams
    from engine.params.blocks import PruneBlocks as PruneBlocks
    from engine.params.calibrate import Calibrate as Calibrate
    from engine.params.channels import PruneChannels as PruneChannels
    from engine.params.cluster_weights import ClusterWeights as ClusterWeights
    from engine.params.clustering import ClusterFilters as ClusterFilters
    from engine.params.clustering import ClusterKernels as ClusterKernels
    from engine.params.distillation import Distill as Distill
    from engine.params.factorization import Factorize as Factorize
    from engine.params.pruning import PruneWeights as PruneWeights
    from engine.params.qat import QuantizeQat as QuantizeQat
    from engine.params.quantization import (
        QuantizeDynamic as QuantizeDynamic,
    )
    from engine.params.quantization import (
        QuantizeStatic as QuantizeStatic,
    )
    from engine.params.quantize_half import QuantizeHalf as QuantizeHalf
    from engine.params.quantize_weights import QuantizeWeights as QuantizeWeights
    from engine.params.sensitivity import Sensitivity as Sensitivity
    from engine.params.training import Finetune as Finetune
    from engine.params.training import Train as Train

    Step = (
        Train
        | Finetune
        | PruneWeights
        | PruneChannels
        | PruneBlocks
        | ClusterFilters
        | ClusterKernels
        | ClusterWeights
        | Factorize
        | Distill
        | QuantizeDynamic
        | QuantizeStatic
        | QuantizeQat
        | QuantizeWeights
        | QuantizeHalf
        | Calibrate
        | Sensitivity
    )
    """Every step kind: `match` on it ends in `assert_never`."""

CLASSES = {
    "train": "training:Train",
    "finetune": "training:Finetune",
    "prune.weights": "pruning:PruneWeights",
    "prune.channels": "channels:PruneChannels",
    "prune.blocks": "blocks:PruneBlocks",
    "cluster.filters": "clustering:ClusterFilters",
    "cluster.kernels": "clustering:ClusterKernels",
    "cluster.weights": "cluster_weights:ClusterWeights",
    "factorize": "factorization:Factorize",
    "distill": "distillation:Distill",
    "quantize.dynamic": "quantization:QuantizeDynamic",
    "quantize.static": "quantization:QuantizeStatic",
    "quantize.qat": "qat:QuantizeQat",
    "quantize.weights": "quantize_weights:QuantizeWeights",
    "quantize.half": "quantize_half:QuantizeHalf",
    "calibrate": "calibrate:Calibrate",
    "sensitivity": "sensitivity:Sensitivity",
}
"""Where the class of each kind of step is, in the order in which they are shown."""
PLACES = {
    **{place.partition(":")[2]: place for place in CLASSES.values()},
    "Params": "base:Params",
    "StepParams": "base:StepParams",
}
"""Where each class is that can be had from here, by its name."""


@cache
def _imported(place: str) -> Any:
    return resolve_name(f"{__name__}.{place}")


class _Steps(Mapping[str, "type[Step]"]):
    """A step's class by its kind."""

    def __getitem__(self, kind: str) -> "type[Step]":
        step: type[Step] = _imported(CLASSES[kind])
        return step

    def __contains__(self, kind: object) -> bool:
        return kind in CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(CLASSES)

    def __len__(self) -> int:
        return len(CLASSES)


STEPS = _Steps()
"""The step of each kind, in the order in which they are shown."""


def step_of(values: Mapping[str, Any]) -> "Step":
    """The step of these plain values: its `kind` and its parameters."""
    return STEPS[values["kind"]].model_validate({name: values[name] for name in values if name != "kind"})


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """A class, or the union of all steps, where it is imported by its name."""
        if name == "Step":
            return Union[tuple(STEPS.values())]  # noqa: UP007
        if name in PLACES:
            return _imported(PLACES[name])
        raise AttributeError(f"module {__name__} has no attribute {name}")
