"""Processes that train one network together: what each takes of a batch, and what they exchange.

Every update is that of one process with the whole batch: gradients are summed over the processes, each process's loss
weighted by its share of the images. The sums are `torch.distributed`'s, gloo's on processors and NCCL's on GPUs: for so
many processes their order is fixed, and so are the bits. Gradients go in one piece for each type, when all are there:
DistributedDataParallel sends them while others are still computed, in pieces that differ between a training's first
updates and later ones, and so would the bits of one that was resumed.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from engine.errors import SecateurError

FEWEST = 2
"""Images of a batch for each process: BatchNorm needs two, and a rest with less is left out."""


class Group:
    """This process, number `rank` of `size`, which has joined the others.

    `batch_norm`: whether BatchNorm normalizes by the whole batch (`sync`) or by each process's part (`process`).
    """

    def __init__(self, rank: int, size: int, batch_norm: Literal["sync", "process"]) -> None:
        self.rank = rank
        self.size = size
        self._batch_norm = batch_norm
        self._used: list[bool] | None = None

    @property
    def leads(self) -> bool:
        """Whether this process scores, keeps and tells."""
        return self.rank == 0

    def own(self, images: int) -> slice:
        """Which of so many images of a batch are this process's: as equal parts as can be."""
        cuts = [images * number // self.size for number in range(self.size + 1)]
        return slice(cuts[self.rank], cuts[self.rank + 1])

    def check(self, images: int) -> None:
        """Raises SecateurError for too few images."""
        if images < FEWEST * self.size:
            raise SecateurError(
                f"{images} images are too few for {self.size} processes",
                f"Each of them needs {FEWEST} images of every batch.",
                "Use fewer: distributed.processes.",
            )

    def begin(self, network: nn.Module, told: Sequence[float]) -> None:
        """Start from the leader's tensors; raises SecateurError where `told`, of the state that is gone on from, is
        another than the leader's."""
        self._used = None
        mine = torch.tensor(told, dtype=torch.float64, device=_device(network))
        theirs = mine.clone()
        distributed.broadcast(theirs, 0)
        if not torch.equal(mine, theirs):
            raise SecateurError(
                "The processes of a training do not go on from the same state",
                "One of them does not see what the leading one keeps of it: is the workspace shared by all nodes?",
                "`secateur resume` tries again.",
            )
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                dense = tensor.contiguous()
                distributed.broadcast(dense, 0)
                tensor.copy_(dense)

    def sum_up(self, parameters: Sequence[nn.Parameter], loss: Tensor) -> Tensor:
        """Have every gradient be the sum of all processes'; the sum of their losses."""
        shared = [p for p, on in zip(parameters, self._in_use(parameters, loss.device), strict=True) if on]
        for parameter in shared:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [parameter.grad for parameter in shared if parameter.grad is not None]
        loss = loss.clone()
        distributed.all_reduce(loss)
        for dtype in dict.fromkeys(gradient.dtype for gradient in gradients):
            alike = [gradient for gradient in gradients if gradient.dtype == dtype]
            flat = torch.cat([gradient.flatten() for gradient in alike])
            distributed.all_reduce(flat)
            parts = torch.split(flat, [gradient.numel() for gradient in alike])
            for gradient, summed in zip(alike, parts, strict=True):
                gradient.copy_(summed.view(gradient.shape))
        return loss

    def _in_use(self, parameters: Sequence[nn.Parameter], device: torch.device) -> list[bool]:
        """Which of the parameters any process's first update had a gradient for; the others stay as they are."""
        if self._used is None:
            mine = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=device)
            distributed.all_reduce(mine)
            self._used = [bool(count) for count in mine.tolist()]
        if any(p.grad is not None and not on for p, on in zip(parameters, self._used, strict=True)):
            raise SecateurError(
                "The network uses other parameters than in its first update",
                "Processes that train together have to exchange the same gradients every time.",
                "Train it in one process: distributed.processes: 1.",
            )
        return self._used

    def normalizing(self) -> AbstractContextManager[object]:
        """Within it, BatchNorm in training is what `batch_norm` says."""
        return WholeBatch() if self._batch_norm == "sync" else nullcontext()


class WholeBatch(TorchFunctionMode):
    """Has BatchNorm in training normalize by the mean and variance of all processes' images.

    torch's SyncBatchNorm does so on GPUs alone, and changes what the network is made of.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is functional.batch_norm:
            return _batch_norm(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _batch_norm(
    images: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """As `torch.nn.functional.batch_norm`, for `images` (N, C, …) of which the other processes have more."""
    if not training:
        return functional.batch_norm(images, running_mean, running_var, weight, bias, False, momentum, eps)
    values = images.float()
    count = values.numel() // values.shape[1]
    mean, variance, total = _moments(values, count)
    shape = (1, -1, *[1] * (values.dim() - 2))
    scale = torch.rsqrt(variance + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean), momentum)
        if running_var is not None:
            running_var.lerp_((variance * (total / (total - 1))).to(running_var), momentum)
    return (values * scale.view(shape) + shift.view(shape)).to(images.dtype)


def _moments(values: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance (not corrected) of each channel over all processes, float32 (C,), and how many values it has.

    In float64 between the processes, where the square of the mean is taken off the mean of the squares.
    """
    of = [0, *range(2, values.dim())]
    variance, mean = torch.var_mean(values, of, correction=0)
    mean, variance = mean.double(), variance.double()
    mine = torch.cat([mean * count, (variance + mean.square()) * count, mean.new_tensor([float(count)])])
    summed = cast(Tensor, _Sum.apply(mine))
    channels, total = len(mean), summed[-1].detach()
    mean = summed[:channels] / total
    variance = (summed[channels:-1] / total - mean.square()).clamp_min(0)
    return mean.float(), variance.float(), total


class _Sum(torch.autograd.Function):
    """The sum over all processes, and in the backward pass that of what they have as its gradient."""

    @staticmethod
    def forward(ctx: Any, mine: Tensor) -> Tensor:
        total = mine.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device
