"""Every parameter of secateur, declared once. `STEPS` is the table of step kinds."""

from typing import get_args

from engine.params.base import Params, StepParams
from engine.params.blocks import PruneBlocks
from engine.params.calibrate import Calibrate
from engine.params.channels import PruneChannels
from engine.params.cluster_weights import ClusterWeights
from engine.params.clustering import ClusterFilters, ClusterKernels
from engine.params.distillation import Distill
from engine.params.factorization import Factorize
from engine.params.pruning import PruneWeights
from engine.params.qat import QuantizeQat
from engine.params.quantization import QuantizeDynamic, QuantizeStatic
from engine.params.quantize_half import QuantizeHalf
from engine.params.quantize_weights import QuantizeWeights
from engine.params.sensitivity import Sensitivity
from engine.params.training import Finetune, Train

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

STEPS: dict[str, type[Step]] = {cls.kind: cls for cls in get_args(Step)}
"""The step of each kind, in the order in which they are shown."""

__all__ = [
    "STEPS",
    "Calibrate",
    "ClusterFilters",
    "ClusterKernels",
    "ClusterWeights",
    "Distill",
    "Factorize",
    "Finetune",
    "Params",
    "PruneBlocks",
    "PruneChannels",
    "PruneWeights",
    "QuantizeDynamic",
    "QuantizeHalf",
    "QuantizeQat",
    "QuantizeStatic",
    "QuantizeWeights",
    "Sensitivity",
    "Step",
    "StepParams",
    "Train",
]
