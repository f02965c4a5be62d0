"""Attention modules: their heads set free, the groups that no pass shows, and sizes that they keep beside tensors."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention
from torchvision.models.vision_transformer import VisionTransformer

from engine.compute.layers.attention import FreeAttention, freed
from engine.compute.layers.passes import all_outputs, evaluating, tensors_in
from engine.compute.layers.select import replace
from engine.compute.models import edits
from engine.compute.steps.calibration.understood import same
from engine.compute.steps.channels.coupling import CouplingGraph
from engine.compute.steps.channels.groups import Cut, Gone, Group, Role
from engine.compute.steps.channels.trace import example_for

PROJECTIONS = ("in_proj_weight", "to_qkv.weight")
"""Names of the weights that make queries, keys and values in modules whose heads are not free."""
HEADS, QUERIES = "heads", "queries"
"""How groups of an attention are called behind the name of its first layer: whole heads, and the dimensions of queries
and keys. Those of values are found like any other layer's channels."""


def free_heads(model: nn.Module) -> None:
    """Give the heads of every attention that this can be done with widths of their own, in place; edits are recorded.

    The model computes what it did. That is tried on an image, because a module may be called in a way that is not
    known here, and otherwise in training than in use; modules with which it fails stay as they were.
    """
    before = dict(model.named_modules())
    made = {name: new for name, old in before.items() if (new := freed(old)) is not None}
    if not made:
        return
    image = example_for(model)
    with torch.no_grad(), evaluating(model):
        wanted = model(image)
        for names in ([*made], *([name] for name in made)):
            for name in names:
                replace(model, name, made[name])
            if _gives(model, image, wanted):
                for name in names:
                    edits.record(model, {"edit": edits.FREE_HEADS, "layer": name})
                if len(names) == len(made):
                    return
                continue
            for name in names:
                replace(model, name, before[name])


def _gives(model: nn.Module, image: Tensor, wanted: object) -> bool:
    try:
        with torch.random.fork_rng(devices=[]), all_outputs(model, image):
            pass
        return all(same(*pair) for pair in zip(tensors_in(model(image)), tensors_in(wanted), strict=True))
    except (RuntimeError, ValueError, TypeError, AttributeError, IndexError, AssertionError):
        return False


def free_groups(model: nn.Module) -> Iterator[Group]:
    """Of every free attention its heads, and the dimensions of queries and keys, the same of every head together."""
    for name, module in model.named_modules():
        if isinstance(module, FreeAttention):
            if module.heads > 1:
                yield _heads(name, module)
            if module.query_width > 1:
                yield _queries(name, module)


def heads_with_dimensions(groups: Iterable[Group]) -> set[str]:
    """Names of the groups of heads whose dimensions are groups of their own. The same share of every group would be
    taken out of such an attention twice."""
    names = {group.name for group in groups}
    heads = {name for name in names if name.endswith(f"#{HEADS}")}
    return {name for name in heads if f"{name.removesuffix(HEADS)}{QUERIES}" in names}


def _heads(name: str, module: FreeAttention) -> Group:
    rows = torch.cat([_by_head(part, module.heads) for part in module.parts], dim=1)
    out, behind = module.takes
    taken = _by_head(range(behind.in_features), module.heads)
    cuts = [*_made(name, module, rows), Cut(f"{name}.{out}", "weight", 1, "in", taken)]
    for tensor, dim in module.of_heads().items():
        inner, _, last = tensor.rpartition(".")
        role: Role = "out" if isinstance(module.get_submodule(inner), nn.Linear) else "scale"
        owner = f"{name}.{inner}" if inner else name
        cuts.append(Cut(owner, last, dim, role, torch.arange(module.heads)[:, None]))
    return Group(_called(name, module, HEADS), tuple(cuts), HEADS)


def _queries(name: str, module: FreeAttention) -> Group:
    queries, keys, _ = (_by_head(part, module.heads).T for part in module.parts)
    cuts = [*_made(name, module, queries), *_made(name, module, keys)]
    return Group(_called(name, module, QUERIES), tuple(cuts), QUERIES)


def _called(name: str, module: FreeAttention, units: str) -> str:
    return f"{name}.{module.gives[0]}#{units}"


def _by_head(part: range, heads: int) -> Tensor:
    """Positions (heads, width of a head)."""
    return torch.tensor(part).view(heads, -1)


def _made(name: str, module: FreeAttention, rows: Tensor) -> Iterator[Cut]:
    """The cuts of the outputs `rows` (units, k) of the first layer."""
    inner, layer = module.gives
    yield Cut(f"{name}.{inner}", "weight", 0, "out", rows)
    if layer.bias is not None:
        yield Cut(f"{name}.{inner}", "bias", 0, "bias", rows)


def ties(model: nn.Module, links: CouplingGraph) -> Iterator[tuple[Tensor, Tensor]]:
    """Ties that no pass shows: modules that take the width of the heads from the width of their input."""
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            first, last = f"{name}.in_proj_weight", f"{name}.out_proj.weight"
        elif isinstance(module, RelativePositionalMultiHeadAttention):
            first, last = f"{name}.to_qkv.weight", f"{name}.merge.weight"
        else:
            continue
        if (first, 0) not in links.dims or (last, 0) not in links.dims:
            continue
        width = links.dims[first, 1]
        yield links.dims[first, 0].view(3, -1), width
        yield links.dims[last, 1], width
        yield links.dims[last, 0], width


def refit(model: nn.Module, gone: Gone) -> None:
    """Set the numbers that attention modules and vision transformers keep beside their tensors, in place.

    `gone` are the units that were taken out of the tensors.
    """
    if isinstance(model, VisionTransformer):
        model.hidden_dim = model.class_token.shape[-1]
    for name, module in model.named_modules():
        if isinstance(module, FreeAttention):
            module.heads -= len(gone.get(_called(name, module, HEADS), ()))
        elif isinstance(module, nn.MultiheadAttention):
            _refit_multihead(module)
        elif isinstance(module, RelativePositionalMultiHeadAttention):
            module.head_dim = module.to_qkv.out_features // 3 // module.n_heads


def _refit_multihead(module: nn.MultiheadAttention) -> None:
    width = module.out_proj.out_features
    if width == module.embed_dim:
        return
    if module.in_proj_weight is not None:
        _rescale(module.in_proj_weight, module.in_proj_bias, width, module.embed_dim)
    module.embed_dim = module.kdim = module.vdim = width
    module.head_dim = width // module.num_heads


def _rescale(weight: Tensor, bias: Tensor | None, now: int, before: int) -> None:
    """Keep the temperature of softmax: queries are divided by √(width of a head), which has shrunk."""
    with torch.no_grad():
        factor = (now / before) ** 0.5
        weight[:now] *= factor
        if bias is not None:
            bias[:now] *= factor
