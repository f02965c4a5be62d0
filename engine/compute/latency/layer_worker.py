"""The process in which single layers are timed: one layer's session awake at a time, nothing else in it."""

import contextlib
import gc
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection

import numpy as np
import torch
from torch import nn

from engine.compute.latency.calls import Block, timed
from engine.compute.latency.layers import LayerConfig
from engine.compute.numerics.aligned import from_array
from engine.compute.numerics.precision import choose_for_inference
from engine.compute.runtimes.base import imported
from engine.errors import SecateurError
from engine.params.runtimes import TargetRuntime

PASSES = 2
"""Rounds over all layers, a fresh session in each: what disturbed one of them does not count."""
AGAIN = 3
"""Further rounds over layers whose times can't be right beside those of others, at most."""
TOO_SLOW = 1.3
"""Times what other widths of a layer allow, from which on a time can't be right."""
WARM_MS = 1.0
"""Uncounted calls of a new session (at least one): the calls were level after the first few."""
BLOCK_MS = 1.5
BLOCKS = 2
"""Blocks of calls in each pass; a layer's time is the least of their medians."""
COPIES = 3
"""Copies of the layer in one session, added up, so that a call's own cost and the change of the input's memory
layout, which a network pays once and not in every layer, are shared by them."""
ALONE_BYTES = 1 << 20
"""A layer with larger weights is timed without copies: its time hides those costs, and copies would only compete
for the cache."""
LAYERS: dict[TargetRuntime, str] = {
    "onnxruntime": "engine.compute.latency.onnx_layer:OnnxLayer",
    "openvino": "engine.compute.latency.openvino_layer:OpenvinoLayer",
}
"""Where runtimes that read ONNX files open a layer: a process imports that of its own runtime alone."""
POOL = 1 << 16
"""Random numbers that weights are filled with again and again: drawing millions takes longer than timing."""


@dataclass(frozen=True)
class LayersJob:
    """What one process times, and the processors it may use."""

    configs: tuple[LayerConfig, ...]
    runtime: TargetRuntime
    batch: int
    threads: int
    device: str
    processors: frozenset[int]


def serve_layers(job: LayersJob, pipe: Connection) -> None:
    """Time every layer of `job` and send the list of milliseconds, or the SecateurError that ended it."""
    os.sched_setaffinity(0, job.processors)  # the fork server's own may differ from our starter's
    gc.disable()
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(False)
    choose_for_inference("fp32")
    try:
        answer: list[float] | SecateurError = _times(job)
    except SecateurError as error:
        answer = error
    except (RuntimeError, ValueError, MemoryError) as error:  # what torch raises
        answer = SecateurError(f"{type(error).__name__} while a layer was timed", str(error))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody is left to measure for
        pipe.send(answer)


def _times(job: LayersJob) -> list[float]:
    least = [float("inf")] * len(job.configs)

    def time_once(indices: Iterable[int]) -> None:
        for index in indices:
            least[index] = min(least[index], _time(job.configs[index], job))

    for _ in range(PASSES):
        time_once(range(len(job.configs)))
    for _ in range(AGAIN):
        time_once(disturbed(job.configs, least))
    return least


def disturbed(configs: Sequence[LayerConfig], times: Sequence[float]) -> list[int]:
    """Which times can't be right: a layer takes no longer than a wider one of its kind, and than a narrower one as
    often as that fits into it."""
    kinds: dict[LayerConfig, list[int]] = {}
    for index, config in enumerate(configs):
        kinds.setdefault(config.any_width, []).append(index)
    found: list[int] = []
    for indices in kinds.values():
        own = np.asarray([times[index] for index in indices])
        widths = np.asarray([(configs[index].inputs, configs[index].outputs) for index in indices])
        # (layer, other): how often the other's widths have to be taken to be those of the layer.
        often = np.maximum(widths[:, None] / widths[None], 1.0)
        depthwise = configs[indices[0]].groups == "depthwise"
        allowed = (own * (often[..., 0] if depthwise else often.prod(-1))).min(1)
        found += [index for index, slow in zip(indices, own > TOO_SLOW * allowed, strict=True) if slow]
    return sorted(found)


def _time(config: LayerConfig, job: LayersJob) -> float:
    """Milliseconds of the layer in one fresh session, which is gone afterwards."""
    copies = copies_of(config)
    run = _opened(config, copies, job)
    run()
    blocks = [timed(run, Block(WARM_MS if not block else 0.0, BLOCK_MS)) for block in range(BLOCKS)]
    return min(statistics.median(calls) for _, calls in blocks) / 1e6 / copies


def copies_of(config: LayerConfig) -> int:
    return 1 if 4 * int(np.prod(weight_shape(config))) > ALONE_BYTES else COPIES


def _opened(config: LayerConfig, copies: int, job: LayersJob) -> Callable[[], None]:
    if job.runtime == "torch":
        return _torch_layer(config, copies, job)
    weights = [
        (_filled(weight_shape(config), copy), _filled((config.outputs,), copy)) for copy in range(copies)
    ]
    images = _filled(_input_shape(config, job.batch), 0)
    opened: Callable[..., Callable[[], None]] = imported(LAYERS[job.runtime])
    return opened(config, weights, images, job.threads, job.device)


def weight_shape(config: LayerConfig) -> tuple[int, ...]:
    if config.kind == "linear":
        return (config.outputs, config.inputs)
    return (config.outputs, config.inputs // config.group_count, *config.kernel)


def _input_shape(config: LayerConfig, batch: int) -> tuple[int, ...]:
    if config.kind == "linear":
        return (batch * config.height, config.inputs)
    return (batch, config.inputs, config.height, config.width)


def _filled(shape: tuple[int, ...], number: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    """Normal random numbers of a size that keeps a layer's outputs ordinary; another `number`, other numbers."""
    fan_in = max(int(np.prod(shape[1:])), 1)
    return np.resize(_pool(number), shape) / np.float32(np.sqrt(fan_in))


@cache
def _pool(number: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return np.random.default_rng(number).standard_normal(POOL, dtype=np.float32)


def _torch_layer(config: LayerConfig, copies: int, job: LayersJob) -> Callable[[], None]:
    """The layer with what follows it in a network, as eager PyTorch runs them: normalization and activation."""
    layers = [_module(config).to(job.device, memory_format=torch.channels_last) for _ in range(copies)]  # type: ignore[call-overload]
    images = from_array(_filled(_input_shape(config, job.batch), 0)).to(job.device)
    if config.kind == "conv":
        images = images.to(memory_format=torch.channels_last)

    def run() -> None:
        with torch.inference_mode():
            for layer in layers:
                layer(images)
        if job.device.startswith("cuda"):
            torch.cuda.synchronize(job.device)

    return run


def _module(config: LayerConfig) -> nn.Module:
    if config.kind == "linear":
        return nn.Sequential(nn.Linear(config.inputs, config.outputs), nn.ReLU(inplace=True)).eval()
    convolution = nn.Conv2d(
        config.inputs,
        config.outputs,
        config.kernel,
        config.stride,
        config.padding,
        config.dilation,
        config.group_count,
        bias=False,
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(config.outputs), nn.ReLU(inplace=True)).eval()
