"""The peer of the packed file: NNCodec, Fraunhofer HHI's coder of ISO/IEC 15938-17 (DeepCABAC).

It needs an older NumPy than secateur, so it runs in a Python of its own, which `--nncodec` of a benchmark names:

    python -m venv nnc && nnc/bin/pip install nncodec
    python -m benchmarks.packed --nncodec nnc/bin/python

Both files are to give back the same tensors, bit for bit. NNCodec codes whole numbers so, floats it would round: of a
tensor of few values it gets the indices, counted from zero's. Tables and all other numbers are added with the bytes
they have, two where they are numbers of float16; of a tensor with one value (BatchNorm's statistics, folded) one
number. Names and shapes of what it codes are in its stream.
"""

import io
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from engine.errors import SecateurError
from engine.machine import private

FEW = 256
"""Distinct values of a tensor that is given as indices."""
CODE = """
import contextlib, io, sys
import numpy as np
with contextlib.redirect_stdout(sys.stderr):
    from nncodec.nn import decode, encode
    given = dict(np.load(io.BytesIO(sys.stdin.buffer.read())))
    coded = encode(given, args={"verbose": False, "results": sys.argv[1]})
    again = decode(coded)
assert all(np.array_equal(again[name], array) for name, array in given.items())
print(len(coded))
"""
"""Encodes int32 arrays, proves that they come back, and prints how many bytes they took."""


def size(python: Path, tensors: dict[str, Tensor]) -> int:
    """Bytes that NNCodec in `python` takes for `tensors`, as told above.

    Raises SecateurError where it is not there, or does not give back what it was given.
    """
    coded: dict[str, npt.NDArray[np.int32]] = {}
    rest = 0
    for name, tensor in tensors.items():
        indices, table = of_few(tensor)
        if table is None:
            rest += _bytes(tensor)
        else:
            coded[name] = indices
            rest += _bytes(table)
    return rest + _encoded(python, coded)


def of_few(tensor: Tensor) -> tuple[npt.NDArray[np.int32], Tensor | None]:
    """Indices of a tensor of few values, and its table; no table for others.

    >>> of_few(torch.tensor([[0.5, 0.0, -2.0], [0.0, 0.5, 0.5]]))
    (array([[ 1,  0, -1],
           [ 0,  1,  1]], dtype=int32), tensor([-2.0000,  0.0000,  0.5000]))
    """
    table, indices = torch.unique(tensor, return_inverse=True)
    if tensor.dim() < 2 or len(table) > FEW or 2 * len(table) > tensor.numel():
        return np.empty(0, np.int32), None
    zero = int((table < 0).sum())
    return (indices - zero).numpy().astype(np.int32), table


def _bytes(numbers: Tensor) -> int:
    """What a tensor has in memory; half where all its numbers are of float16, one number where all are equal."""
    numbers = numbers.flatten()
    if len(numbers) and bool((numbers == numbers[0]).all()):
        numbers = numbers[:1]
    halves = numbers.dtype == torch.float32 and torch.equal(numbers.half().float(), numbers)
    return numbers.numel() * (2 if halves else numbers.element_size())


def _encoded(python: Path, arrays: dict[str, npt.NDArray[np.int32]]) -> int:
    given = io.BytesIO()
    np.savez(given, **arrays)  # type: ignore[arg-type]
    try:
        with private.scratch() as folder:  # it also writes a file
            made = subprocess.run(
                [python, "-c", CODE, folder], input=given.getvalue(), capture_output=True, check=True
            )
    except OSError as error:
        raise SecateurError(
            "There is no Python for NNCodec", str(error), "Make one: see this file."
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode().strip().splitlines()[-1:]
        raise SecateurError("NNCodec failed", " ".join(said), f"{python} -m pip install nncodec") from error
    return int(made.stdout)
