"""What a GPU's libraries compute in, and by which kernels: float32 as it is, or with the 10 bits of TensorFloat-32."""

import contextlib
from collections.abc import Iterator

import torch

from engine.errors import SecateurError


@contextlib.contextmanager
def arithmetic(precision: str, device: torch.device) -> Iterator[None]:
    """Within it, float32 convolutions and products are TF32's if `precision` is `tf32`, and full ones else.

    Raises SecateurError for `tf32` on a processor, which has none.
    """
    if precision == "tf32" and device.type != "cuda":
        raise SecateurError(
            "precision: tf32 is for GPUs", "The study computes on the processor.", "Use fp32 or bf16."
        )
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    _allow(precision == "tf32", precision == "tf32")
    try:
        yield
    finally:
        _allow(*before)


def choose_for_inference(precision: str) -> None:
    """Let this process compute as fast as it can on inputs of one shape: kernels are tried once, the fastest is kept.

    TF32 is said either way: left alone, torch's convolutions are TF32's and its products are not.
    """
    _allow(precision == "tf32", precision == "tf32")
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = True


def _allow(products: bool, convolutions: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = products
    torch.backends.cudnn.allow_tf32 = convolutions
