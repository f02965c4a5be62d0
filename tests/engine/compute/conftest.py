"""Tests of compute run on one thread: they are about facts, not speed."""

import pytest
import torch

from tests import study_lab

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def warm_server() -> None:
    """What is measured is so in processes of the tests' server: each of one's own would import torch for seconds."""
    study_lab.warm_server()
