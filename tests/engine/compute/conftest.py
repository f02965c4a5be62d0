"""Tests of compute run on one thread: they are about facts, not speed."""

import torch

torch.set_num_threads(1)
