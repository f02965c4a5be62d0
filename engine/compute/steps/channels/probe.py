"""Proves groups by removing parts of each: the smaller network must compute what the whole one does without them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torch.overrides import TorchFunctionMode

from engine.compute.layers.passes import running, tensors_in
from engine.compute.models.tensors import STATISTICS
from engine.compute.steps.channels.groups import Gone, Group, positions_gone
from engine.compute.steps.channels.shrink import shrink

TOLERANCE = 1e-3
"""Largest difference allowed, over the difference that removing the channels makes: rounding is a few 1e-6, a channel
taken for another more, however little its group does beside those that are removed with it."""
NOISE = 1e-5
"""The same, over the output: what rounding alone may make in a network that hardly depends on the channels."""
EPSILON = 1e-12
OTHERWISE = "the model would compute something else"
"""Why channels stay without which the network runs."""
PRODUCTS = (
    torch.matmul,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.__rmatmul__,
    torch.bmm,
    Tensor.bmm,
    torch.baddbmm,
    torch.einsum,
    functional.scaled_dot_product_attention,
    functional.multi_head_attention_forward,
)
"""Functions by which activations are multiplied with each other, and seldom with weights."""
QUIET = 0.1
"""Below this share of the size that tensors start with, a tensor may hide what it scales."""
CHANNELS = 64
"""Size that activations are scaled by, whatever number of channels they have."""


def verify_groups(
    model: nn.Module, groups: list[Group], example: Tensor
) -> tuple[list[Group], dict[str, str]]:
    """The groups that can be removed rightly, and the names of the others with the reason.

    All are tried at once, and halves of them where that fails; of a network with products of activations each kind for
    itself first. The model is left as it was.
    """
    left_out: dict[str, str] = {}
    with torch.no_grad(), _restored(model), _plain_norms() as seen:
        _lift(model)
        whole = outputs(model, example)
        verify = _verify_kinds if seen.products else _verify
        good = verify(model, groups, example, whole, left_out)
    return good, left_out


def _verify_kinds(
    model: nn.Module, groups: list[Group], example: Tensor, whole: Tensor, left_out: dict[str, str]
) -> list[Group]:
    """Groups that are made alike without all others, then beside those that are proved.

    Code of attention takes the width of a head from that of its input, or the scale of logits from that of a head.
    Where all are halved one may fit the other by chance, and a wrong scale is little beside what else changes.
    """
    kinds: dict[str, list[Group]] = {}
    for group in groups:
        kinds.setdefault(group.structure, []).append(group)
    good: list[Group] = []
    for kind in kinds.values():
        fine = _verify(model, kind, example, whole, left_out)
        reason = _wrong(model, [*good, *fine], example, whole) if good and fine else None
        if reason is None:
            good += fine
        else:
            left_out.update((group.name, reason) for group in fine)
    return [group for group in groups if group in good]


def _verify(
    model: nn.Module, groups: list[Group], example: Tensor, whole: Tensor, left_out: dict[str, str]
) -> list[Group]:
    if not groups:
        return []
    reason = _wrong(model, groups, example, whole)
    if reason is None:
        return groups
    if len(groups) == 1:
        left_out[groups[0].name] = reason
        return []
    middle = len(groups) // 2
    good = [
        *_verify(model, groups[:middle], example, whole, left_out),
        *_verify(model, groups[middle:], example, whole, left_out),
    ]
    if len(good) == len(groups) or (reason := _wrong(model, good, example, whole)) is not None:
        for group in good:
            left_out[group.name] = reason
        return []
    return good


def _wrong(model: nn.Module, groups: list[Group], example: Tensor, whole: Tensor) -> str | None:
    """Why parts of all groups can't be removed together; None if they can."""
    # Spread over a group, they tell neighbours, halves and offsets apart; the last unit stays. Groups lose unlike
    # shares, so that code which takes one's width for another's is found out.
    spread = {group.name: torch.arange(0, group.units - 1, 2 + i % 2) for i, group in enumerate(groups)}
    # A first quarter of what is left, which code may ask for, is not what is left of the first quarter.
    first = {group.name: torch.arange(group.units // 2) for group in groups}
    reasons = (_wrong_without(model, groups, gone, example, whole) for gone in (spread, first))
    return next((reason for reason in reasons if reason), None) if groups else None


def _wrong_without(
    model: nn.Module, groups: list[Group], gone: Gone, example: Tensor, whole: Tensor
) -> str | None:
    with _restored(model):
        _zero(model, groups, gone)
        masked = outputs(model, example)
    with _restored(model), running(model) as now:
        try:
            shrink(model, groups, gone)
            pruned = outputs(model, example)
        except (RuntimeError, ValueError, TypeError, IndexError, AssertionError, ZeroDivisionError):
            return f"{now[-1] or 'the model'} does not run with fewer channels"
    if pruned.shape != masked.shape:
        return "the output would shrink"
    allowed = TOLERANCE * _largest(whole - masked) + NOISE * _largest(masked)
    if not _largest(pruned - masked) <= allowed:
        return OTHERWISE
    return None


def outputs(model: nn.Module, example: Tensor) -> Tensor:
    """All that the model puts out for the example, in one row."""
    return torch.cat([tensor.flatten().float() for tensor in tensors_in(model(example))])


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


def _lift(model: nn.Module) -> None:
    """Give parameters that are near zero the size that others start with, in place, tied ones together.

    Behind a scale of 1e-6 or 0 (LayerScale, ReZero, a last norm that starts at zero) anything may go wrong in a branch
    and be lost in rounding; training makes it heard.
    """
    lifted: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, tensor in module._parameters.items():
            if tensor is not None and tensor.is_floating_point():
                if id(tensor) not in lifted:
                    lifted[id(tensor)] = _lifted(tensor)
                module._parameters[name] = lifted[id(tensor)]


def _lifted(tensor: nn.Parameter) -> nn.Parameter:
    """The parameter, or where it is quiet one of an ordinary size: 1 of vectors, else as weights of layers start."""
    flat = tensor.numel() == max(tensor.shape, default=1)
    wanted = 1.0 if flat else (tensor.shape[0] / tensor.numel()) ** 0.5
    size = float(tensor.detach().float().square().mean().sqrt())
    if not size < QUIET * wanted:
        return tensor
    if size:
        return nn.Parameter(tensor.detach() * (wanted / size))
    random = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(tensor.numel()))
    return nn.Parameter((wanted * random).to(tensor))


def _zero(model: nn.Module, groups: list[Group], gone: Gone) -> None:
    """Replace everything of the units by zeros, but statistics."""
    for (name, tensor, dim), positions in positions_gone(groups, gone).items():
        if tensor in STATISTICS:
            continue  # a variance of zero divides by nothing; weight and bias of zero silence the channel already
        module, key = _holder(model.get_submodule(name), tensor)
        parameter, buffer = module._parameters.get(key), module._buffers.get(key)
        if parameter is not None:
            zeroed = parameter.detach().clone().index_fill_(dim, positions.to(parameter.device), 0)
            module._parameters[key] = nn.Parameter(zeroed)
        elif buffer is not None:
            module._buffers[key] = buffer.clone().index_fill_(dim, positions.to(buffer.device), 0)


def _holder(module: nn.Module, tensor: str) -> tuple[nn.Module, str]:
    """The module that keeps a tensor, and its name there: under a mask, that of the weights below it."""
    if not parametrize.is_parametrized(module, tensor):
        return module, tensor
    held = module.get_submodule(f"parametrizations.{tensor}")
    return held, "original"


@contextlib.contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Tensors replaced and numbers set within the block are put back after it."""
    kept = [(m, dict(m._parameters), dict(m._buffers), _numbers(m)) for m in model.modules()]
    try:
        yield
    finally:
        for module, parameters, buffers, numbers in kept:
            module._parameters.update(parameters)
            module._buffers.update(buffers)
            vars(module).update(numbers)


def _numbers(module: nn.Module) -> dict[str, Any]:
    return {k: v for k, v in vars(module).items() if isinstance(v, int | tuple)}


class _plain_norms(TorchFunctionMode):
    """Normalizations that only scale all activations by one number, which channels of zeros do not change.

    A layer normalization over fewer channels is another function, rightly; this lets the comparison see
    nothing but channels taken for others. It also keeps signals alive in networks that were never trained.

    `products`: whether activations were multiplied as matrices, as attention does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.products = self.products or func in PRODUCTS
        if func is functional.batch_norm:
            return _scaled(args[0], 1, _given(args, kwargs, 3, "weight"), _given(args, kwargs, 4, "bias"))
        if func is functional.layer_norm:
            return _scaled(args[0], -1, _given(args, kwargs, 2, "weight"), _given(args, kwargs, 3, "bias"))
        if func is functional.rms_norm:
            return _scaled(args[0], -1, _given(args, kwargs, 2, "weight"), None)
        if func is functional.group_norm:
            return _scaled(args[0], 1, _given(args, kwargs, 2, "weight"), _given(args, kwargs, 3, "bias"))
        return func(*args, **kwargs)


def _given(args: tuple[Any, ...], kwargs: dict[str, Any], index: int, name: str) -> Tensor | None:
    argument: Tensor | None = args[index] if len(args) > index else kwargs.get(name)
    return argument


def _scaled(images: Tensor, dim: int, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    last = images.movedim(dim, -1)
    places = last.numel() / last.shape[-1]
    last = last / (last.square().sum() / (places * CHANNELS) + EPSILON).sqrt()
    last = last * weight if weight is not None else last
    return (last + bias if bias is not None else last).movedim(-1, dim)
