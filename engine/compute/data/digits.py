"""scikit-learn's handwritten digits."""

import gzip
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.compute.numerics.aligned import from_array

DIGITS = "digits.csv.gz"
"""The digits' file inside scikit-learn."""


BRIGHTEST_DIGIT = 16
"""The digits of scikit-learn have 17 levels of grey."""


def read_digits(path: Path) -> tuple[Tensor, Tensor]:
    """1 797 digits, uint8 (N, 1, 8, 8), and labels: levels of grey 0 to 16 become 0 to 255, rounded half up."""
    with gzip.open(path, "rt") as file:
        rows = from_array(np.loadtxt(file, delimiter=",", dtype=np.int64))
    pixels = (rows[:, :64] * 255 + BRIGHTEST_DIGIT // 2) // BRIGHTEST_DIGIT
    images = pixels.to(torch.uint8).view(-1, 1, 8, 8)
    return images, rows[:, 64].contiguous()
