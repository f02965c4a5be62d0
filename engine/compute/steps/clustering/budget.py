"""How many clusters each layer gets."""

from dataclasses import dataclass

from torch import Tensor

from engine.compute.steps.clustering.assign import clusters_at, ward_costs


@dataclass(frozen=True)
class Candidate:
    """A layer to cluster: its filters as `vectors` (F, D), and the weights that go with each filter removed."""

    vectors: Tensor
    weights_each: int


def counts(candidates: dict[str, Candidate], ratio: float, scope: str) -> dict[str, int]:
    """Clusters of each layer: `ratio` of the filters gone from every layer (local), or of all their weights (global).

    Globally, filters are merged where it adds the least distortion per weight removed, relative to the layer's own
    energy (sum of its vectors' squares). Ward's tree says what each merge adds.
    """
    if scope == "local":
        return {name: clusters_at(len(one.vectors), ratio) for name, one in candidates.items()}
    kept = {name: len(one.vectors) for name, one in candidates.items()}
    left = ratio * sum(len(one.vectors) * one.weights_each for one in candidates.values())
    for _, name in _merges(candidates):
        if left < candidates[name].weights_each / 2:
            break
        left -= candidates[name].weights_each
        kept[name] -= 1
    return kept


def _merges(candidates: dict[str, Candidate]) -> list[tuple[float, str]]:
    """Every merge of every layer with its price, the cheapest first."""
    merges = []
    for name, one in candidates.items():
        energy = max(float(one.vectors.double().square().sum()), 1e-300) * one.weights_each
        merges += [(cost / energy, name) for cost in ward_costs(one.vectors)]
    return sorted(merges)
