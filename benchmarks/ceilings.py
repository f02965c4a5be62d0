"""What training is held against: a large matrix product, and a network's own convolutions with nothing between them."""

from collections.abc import Callable
from typing import Any

SIDE = 2048
"""Rows and columns of the matrix product: large enough that nothing but arithmetic counts."""
SECONDS = 4.0
"""How long each ceiling is timed, after a first call that counts for nothing."""
Clock = Callable[[], float]


def product(precision: str, clock: Clock) -> float:
    """Operations a second of a matrix product."""
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    torch.manual_seed(0)
    left, right = torch.randn(SIDE, SIDE).to(kind), torch.randn(SIDE, SIDE).to(kind)
    return 2 * SIDE**3 / _seconds(lambda: torch.mm(left, right), clock)


def convolutions(model: Any, images: Any, precision: str, clock: Clock) -> float:
    """Images a second of the model's convolutions alone, forward and backward, as PyTorch calls oneDNN for them.

    Each has the shape and layout (channels_last) that it has in training; its input, its weight and the gradient of
    its output are there already. As in training, the first has no gradient of its input.
    """
    import torch

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    calls = []
    for number, (conv, shape) in enumerate(_shapes(model, images)):
        last = {"memory_format": torch.channels_last}
        x, weight = (
            torch.randn(shape).to(kind).contiguous(**last),
            conv.weight.detach().to(kind).contiguous(**last),
        )
        rest = (conv.stride, conv.padding, conv.dilation)
        y = torch.nn.functional.conv2d(x, weight, None, *rest, conv.groups)
        calls.append((x, weight, torch.randn_like(y), rest, conv.groups, (number > 0, True, False)))

    def once() -> None:
        for x, weight, _, rest, groups, _ in calls:
            torch.nn.functional.conv2d(x, weight, None, *rest, groups)
        for x, weight, gradient, rest, groups, wanted in reversed(calls):
            torch.ops.aten.convolution_backward(
                gradient, x, weight, None, *rest, False, (0, 0), groups, wanted
            )

    return len(images) / _seconds(once, clock)


def operations(model: Any, images: Any) -> float:
    """Operations of training on one image: two a multiplication, in convolutions and linear layers; forward, and twice
    as many backward (the first layer has no gradient of its input)."""
    import torch

    total = 0
    for number, (layer, shape) in enumerate(_shapes(model, images, torch.nn.Linear)):
        with torch.no_grad():
            places = layer(torch.zeros((1, *shape[1:]))).numel()
        total += 2 * places * layer.weight[0].numel() * (2 if number == 0 else 3)
    return total


def _shapes(model: Any, images: Any, *more: Any) -> list[tuple[Any, tuple[int, ...]]]:
    """The convolutions (and layers of other types) in the order of their calls, with the shape of their input."""
    import torch

    shapes: list[tuple[Any, tuple[int, ...]]] = []
    kinds: tuple[type[torch.nn.Module], ...] = (torch.nn.Conv2d, *more)
    wanted = [layer for layer in model.modules() if isinstance(layer, kinds)]
    hooks = [
        layer.register_forward_hook(lambda layer, given, _: shapes.append((layer, tuple(given[0].shape))))
        for layer in wanted
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return shapes


def _seconds(call: Callable[[], object], clock: Clock) -> float:
    """Mean seconds of a call."""
    call()
    start, count = clock(), 0
    while clock() - start < SECONDS:
        call()
        count += 1
    return (clock() - start) / count
