"""Every parameter of secateur, declared once. `STEPS` is the table of step kinds."""

from engine.params.base import Params, StepParams
from engine.params.pruning import PruneWeights
from engine.params.repair import Calibrate
from engine.params.training import Finetune, Train

Step = Train | Finetune | PruneWeights | Calibrate
"""Every step kind: `match` on it ends in `assert_never`."""

STEPS: dict[str, type[Step]] = {kind.kind: kind for kind in (Train, Finetune, PruneWeights, Calibrate)}

__all__ = ["STEPS", "Calibrate", "Finetune", "Params", "PruneWeights", "Step", "StepParams", "Train"]
