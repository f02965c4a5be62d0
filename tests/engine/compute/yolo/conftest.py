"""The canvases that all tests of detectors see."""

import pytest

from engine import datasets
from engine.compute.data import Dataset, load
from engine.params.preset import Data
from tests.engine.compute.yolo.yolo_help import SIZE


@pytest.fixture(scope="module")
def canvases(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    params = Data(name="digits-detection", size=SIZE, limit=16)
    found = load(params, datasets.locate(params, tmp_path_factory.mktemp("workspace")))
    few = type(found.validation)(found.train.images, found.train.labels)
    return type(found)(**(vars(found) | {"validation": few, "test": few}))
