"""Steps that compress one after the other: orders that no network could take are told before anything is computed.

A step may meet what an earlier one laid over the weights (`engine.compute.layers.overlays` refuses it then). Here
only what is certain from the preset is told: neither step skips layers, and none between them makes the weights plain
again.
"""

from collections.abc import Iterator

from engine.errors import Problem
from engine.params import (
    ClusterFilters,
    ClusterKernels,
    ClusterWeights,
    Factorize,
    PruneChannels,
    PruneWeights,
    QuantizeWeights,
    Sensitivity,
    Step,
)
from engine.params.cluster_weights import Scalar
from engine.presets.steps import StepNode
from engine.presets.trials import Built

MASKS, CODEBOOKS, DICTIONARIES, GRIDS = "masks", "codebooks", "dictionaries", "grids"
MADE_BY = {
    MASKS: PruneWeights.kind,
    CODEBOOKS: ClusterWeights.kind,
    DICTIONARIES: ClusterKernels.kind,
    GRIDS: QuantizeWeights.kind,
}
REFUSED = {
    ClusterFilters.kind: (MASKS, CODEBOOKS, GRIDS),
    ClusterKernels.kind: (MASKS, CODEBOOKS, DICTIONARIES, GRIDS),
    ClusterWeights.kind: (GRIDS,),
    QuantizeWeights.kind: (CODEBOOKS, DICTIONARIES),
    Sensitivity.kind: (CODEBOOKS,),
}
"""What a step that skips no layer cannot follow; `cluster.filters` may find convolutions that have no dictionary."""
APART = {(ClusterKernels.kind, GRIDS), (ClusterKernels.kind, DICTIONARIES), (ClusterWeights.kind, GRIDS)}
APART |= {(QuantizeWeights.kind, CODEBOOKS), (QuantizeWeights.kind, DICTIONARIES)}
"""Where exchanging the steps does not help either."""


def clashes(nodes: list[StepNode], built: Built) -> list[Problem]:
    """Steps that would meet weights which they cannot change, in some trial; each step reported once."""
    found: dict[int, Problem] = {}
    nodes = [node for node in nodes if node.cls is not None]
    for steps in built.steps:
        left: set[str] = set()
        for node, step in zip(nodes, steps, strict=True):
            if not step.enabled:
                continue
            met = [what for what in REFUSED.get(step.kind, ()) if what in left and not _skips(step)]
            if met:
                found.setdefault(node.index, _problem(node, met[0]))
            left = _after(step, left)
    return list(found.values())


def _after(step: Step, left: set[str]) -> set[str]:
    """What lies over the weights of all layers after `step`, of what did before."""
    match step:
        case Factorize():
            return set()
        case PruneChannels():
            return left & {MASKS}
        case _:
            return left | set(_made(step))


def _made(step: Step) -> Iterator[str]:
    """What `step` is sure to lay over every layer that a later step could change."""
    if _skips(step):
        return
    match step:
        case PruneWeights(pattern=None):
            yield MASKS
        case ClusterWeights(method=Scalar()):
            yield CODEBOOKS
        case ClusterKernels():
            yield DICTIONARIES
        case QuantizeWeights():
            yield GRIDS
        case _:
            return


def _skips(step: Step) -> bool:
    return bool(getattr(step, "skip", ()))


def _problem(node: StepNode, met: str) -> Problem:
    earlier = MADE_BY[met]
    what = f"cannot change weights to which {earlier} before it gave {met}"
    either = "one of the two steps" if (node.kind, met) in APART else f"{node.kind} before {earlier}"
    # Sensitivity looks at the whole network whatever it skips.
    otherwise = "" if node.kind == Sensitivity.kind else ", or layers named in skip"
    return Problem(node.place, node.path, what, f"{either}{otherwise}")
