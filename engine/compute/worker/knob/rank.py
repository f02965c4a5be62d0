"""Lower rank: layers as chains of two, as `factorize` makes them with the scheme `channel`.

A network whose weights are of low rank computes what its chains do, so it is scored with plain weights, and only
counted as chains.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.compute.layers import factors
from engine.compute.measures.estimate import Stored, plain_bytes, stored
from engine.compute.steps.calibration.understood import computed_by_class
from engine.compute.steps.factorization.step import able_layers, ranks_of
from engine.compute.worker.knob.dials import Setting, as_step
from engine.compute.worker.knob.held import Held
from engine.errors import SecateurError
from engine.params.factorization import Factorize
from engine.studies.knob import Costs, Technique


@dataclass(frozen=True)
class _Split:
    """A layer's weight (as a matrix) as `basis` @ `rest`, the largest singular values first; float32.

    `transposed`: whether that is the matrix's transpose, because it has more rows than columns.
    """

    basis: Tensor
    rest: Tensor
    transposed: bool

    def of_rank(self, rank: int, shape: torch.Size) -> Tensor:
        """The nearest weight of this rank."""
        matrix = self.basis[:, :rank] @ self.rest[:rank]
        return (matrix.T if self.transposed else matrix).reshape(shape)


class Rank:
    """The largest ranks with which each layer loses a share of its weights; one that would lose none stays whole."""

    technique = Technique(
        "rank",
        "weights that lower ranks save",
        "%",
        0.0,
        0.95,
        0.01,
        0.0,
        how="the same share in each layer, by singular values",
    )

    def __init__(self, held: Held) -> None:
        self._held = held
        able, _ = able_layers(held.plain, self._params(0.5), held.context, computed_by_class)
        if not able:
            raise SecateurError("No layer can be factorized", "None is linear or a plain 2-D convolution.")
        self._layers: dict[str, nn.Module] = able
        self._splits: dict[str, _Split] = {}
        self._bits: dict[str, float] = {}

    @staticmethod
    def _params(ratio: float) -> Factorize:
        return Factorize.model_validate(
            {"scheme": "channel", "rank": {"kind": "ratio", "ratio": ratio}, "calibrate": False}
        )

    def prepare(self) -> bool:
        name = next((name for name in self._layers if name not in self._splits), None)
        if name is not None:
            self._split(name)
        return len(self._splits) < len(self._layers)

    def set(self, value: float) -> Setting:
        held = self._held
        if not value:
            return self._setting(value, {}, {})
        params = self._params(value)
        ranks: dict[str, int] = {}
        for name, layer in self._layers.items():
            weight = held.weights[name]
            (rank,) = ranks_of(layer, weight, "svd", params.rank)
            if factors.parameters(layer, "svd", (rank,)) < weight.numel():
                ranks[name] = rank
        weights = {
            name: self._split(name).of_rank(rank, held.weights[name].shape) for name, rank in ranks.items()
        }
        return self._setting(value, ranks, weights)

    def _split(self, name: str) -> _Split:
        if name not in self._splits:
            (matrix,) = factors.matrices(self._held.weights[name], "svd")
            transposed = matrix.shape[0] > matrix.shape[1]
            matrix = matrix.T if transposed else matrix
            basis = torch.linalg.eigh(matrix @ matrix.T).eigenvectors.flip(1)
            rest = (basis.T @ matrix).float()
            self._splits[name] = _Split(basis.float(), rest, transposed)
            self._bits[name] = stored(rest).bits
        return self._splits[name]

    def _setting(self, value: float, ranks: dict[str, int], weights: dict[str, Tensor]) -> Setting:
        held, base = self._held, self._held.baseline.costs
        own = {name: factors.parameters(self._layers[name], "svd", (rank,)) for name, rank in ranks.items()}
        whole = {name: weight.numel() for name, weight in held.weights.items() if name in ranks}
        tensors, kept = dict(held.tensors), dict(held.stored)
        for name, rank in ranks.items():
            self._count(name, rank, tensors, kept)
        macs = {layer.name.removesuffix(".weight"): layer for layer in held.counts.layers if layer.shape}
        fewer = {name: round(macs[name].macs * (1 - own[name] / whole[name])) for name in ranks}
        return Setting(
            value,
            held.write(weights),
            {name: 1 - own[name] / whole[name] for name in ranks},
            as_step(self._params(value)) if ranks else {},
            Costs(
                plain_bytes(tensors),
                held.packed_bytes(kept.values()),
                base.parameters - sum(whole[name] - own[name] for name in ranks),
                base.nonzero_parameters
                - sum(held.stored[f"{name}.weight"].nonzero - own[name] for name in ranks),
                base.macs - sum(fewer.values()),
                base.effective_macs
                - sum(macs[name].effective_macs - (macs[name].macs - fewer[name]) for name in ranks),
                held.predicted.of_ranks(ranks) if held.predicted else base.latency_ms if not ranks else None,
            ),
        )

    def _count(
        self,
        name: str,
        rank: int,
        tensors: dict[str, tuple[torch.dtype, tuple[int, ...]]],
        kept: dict[str, Stored],
    ) -> None:
        """Put the chain's tensors in the place of the layer's."""
        dtype, (outputs, *inputs) = tensors.pop(f"{name}.weight")
        del kept[f"{name}.weight"]
        for number, shape in enumerate(((rank, *inputs), (outputs, rank, *[1] * (len(inputs) - 1)))):
            elements = math.prod(shape)
            tensors[f"{name}.{number}.weight"] = (dtype, shape)
            kept[f"{name}.{number}.weight"] = Stored(elements, elements, self._bits[name])
        if f"{name}.bias" in tensors:
            tensors[f"{name}.1.bias"] = tensors.pop(f"{name}.bias")
            kept[f"{name}.1.bias"] = kept.pop(f"{name}.bias")
