"""Convolutions whose kernels are entries of a dictionary, times a scale each."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers.masks import Folding, mask_of, part_of, parts

INDEX_TYPES = ((256, torch.uint8), (32_768, torch.int16), (2**31, torch.int32))
"""The smallest type for the numbers of so many entries."""


class KernelDictionary(Folding):
    """Parametrization of a convolution's weight: kernel (o, i) is ``scales[o, i] · entries[index[o, i]]``.

    The weight is (O, I, kh, kw); its two originals are the entries (K, kh, kw) and the scales (O, I), and both train.
    The index does not. (Son et al. 2018, "Clustering Convolutional Kernels to Compress Deep Neural Networks", with a
    scale for their sign.)
    """

    index: Tensor

    def __init__(self, index: Tensor, entries: int) -> None:
        super().__init__()
        self.entries = entries
        self.register_buffer("index", index)

    def forward(self, entries: Tensor, scales: Tensor) -> Tensor:
        return entries[self.index.long()] * scales[:, :, None, None]

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Entries of length 1 and scales nearest to `weight` for this index, by least squares."""
        kernels, numbers = weight.detach().flatten(2).flatten(0, 1).double(), self.index.long().flatten()
        outer = kernels[:, :, None] * kernels[:, None, :]
        empty = outer.new_zeros(self.entries, *outer.shape[1:])
        principal = torch.linalg.eigh(empty.index_add(0, numbers, outer)).eigenvectors[..., -1]
        scales = (kernels * principal[numbers]).sum(1)
        return (
            principal.view(-1, *weight.shape[2:]).to(weight.dtype),
            scales.view(weight.shape[:2]).to(weight.dtype),
        )


def set_dictionary(conv: nn.Module, index: Tensor, entries: int) -> None:
    """Give `conv` a dictionary of `entries` kernels, in place; `index` (O, I) says which kernel uses which."""
    dtype = next(kind for most, kind in INDEX_TYPES if entries <= most)
    trained = conv.weight.requires_grad
    parametrize.register_parametrization(
        conv, "weight", KernelDictionary(index.to(dtype), entries), unsafe=True
    )
    for original in originals(conv):
        original.requires_grad_(trained)  # type: ignore[arg-type]


def repeat(conv: nn.Module, index: Tensor, entries: Tensor) -> None:
    """Give `conv` a dictionary of the shapes of `index` (O, I) and `entries` (K, kh, kw), in place.

    Its values are still to be filled in; on the meta device too.
    """
    trained = conv.weight.requires_grad
    room = entries.new_zeros(*index.shape, *entries.shape[1:])
    conv.register_parameter("weight", nn.Parameter(room, requires_grad=trained))  # type: ignore[arg-type]
    set_dictionary(conv, index, len(entries))


def dictionaries(model: nn.Module) -> dict[str, KernelDictionary]:
    """Every dictionary by the name of its layer."""
    return parts(model, KernelDictionary)


def originals(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Entries and scales of a convolution with a dictionary: its parameters."""
    held = module.parametrizations["weight"]  # type: ignore[index]
    return held.original0, held.original1  # type: ignore[union-attr]


def step_factors(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Entries, and what makes of each one's gradient a step as long as its kernels' would be: one over the sum of their
    squared scales, where that is above one.

    As with codebooks: an entry that thousands of kernels use would leap otherwise. What a mask holds at zero does not
    count.
    """
    factors = []
    for name, dictionary in dictionaries(model).items():
        module = model.get_submodule(name)
        entries, scales = originals(module)
        mask = mask_of(module)
        weighed = scales.detach().square()[:, :, None, None].expand(*scales.shape, *entries.shape[1:])
        if mask is not None:
            weighed = weighed * mask.mask
        total = torch.zeros_like(entries).index_add_(
            0, dictionary.index.int().flatten(), weighed.flatten(0, 1)
        )
        factors.append((entries, 1 / total.clamp_min(1)))
    return factors


def compact(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The folded `state` of `model` as it is stored: entries, scales and index in the place of the whole weight."""
    own = dict(state)
    stored: dict[nn.Module, dict[str, Tensor]] = {}
    for name, module in in_parts(model).items():
        if module not in stored:  # under its second name it has the same tensors, not copies of them
            stored[module] = {part: t.detach().cpu().contiguous() for part, t in _parts(module).items()}
        del own[f"{name}.weight"]
        own |= {f"{name}.weight.{part}": tensor for part, tensor in stored[module].items()}
    return own


def in_parts(model: nn.Module) -> dict[str, nn.Module]:
    """The layers that are stored as their dictionary, under each of their names.

    Not those with a mask over it: what is left of them is sparse, and stored so.
    """
    return {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if part_of(module, KernelDictionary) is not None and len(module.parametrizations["weight"]) == 1
    }


def _parts(module: nn.Module) -> dict[str, Tensor]:
    entries, scales = originals(module)
    dictionary = part_of(module, KernelDictionary)
    assert dictionary is not None
    return {"entries": entries, "scales": scales, "index": dictionary.index}
