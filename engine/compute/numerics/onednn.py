"""Convolutions that oneDNN's kernels break on, or are slow at, and what computes them instead."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from engine.machine.environment import cpu_features

FEWEST_CHANNELS = 8
"""Channels that a vector of AVX2 holds. Of fewer, the backward pass of a strided 1×1 convolution in channels-last
layout writes outside of its memory (seen with oneDNN 3.12 in torch 2.14.1: heap corruption at 1 to 6 channels; the
forward pass, the default layout and AVX-512 are right)."""

FEWEST_A_GROUP = 3
"""Channels a group of a convolution has, for which oneDNN's bf16 kernels are never slower than its float32 ones."""


def use_onednn_for(model: nn.Module) -> None:
    """Let this process compute convolutions by oneDNN, or by torch's own slower kernels if `model` has such a one here.

    Decided anew for each model that is about to be trained, so that its bits depend on it alone.
    """
    broken = _has_avx2_only() and any(map(_breaks, model.modules()))
    torch.backends.mkldnn.set_flags(not broken)  # type: ignore[no-untyped-call]


def _has_avx2_only() -> bool:
    """Whether oneDNN takes its AVX2 kernels: on x86 without AVX-512, or where a variable holds it to less."""
    held = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    features = cpu_features()
    return "avx2" in features and ("avx512f" not in features or held.startswith("AVX2"))


def _breaks(module: nn.Module) -> bool:
    return (
        isinstance(module, nn.Conv2d)
        and module.kernel_size == (1, 1)
        and module.stride != (1, 1)
        and module.in_channels // module.groups < FEWEST_CHANNELS
    )


@contextlib.contextmanager
def float32_where_faster(model: nn.Module) -> Iterator[None]:
    """Within it, autocast on a processor leaves those convolutions in float32 that oneDNN trains slower in bf16.

    These are depthwise ones and others of few channels a group, but for 3×3 at a stride of 1 on larger images: by 96
    channels of 16×16, the backward pass of a stride of 2 takes 29 ms in bf16 and 0.8 ms in float32, and one of 5×5 17
    and 8 ms (oneDNN 3.12, Zen 5; `python -m benchmarks.bf16` has what that does to whole networks).
    """
    off: list[contextlib.ExitStack] = []

    def enter(layer: _ConvNd, images: tuple[Any, ...]) -> tuple[Any, ...]:
        off.append(contextlib.ExitStack())
        # Given by name it is not seen here; float64 is none of autocast's.
        if not images or images[0].dtype == torch.float64 or not _is_slow_in_bf16(layer, images[0]):
            return images
        off[-1].enter_context(torch.autocast("cpu", enabled=False))
        return (images[0].float(),)

    def leave(*_: Any) -> None:
        off.pop().close()

    with contextlib.ExitStack() as hooked:
        for layer in filter(_has_small_groups, model.modules()):
            for hook in (
                layer.register_forward_pre_hook(enter),
                layer.register_forward_hook(leave, always_call=True),
            ):
                hooked.callback(hook.remove)
        yield


def _has_small_groups(module: nn.Module) -> bool:
    return (
        isinstance(module, _ConvNd)
        and not module.transposed
        and module.groups > 1
        and module.in_channels // module.groups < FEWEST_A_GROUP
    )


def _is_slow_in_bf16(layer: _ConvNd, images: Tensor) -> bool:
    """Of a convolution with small groups; `images` is its input, (N, C, …)."""
    kernel = max(layer.kernel_size)
    plain = kernel <= 3 and max(layer.stride) == 1 and max(layer.dilation) == 1
    return not plain or min(images.shape[2:]) < kernel
