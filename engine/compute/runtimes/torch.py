"""PyTorch eager, as a careful user would run it: channels last, inference mode, masks folded."""

from pathlib import Path

import torch
from torch import Tensor

from engine.compute import checkpoint
from engine.compute.masks import fold_
from engine.compute.shared import expand_


class TorchSession:
    """A checkpoint folder, run by PyTorch eager."""

    def __init__(self, folder: Path, inputs: Tensor, threads: int, device: str) -> None:
        torch.set_num_threads(threads)
        self._device = torch.device(device)
        # Folded, because a mask costs a multiplication per call that no deployed model would pay; expanded where
        # sharing filters costs more than it saves.
        _, channels, height, width = inputs.shape
        model = expand_(fold_(checkpoint.load(folder)), (channels, height, width)).eval()
        self._model = model.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._inputs = self._placed(inputs)

    def _placed(self, inputs: Tensor) -> Tensor:
        return inputs.to(self._device, memory_format=torch.channels_last)

    def __call__(self) -> None:
        with torch.inference_mode():
            self._model(self._inputs)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)

    def run(self, inputs: Tensor) -> Tensor:
        with torch.inference_mode():
            output: Tensor = self._model(self._placed(inputs)).cpu()
        return output
