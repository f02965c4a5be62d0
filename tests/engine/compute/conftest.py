"""Tests of compute run on one thread: they are about facts, not speed."""

from collections.abc import Iterator

import pytest
import torch

from tests import study_lab

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def warm_server() -> None:
    """What is measured is so in processes of the tests' server: each of one's own would import torch for seconds."""
    study_lab.warm_server()


@pytest.fixture
def briefly(warm_server: None) -> Iterator[None]:
    """What this process measures is as short as what those of the tests' server do."""
    from tests.warm import short

    short.begin()
    yield
    short.back()
