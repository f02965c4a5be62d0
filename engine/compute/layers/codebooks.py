"""Codebooks that live inside the model: a layer's weights are few shared centroids, which training moves."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers.masks import Folding, fold_module, mask_of, part_of, parts, set_mask
from engine.compute.layers.select import leaf_of


@dataclass(frozen=True)
class CodebookForm:
    """How a weight of `shape` is read from a codebook.

    The flattened weight is cut in `groups` equal parts, each with a book of its own, and each part in vectors
    of `width` neighbours: 1 for scalar codebooks, more for product quantization.
    """

    shape: tuple[int, ...]
    groups: int = 1
    width: int = 1

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "shape": list(self.shape)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CodebookForm":
        return cls(tuple(values["shape"]), values["groups"], values["width"])

    @property
    def vectors(self) -> tuple[int, int]:
        """Groups, and vectors in each: the shape of the indices."""
        return self.groups, math.prod(self.shape) // (self.groups * self.width)


class Codebook(Folding):
    """Parametrization of a weight by its centroids, after Han et al. 2016 (Deep Compression, section 3).

    What is parametrized, and trained, are the centroids, flattened (groups · K · width); `indices` (groups,
    vectors), uint8, tell each vector's centroid. The gradient of a centroid is the sum over the weights that
    share it (equation 3); training steps by their mean, see `step_factors`.
    """

    indices: Tensor

    def __init__(self, indices: Tensor, form: CodebookForm) -> None:
        super().__init__()
        self.register_buffer("indices", indices)
        self.form = form

    def forward(self, centroids: Tensor) -> Tensor:
        rows = self.indices.int()
        if self.form.groups > 1:
            each = centroids.numel() // (self.form.groups * self.form.width)
            rows = rows + each * torch.arange(self.form.groups, dtype=rows.dtype, device=rows.device)[:, None]
        # index_select on one dimension: ten times as fast, there and back, as indexing or an embedding.
        if self.form.width == 1:
            return centroids.index_select(0, rows.flatten()).view(self.form.shape)
        table = centroids.view(-1, self.form.width)
        return table.index_select(0, rows.flatten()).view(self.form.shape)


def codebook_of(module: nn.Module) -> Codebook | None:
    """The codebook of `module`'s weight, if it has one."""
    return part_of(module, Codebook)


def clustered(model: nn.Module) -> dict[str, Codebook]:
    """Every codebook of the model by the name of its layer."""
    return parts(model, Codebook)


def step_factors(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Centroids, and what makes of each one's gradient the mean over its weights: one over how many it has.

    What a mask holds at zero does not count. By the sum, a step would be as many times as long as a centroid has
    weights: a learning rate that suits a layer of thousands made one of millions diverge. By the mean, no training of
    centroids is less stable than that of the weights with the same rate.
    """
    factors = []
    for name, book in clustered(model).items():
        module = model.get_submodule(name)
        table = leaf_of(module)
        factors.append((table, (1 / _members(module, book, len(table))).to(table)))
    return factors


def _members(module: nn.Module, book: Codebook, size: int) -> Tensor:
    """For each of the table's `size` numbers, of how many weights it is the value, float64; at least 1."""
    mask = mask_of(module)
    used = torch.ones(book.form.shape, device=book.indices.device) if mask is None else mask.mask
    with torch.enable_grad():
        table = torch.zeros(size, dtype=torch.float64, device=used.device, requires_grad=True)
        (counts,) = torch.autograd.grad(book(table), table, used.double())
    return counts.clamp_min(1)


def set_codebook(module: nn.Module, centroids: Tensor, indices: Tensor, form: CodebookForm) -> None:
    """Replace `module`'s weight by its codebook, in place; a mask on it stays, over the codebook.

    `centroids` (groups, K, width) or flattened, `indices` (groups, vectors) of dtype uint8.
    """
    mask = mask_of(module)
    fold_module(module)
    trained = leaf_of(module).requires_grad
    # A parameter of its own: the old one may be another layer's too. One dimension, as for normalization:
    # the optimizers' weight decay leaves it alone.
    table = nn.Parameter(centroids.detach().flatten().clone(), requires_grad=trained)
    module.register_parameter("weight", table)
    parametrize.register_parametrization(module, "weight", Codebook(indices, form), unsafe=True)
    if mask is not None:
        set_mask(module, mask.mask)


def bits_per_weight(book: Codebook, mask: Tensor | None = None) -> float:
    """Entropy (Shannon 1948) of the indices, in bits for each weight: 0 to 8.

    Of a layer with a `mask`, the indices of the weights that it keeps.
    """
    indices = book.indices
    if mask is not None:
        indices = indices[mask.reshape(*book.form.vectors, book.form.width).any(-1)]
    counts = torch.unique(indices, return_counts=True)[1].double()
    shares = counts / counts.sum()
    return abs(float((shares * shares.log2()).sum())) / book.form.width
