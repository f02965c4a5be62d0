"""Parameters, sparsity and multiply-accumulates (MACs), whole and per layer.

One MAC is one multiplication and one addition in a convolution or a matrix product; biases, normalization
and activations are not counted.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrize

from engine.compute.layers.overlays import held_in
from engine.compute.layers.passes import evaluating, taken_by
from engine.compute.measures.products import Product, Products, unfused_attention
from engine.errors import SecateurError

_INPUT_SEED = 0
_ATTENTION_WEIGHTS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")


@dataclass(frozen=True)
class Layer:
    """One weight and the products computed with it; or, with an empty shape, products that use no weight.

    `name` is the weight's in the folded state_dict, such as ``layer1.0.conv1.weight`` (without a weight, the
    module's); `type` the module's class; `parameters` and `nonzero` count weight and bias, `sparsity` is the
    weight's share of zeros, 0 to 1; `effective_macs` are the MACs whose weight is not zero.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    parameters: int
    nonzero: int
    sparsity: float
    macs: int
    effective_macs: int


@dataclass(frozen=True)
class Counts:
    """A model in numbers.

    `parameters` and `nonzero` count every parameter, with biases and normalization, each once; `sparsity` is
    the share of zeros (-0.0 included) among the elements of all *prunable weights*: those of convolutions,
    linear layers and attention projections, whether the pass reaches them or not, and any other tensor of
    the model that takes part in a matrix product. `macs` are for one image; `effective_macs` those whose
    weight is not zero: what a runtime that skips zeros would compute, and no dense runtime does.
    """

    parameters: int
    nonzero: int
    sparsity: float
    macs: int
    effective_macs: int
    layers: tuple[Layer, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def measures(self) -> dict[str, float]:
        """The model's own numbers, by the names of the measures that they are."""
        return {
            "parameters": self.parameters,
            "nonzero_parameters": self.nonzero,
            "sparsity": self.sparsity,
            "macs": self.macs,
            "effective_macs": self.effective_macs,
        }


def count(model: nn.Module, shape: tuple[int, ...]) -> Counts:
    """Count `model`, with its masks applied, on one image of `shape` (C, H, W), in eval mode.

    The model is left exactly as it was. Raises SecateurError when it does not run on such an image.
    """
    # Cached, a masked weight is one tensor for the whole pass, by which its products are recognized.
    with torch.no_grad(), parametrize.cached():
        weights = list(_weights(model))
        products = _products(model, shape, weights)
        prunable = [weight for weight in weights if weight.prunable or weight.name in products]
        parameters = [tensor for weight in weights if weight.trained for tensor in weight.held_in]
        return Counts(
            parameters=sum(tensor.numel() for tensor in parameters),
            nonzero=sum(_nonzero(tensor) for tensor in parameters),
            sparsity=_sparsity([weight.tensor for weight in prunable]),
            macs=sum(product.macs for product in products.values()),
            effective_macs=sum(product.effective for product in products.values()),
            layers=tuple(_layers(model, prunable, products)),
        )


@dataclass(frozen=True)
class _Weight:
    """A tensor of the folded model; `trained`: a parameter, not a buffer."""

    name: str
    owner: nn.Module
    tensor: Tensor
    trained: bool
    prunable: bool

    @property
    def held_in(self) -> tuple[Tensor, ...]:
        """The parameters that make it up: itself, or those that an overlay keeps in its place."""
        held = held_in(self.owner) if self.name.endswith("weight") else None
        return held or (self.tensor,)


def _weights(model: nn.Module) -> Iterator[_Weight]:
    """The tensors of the folded model, each memory once, in the order of its modules."""
    seen: set[object] = set()
    for prefix, module in model.named_modules():
        if ".parametrizations" in f".{prefix}":
            continue
        for name, tensor, trained in _own_tensors(module):
            full = f"{prefix}.{name}" if prefix else name
            identity = (tensor.data_ptr(), tensor.shape) if tensor.numel() else full
            if identity not in seen:
                seen.add(identity)
                yield _Weight(full, module, tensor, trained, trained and _is_prunable(module, name))


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    """Name, tensor and whether it is a parameter, of the module itself; parametrized ones as used."""
    if parametrize.is_parametrized(module):
        assert isinstance(module.parametrizations, nn.ModuleDict)
        for name, originals in module.parametrizations.items():
            yield name, getattr(module, name), any(True for _ in originals.parameters(recurse=False))
    for name, parameter in module.named_parameters(recurse=False):
        yield name, parameter, True
    for name, buffer in module.named_buffers(recurse=False):
        yield name, buffer, False


def _is_prunable(module: nn.Module, name: str) -> bool:
    if isinstance(module, nn.Linear | _ConvNd):
        return name == "weight"
    return isinstance(module, nn.MultiheadAttention) and name in _ATTENTION_WEIGHTS


def _nonzero(tensor: Tensor) -> int:
    return int(torch.count_nonzero(tensor))


def _sparsity(tensors: list[Tensor]) -> float:
    elements = sum(tensor.numel() for tensor in tensors)
    return 1 - sum(_nonzero(tensor) for tensor in tensors) / elements if elements else 0.0


def _layers(model: nn.Module, prunable: list[_Weight], products: dict[str, Product]) -> Iterator[Layer]:
    """In the order of the model's modules: its prunable weights, and modules with products of their own."""
    of_module: dict[nn.Module, list[_Weight]] = {}
    for weight in prunable:
        of_module.setdefault(weight.owner, []).append(weight)
    for name, module in model.named_modules():
        for weight in of_module.get(module, []):
            yield _weight_row(weight, products.get(weight.name, Product()))
        if (own := products.get(name)) is not None:
            yield Layer(name, type(module).__name__, (), 0, 0, 0.0, own.macs, own.effective)


def _weight_row(weight: _Weight, product: Product) -> Layer:
    bias = getattr(weight.owner, weight.name.rpartition(".")[2].replace("weight", "bias"), None)
    tensors = [*weight.held_in, *([bias] if isinstance(bias, Tensor) and bias is not weight.tensor else [])]
    return Layer(
        name=weight.name,
        type=_type(weight.owner),
        shape=tuple(weight.tensor.shape),
        parameters=sum(tensor.numel() for tensor in tensors),
        nonzero=sum(_nonzero(tensor) for tensor in tensors),
        sparsity=_sparsity([weight.tensor]),
        macs=product.macs,
        effective_macs=product.effective,
    )


def _type(module: nn.Module) -> str:
    """The module's class; a parametrized module's is a subclass made at run time."""
    cls = type(module)
    return (cls.__bases__[0] if parametrize.is_parametrized(module) else cls).__name__


def _products(model: nn.Module, shape: tuple[int, ...], weights: list[_Weight]) -> dict[str, Product]:
    """The products of one forward pass by the name of the weight, or of the module that has none."""
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(_INPUT_SEED))
    counter = Products(model, {weight.name: weight.tensor for weight in weights})
    with evaluating(model), unfused_attention(), counter:
        try:
            model(taken_by(model, image))
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
            raise SecateurError(
                f"The model does not run on an image of {' × '.join(map(str, shape))}",
                str(error),
                "Check data.size and data.channels against what the model takes.",
            ) from error
    return counter.by_weight
