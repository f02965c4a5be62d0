"""Tests of compute run on one thread: they are about facts, not speed."""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
torch.set_num_threads(1)
