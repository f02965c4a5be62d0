"""What only a CUDA GPU can show: `pytest tests/gpu` where there is one (tools/gpu_check.sh); skipped elsewhere."""

import gc
from collections.abc import Iterator

import pytest
import torch

from engine.compute.worker.setup import settle


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = torch.cuda.is_available()
    for item in items:
        if item.path.parent.name == "gpu":
            item.add_marker(pytest.mark.gpu)
            if not here:
                item.add_marker(pytest.mark.skip(reason="no CUDA GPU here"))


@pytest.fixture(autouse=True)
def _as_a_worker() -> Iterator[None]:
    """Deterministic, as workers are; whatever a test changed of it is put right for the next."""
    settle(2)
    yield
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
