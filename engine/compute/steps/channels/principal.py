"""Turns the dimensions of attention heads so that those cut last tell the most, while the network computes the same.

What a head's logits are, and what it gives, hangs on products of two weights alone: any invertible matrix may stand
between them. In the basis of the singular vectors of the products, as calibration images weigh them, leaving the last
dimensions out is the best approximation of their rank, queries and keys (or values and the layer behind) each making
up for the other. That is what a regression on the dimensions that stay would find, for any number of them.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.context import Context
from engine.compute.layers.attention import FreeAttention
from engine.compute.steps.calibration.activations import can_refit, images, largest_batch, ridge_of

IMAGES = 256
"""Training images that second moments are taken of: a head has some dozen dimensions, and every token tells of them."""
RIDGE = 1e-5
"""Of each second moment, over the mean of its diagonal: keeps a direction that no token has from being blown up."""
LEAST = 1e-5
"""Of singular values, over the largest: those below are scaled as this one is."""


@torch.no_grad()
def turn_heads(model: nn.Module, context: Context) -> None:
    """Turn the heads of every free attention whose layers may be refitted, in place.

    Sums of squares over tokens of `IMAGES` training images are what is approximated: of logits, up to a constant for
    each query, which softmax takes off; of outputs about their mean, which a bias keeps. Cosine attention allows only
    rotations, of queries and keys alike: theirs are to the principal axes of both.
    """
    modules = [
        m
        for m in model.modules()
        if isinstance(m, FreeAttention) and can_refit(m.gives[1]) and can_refit(m.takes[1])
    ]
    if not modules:
        return
    with _moments(modules) as moments:
        model.eval()
        for pixels in images(context, IMAGES, "turn", largest_batch(model, context)):
            model(pixels)
    for module, (queries, keys, values) in moments.items():
        _turn_logits(module, queries, keys)
        _turn_outputs(module, values)


QUERIES, KEYS, VALUES = range(3)
Moments = dict[FreeAttention, list[Tensor]]
"""Second moments (heads, width, width) of queries, of keys about each sequence's mean, and of what heads give with a
constant behind it (heads, width + 1, width + 1), for the modules that passes call."""


@contextmanager
def _moments(modules: list[FreeAttention]) -> Iterator[Moments]:
    sums: dict[tuple[FreeAttention, int], Tensor] = defaultdict(lambda: torch.zeros(()))

    def add(module: FreeAttention, part: int, tokens: Tensor) -> None:
        own = _by_head(tokens, module).transpose(1, 2).double()  # (N, heads, L, width)
        if part == KEYS and not module.cosine:
            own = own - own.mean(2, keepdim=True)
        if part == VALUES:
            own = functional.pad(own, (0, 1), value=1.0)
        sums[module, part] = sums[module, part].to(own) + torch.einsum("nhli,nhlj->hij", own, own)

    def projected(module: FreeAttention, every: Tensor) -> None:
        parts = [every[..., part.start : part.stop] for part in module.parts]
        if module.cosine:
            parts = [functional.normalize(_by_head(part, module), dim=-1).flatten(-2) for part in parts]
        add(module, QUERIES, parts[QUERIES])
        add(module, KEYS, parts[KEYS])

    found: Moments = {}
    with ExitStack() as hooks:
        for module in modules:
            before = module.qkv.register_forward_hook(lambda *of, m=module: projected(m, of[2]))
            behind = module.out.register_forward_pre_hook(lambda *of, m=module: add(m, VALUES, of[1][0]))
            hooks.callback(before.remove)
            hooks.callback(behind.remove)
        yield found
    for module in dict.fromkeys(module for module, _ in sums):
        found[module] = [sums[module, part] for part in (QUERIES, KEYS, VALUES)]


def _by_head(tokens: Tensor, module: FreeAttention) -> Tensor:
    """(N, L, heads · width) → (N, L, heads, width)."""
    return tokens.reshape(*tokens.shape[:-1], module.heads, -1)


def _turn_logits(module: FreeAttention, queries: Tensor, keys: Tensor) -> None:
    parts = module.parts
    if module.cosine:
        axes = torch.linalg.eigh(queries + keys).eigenvectors.flip(-1)
        turns = axes, axes
    else:
        root, other = _root(queries), _root(keys)
        left, size, right = torch.linalg.svd(root.mT @ other)
        size = size.sqrt()[:, None]
        # Queries Q T and keys K T′ with T T′ᵀ = 1, so that logits stay, and second moments that are alike.
        turns = _behind(root, left * size), _behind(other, right.mT * size)
    for part, turn in zip((parts.queries, parts.keys), turns, strict=True):
        _turn_made(module, part, turn)


def _turn_outputs(module: FreeAttention, values: Tensor) -> None:
    whole, total = values[:, :-1, :-1], values[:, :-1, -1:]
    root = _root(whole - total @ total.mT / values[:, -1:, -1:], whole)
    behind = module.takes[1]
    taken = behind.weight.detach().double()
    taken = taken.view(len(taken), module.heads, -1).permute(1, 2, 0)  # (heads, width, outputs)
    product = root.mT @ taken
    squares, left = torch.linalg.eigh(product @ product.mT)
    squares, left = squares.flip(-1), left.flip(-1)
    size = (
        squares.clamp_min(LEAST**2 * squares.max()).clamp_min(torch.finfo(squares.dtype).tiny)[:, None]
        ** 0.25
    )
    _turn_made(module, module.parts.values, _behind(root, left * size))
    turned = (root @ left / size).mT @ taken
    behind.weight.copy_(turned.permute(2, 0, 1).flatten(1))


def _root(moment: Tensor, whole: Tensor | None = None) -> Tensor:
    """The lower triangle L with L Lᵀ = the moment and a ridge (heads, width, width): see `ridge_of`."""
    ridge = ridge_of(moment, RIDGE, whole)
    root: Tensor = torch.linalg.cholesky(moment + torch.diag_embed(ridge[:, None].expand(moment.shape[:2])))
    return root


def _behind(root: Tensor, right: Tensor) -> Tensor:
    """L⁻ᵀ times `right`."""
    solution: Tensor = torch.linalg.solve_triangular(root.mT, right, upper=True)
    return solution


def _turn_made(module: FreeAttention, part: range, turn: Tensor) -> None:
    """Let the first layer give each head's dimensions times `turn` (heads, width, width)."""
    rows = slice(part.start, part.stop)
    layer = module.gives[1]
    for tensor in (layer.weight, layer.bias):
        if tensor is not None:
            own = tensor[rows]
            turned = turn.mT @ own.double().view(module.heads, turn.shape[1], -1)
            own.copy_(turned.view(own.shape))
