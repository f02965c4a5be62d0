"""PyTorch, as a careful user would run it: channels last where the network can, inference mode, masks folded."""

import contextlib
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.compute.layers.masks import fold_
from engine.compute.layers.shared import expand_
from engine.compute.models import checkpoint
from engine.compute.models.layout import layout_of
from engine.compute.numerics.precision import choose_for_inference
from engine.errors import Unavailable
from engine.params.runtimes import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "tf32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


class TorchSession:
    """A checkpoint folder, run by PyTorch eager.

    Below fp32, weights and inputs are cast: on ResNet18 that took 10 ms where autocast, which casts the weights
    in every call, took 26. A network that needs fp32 within (constants of its own) is run by autocast.
    """

    _mode: ClassVar[type[torch.inference_mode] | type[torch.no_grad]] = torch.inference_mode
    """What calls run under."""

    def __init__(
        self,
        folder: Path,
        inputs: Tensor,
        threads: int,
        device: str,
        precision: Precision = "fp32",
        named: tuple[str, ...] = (),
    ) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        self._dtype = DTYPES[precision]
        self._autocast = False
        self.on_gpu: list[int] | None = [] if self._device.type == "cuda" else None
        if self._device.type == "cuda":
            choose_for_inference(precision)
            self._begun, self._done = (_event() for _ in range(2))
        if precision == "bf16" and self._device.type == "cuda" and not _has_bf16():
            raise Unavailable("the GPU has no bf16 arithmetic")
        # Folded, because a mask costs a multiplication per call that no deployed model would pay; expanded where
        # sharing filters costs more than it saves.
        _, channels, height, width = inputs.shape
        model = expand_(fold_(checkpoint.load(folder, named)), (channels, height, width)).eval()
        self._model: nn.Module = model.to(self._device, memory_format=layout_of(model))  # type: ignore[call-overload]
        if self._dtype != torch.float32:
            self._lower(inputs)
        self._inputs = self._placed(inputs)

    def _lower(self, inputs: Tensor) -> None:
        """Cast the model, or choose autocast where a cast model does not run."""
        try:
            self._model.to(self._dtype)
            self._forward(self._placed(inputs[:1]))
        except RuntimeError:  # two types met in one operator
            self._model.float()
            self._autocast = True

    def _placed(self, inputs: Tensor) -> Tensor:
        dtype = torch.float32 if self._autocast else self._dtype
        return inputs.to(self._device, dtype, memory_format=torch.channels_last)

    def _forward(self, images: Tensor) -> Tensor:
        casting = (
            torch.autocast(self._device.type, self._dtype) if self._autocast else contextlib.nullcontext()
        )
        with self._mode(), casting:
            output: Tensor = self._model(images)
        return output

    def __call__(self) -> None:
        if self.on_gpu is None:
            self._forward(self._inputs)
            return
        self._begun.record()
        self._forward(self._inputs)
        self._done.record()
        self._done.synchronize()
        self.on_gpu.append(int(self._begun.elapsed_time(self._done) * 1e6))

    def run(self, inputs: Tensor) -> Tensor:
        return self._forward(self._placed(inputs)).float().cpu()


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _has_bf16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))
