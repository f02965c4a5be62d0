"""PyTorch compiled by inductor: kernels in C++ on the processor, in Triton on a GPU."""

from pathlib import Path

import torch
import torch._dynamo
import torch._inductor.config as inductor
from torch import Tensor
from torch._dynamo.exc import TorchDynamoException

from engine.compute.runtimes.torch import TorchSession
from engine.errors import Unavailable, said_by
from engine.params.runtimes import Precision


class CompiledSession(TorchSession):
    """A checkpoint folder, compiled for the session's own batch size before it is first called.

    Weights are constants of the compiled code (`freezing`), so that BatchNorm is folded and weights lie as the
    kernels want them: 109 ms against 149 ms on ResNet18, and less to compile. Kernels are built in this process,
    one after the other, because a pool of compilers would stay beside the model that is timed. Raises Unavailable
    when the network cannot be compiled.
    """

    _mode = torch.no_grad
    """Not inference_mode: what is frozen must be tensors that autograd knows."""

    def __init__(
        self,
        folder: Path,
        inputs: Tensor,
        threads: int,
        device: str,
        precision: Precision = "fp32",
        named: tuple[str, ...] = (),
    ) -> None:
        super().__init__(folder, inputs, threads, device, precision, named)
        inductor.compile_threads = 1
        inductor.freezing = True
        self._model = torch.compile(self._model, dynamic=False)  # type: ignore[assignment]
        try:
            self()
        except TorchDynamoException as error:
            why = said_by(error)[0][:300]
            raise Unavailable(f"torch.compile does not take the network: {why}") from error
