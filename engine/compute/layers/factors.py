"""Layers split in chains of plain smaller ones, and the weights of the chain from the layer's.

A *scheme* is one of

- ``svd``: a linear layer (O, I) as I → r → O; a convolution as k×k to r channels and 1×1 (Zhang et al. 2016);
- ``spatial``: a convolution as k×1 to r channels and 1×k (Jaderberg et al. 2014);
- ``tucker``: a convolution as 1×1 to r_in channels, k×k to r_out, and 1×1 (Tucker-2, Kim et al. 2016).

All arithmetic is in float64. With full ranks the chain computes what the layer did.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.compute.layers.select import is_trained, replace, weight_of

Scheme = Literal["svd", "spatial", "tucker"]
Ranks = tuple[int, ...]

SWEEPS = 5
"""Alternations between the two sides of Tucker-2 (HOOI, De Lathauwer et al. 2000): later ones hardly change it."""


def chain(layer: nn.Module, scheme: Scheme, ranks: Ranks) -> nn.Sequential:
    """The layers that take the place of `layer`, on its device, weights not set; its class may be
    parametrized, its weight may have any shape."""
    if isinstance(layer, nn.Linear):
        (r,) = ranks
        parts: list[nn.Module] = [
            nn.Linear(layer.in_features, r, bias=False),
            nn.Linear(r, layer.out_features, bias=layer.bias is not None),
        ]
    else:
        assert isinstance(layer, nn.Conv2d)
        parts = _convolutions(layer, scheme, ranks)
    made = nn.Sequential(*parts)
    like, trained = weight_of(layer), is_trained(layer)
    for part in made:
        part.weight.requires_grad_(trained)
    if isinstance(bias := layer.bias, nn.Parameter):
        made[-1].bias.requires_grad_(bias.requires_grad)
    return made.to(device=like.device, dtype=like.dtype).train(layer.training)


def _convolutions(layer: nn.Conv2d, scheme: Scheme, ranks: Ranks) -> list[nn.Module]:
    inner, outer, bias = layer.in_channels, layer.out_channels, layer.bias is not None
    whole = {name: getattr(layer, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    mode = layer.padding_mode
    match scheme:
        case "svd":
            (r,) = ranks
            first = nn.Conv2d(inner, r, **whole, padding_mode=mode, bias=False)
            return [first, nn.Conv2d(r, outer, 1, bias=bias)]
        case "spatial":
            (r,) = ranks
            down = nn.Conv2d(inner, r, **_along(whole, 0), padding_mode=mode, bias=False)
            return [down, nn.Conv2d(r, outer, **_along(whole, 1), padding_mode=mode, bias=bias)]
        case "tucker":
            r_in, r_out = ranks
            core = nn.Conv2d(r_in, r_out, **whole, padding_mode=mode, bias=False)
            return [nn.Conv2d(inner, r_in, 1, bias=False), core, nn.Conv2d(r_out, outer, 1, bias=bias)]


def _along(whole: dict[str, Any], axis: int) -> dict[str, Any]:
    """The settings of a convolution along one axis: 0 downwards, 1 across."""
    idle = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    return {
        name: value
        if isinstance(value, str)
        else tuple(v if i == axis else idle[name] for i, v in enumerate(value))
        for name, value in whole.items()
    }


def factorized(layer: nn.Module, scheme: Scheme, ranks: Ranks) -> nn.Sequential:
    """The chain for a plain `layer`, with its weights: the best of these ranks (for Tucker-2 nearly)."""
    made = chain(layer, scheme, ranks)
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    weight = layer.weight.detach().double()
    tensors = _tucker(weight, ranks) if scheme == "tucker" else _pair(weight, scheme, ranks[0])
    with torch.no_grad():
        for part, tensor in zip(made, tensors, strict=True):
            assert isinstance(part, nn.Linear | nn.Conv2d)
            part.weight.copy_(tensor.view_as(part.weight))
        if layer.bias is not None:
            last = made[-1].bias
            assert isinstance(last, Tensor)
            last.copy_(layer.bias)
    return made


def matrices(weight: Tensor, scheme: Scheme) -> tuple[Tensor, ...]:
    """The matrices whose ranks a scheme lowers, in the order of its ranks, in float64.

    ``svd``: (O, I·h·w); ``spatial``: (I·h, O·w); ``tucker``: (I, O·h·w) and (O, I·h·w).
    """
    weight = weight.detach().double()
    if scheme == "svd":
        return (weight.flatten(1),)
    if scheme == "spatial":
        inner, outer = weight.shape[1] * weight.shape[2], weight.shape[0] * weight.shape[3]
        return (weight.permute(1, 2, 0, 3).reshape(inner, outer),)
    return weight.transpose(0, 1).flatten(1), weight.flatten(1)


def singular_values(matrix: Tensor) -> Tensor:
    """All of them, descending, from the smaller Gram matrix: exact to 1e-8 of the largest."""
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    values: Tensor = torch.linalg.eigvalsh(small @ small.T)
    return values.clamp_min(0).sqrt().flip(0)


def _pair(weight: Tensor, scheme: Scheme, rank: int) -> tuple[Tensor, Tensor]:
    """The two weights of ``svd`` or ``spatial``, singular values shared evenly between them."""
    (matrix,) = matrices(weight, scheme)
    left, right = _split(matrix, rank)
    if scheme == "svd":
        return right, left
    outer, _, _, across = weight.shape
    first = left.T  # (r, I·h)
    second = right.view(rank, outer, across).transpose(0, 1)  # (O, r, w)
    return first, second


def _split(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(a, r) and (r, b) whose product is the best approximation of `matrix` (a, b)."""
    if matrix.shape[0] > matrix.shape[1]:
        right, left = _split(matrix.T, rank)
        return left.T, right.T
    basis = _leading(matrix, rank)
    right = basis.T @ matrix
    scale = right.norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny).sqrt()
    return basis * scale, right / scale[:, None]


def _leading(matrix: Tensor, rank: int) -> Tensor:
    """The first `rank` left singular vectors of `matrix` (a, b): (a, rank); rank ≤ a."""
    vectors: Tensor = torch.linalg.eigh(matrix @ matrix.T).eigenvectors
    return vectors.flip(1)[:, :rank]


def _tucker(weight: Tensor, ranks: Ranks) -> tuple[Tensor, Tensor, Tensor]:
    """The weights (r_in, I), (r_out, r_in, h, w) and (O, r_out) of Tucker-2."""
    r_in, r_out = ranks
    of_in, of_out = (_leading(m, r) for m, r in zip(matrices(weight, "tucker"), ranks, strict=True))
    for _ in range(SWEEPS if r_in < weight.shape[1] or r_out < weight.shape[0] else 0):
        of_out = _leading(torch.einsum("oihw,ir->orhw", weight, of_in).flatten(1), r_out)
        reduced = torch.einsum("oihw,or->rihw", weight, of_out)
        of_in = _leading(reduced.transpose(0, 1).flatten(1), r_in)
    core = torch.einsum("oihw,or,is->rshw", weight, of_out, of_in)
    return of_in.T, core, of_out


def full_ranks(weight: Tensor, scheme: Scheme) -> Ranks:
    """The ranks with which a chain computes what the layer with this weight does."""
    return tuple(min(matrix.shape) for matrix in matrices(weight, scheme))


def parameters(layer: nn.Module, scheme: Scheme, ranks: Ranks) -> int:
    """Weights of the chain, biases not counted."""
    if isinstance(layer, nn.Linear):
        return ranks[0] * (layer.in_features + layer.out_features)
    assert isinstance(layer, nn.Conv2d)
    inner, outer, (down, across) = layer.in_channels, layer.out_channels, layer.kernel_size
    if scheme == "svd":
        return ranks[0] * (inner * down * across + outer)
    if scheme == "spatial":
        return ranks[0] * (inner * down + outer * across)
    return ranks[0] * inner + ranks[0] * ranks[1] * down * across + ranks[1] * outer


def lost(weight: Tensor, made: nn.Sequential, scheme: Scheme) -> float:
    """The share of a layer's energy (its `weight`'s squares) that the chain from `factorized` has lost, 0 to 1.

    Its sides are orthogonal, so what it keeps is the energy of the kept singular values, or of Tucker-2's core.
    """
    sides = [part.weight.detach().double() for part in made if isinstance(part.weight, Tensor)]
    if scheme == "tucker":
        kept = float(sides[1].square().sum())
    else:
        first, second = (side.flatten(1) for side in (sides[0], sides[1].transpose(0, 1)))
        kept = float((first.square().sum(1) * second.square().sum(1)).sum())
    energy = max(float(weight.detach().double().square().sum()), torch.finfo(torch.float64).tiny)
    return max(1 - kept / energy, 0.0)


def repeat(model: nn.Module, layer: str, scheme: Scheme, ranks: list[int]) -> None:
    """Split `layer` again as a checkpoint tells it; weights come later."""
    replace(model, layer, chain(model.get_submodule(layer), scheme, tuple(ranks)))
