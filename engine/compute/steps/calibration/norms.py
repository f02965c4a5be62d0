"""Which BatchNorm can make up for a constant on a layer's output: one that takes this output, and alone does."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.layers.passes import evaluating
from engine.compute.numerics.seeds import generator
from engine.compute.steps.calibration.understood import same


def norms_behind(
    model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor, seed: int
) -> dict[str, _BatchNorm]:
    """For each of `layers` the BatchNorm that alone takes its output, by the layer's name; others have none.

    Proved on `pixels` (N, C, H, W): with a constant added to every such output and to the running mean behind it, the
    network gives what it gives without. Layers of which that does not hold, together with the others, are left out.
    """
    found = _taking(model, layers, pixels)
    with torch.no_grad(), evaluating(model):
        wanted = model(pixels)
        with _shifted(found, layers, seed):
            if same(model(pixels), wanted):
                return found
        single = {}
        for name, norm in found.items():
            with _shifted({name: norm}, layers, seed):
                if same(model(pixels), wanted):
                    single[name] = norm
    return single


def _taking(model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor) -> dict[str, _BatchNorm]:
    """The BatchNorms that are given the very output of a layer."""
    outputs: list[tuple[str, Tensor]] = []
    found: dict[str, _BatchNorm] = {}

    def before(norm: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(norm, _BatchNorm)
        for name, output in outputs:
            if inputs and inputs[0] is output:
                found[name] = norm

    with ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(lambda *of, n=name: outputs.append((n, of[2]))).remove)
        for module in model.modules():
            if isinstance(module, _BatchNorm) and module.track_running_stats:
                hooks.callback(module.register_forward_pre_hook(before).remove)
        model(pixels)
    return found


@contextmanager
def _shifted(norms: Mapping[str, _BatchNorm], layers: Mapping[str, nn.Module], seed: int) -> Iterator[None]:
    """Outputs and running means with constants as large as the outputs' deviations."""
    means = {name: norm.running_mean for name, norm in norms.items()}
    with ExitStack() as hooks:
        for name, norm in norms.items():
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None and variance is not None
            chance = torch.randn(len(mean), generator=generator(seed, "norms", name)).to(mean)
            constant = chance * variance.sqrt()
            hooks.callback(
                layers[name]
                .register_forward_hook(
                    lambda *of, c=constant: of[2] + c.view(1, -1, *[1] * (of[2].dim() - 2))
                )
                .remove
            )
            norm.running_mean = mean + constant
        try:
            yield
        finally:
            for name, mean in means.items():
                norms[name].running_mean = mean
