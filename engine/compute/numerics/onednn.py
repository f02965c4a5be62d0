"""Convolutions that oneDNN's AVX2 kernels break on, and what computes them instead."""

import os

import torch
from torch import nn

from engine.machine.environment import cpu_features

FEWEST_CHANNELS = 8
"""Channels that a vector of AVX2 holds. Of fewer, the backward pass of a strided 1×1 convolution in channels-last
layout writes outside of its memory (seen with oneDNN 3.12 in torch 2.14.1: heap corruption at 1 to 6 channels; the
forward pass, the default layout and AVX-512 are right)."""


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
