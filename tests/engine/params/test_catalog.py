"""The static names are exactly what the libraries offer."""

import pytest

from engine.datasets import RECORDS
from engine.datasets.table import NOT_CLASSIFICATION
from engine.params.catalog import DATASETS, MODELS

torchvision = pytest.importorskip("torchvision")


def test_every_classification_model_of_torchvision_has_a_name() -> None:
    offered = set(torchvision.models.list_models(module=torchvision.models))
    named = {name.removeprefix("torchvision/") for name in MODELS if name.startswith("torchvision/")}
    assert named == offered


def test_every_torchvision_data_set_is_offered_or_left_out_for_a_reason() -> None:
    exported = {name for name in torchvision.datasets.__all__ if name[0].isupper()}
    offered = {record.torchvision for record in RECORDS.values() if record.torchvision}
    assert offered | set(NOT_CLASSIFICATION) == exported
    assert not offered & set(NOT_CLASSIFICATION)
    assert all(NOT_CLASSIFICATION.values())


def test_names_and_records_agree() -> None:
    assert set(DATASETS) == set(RECORDS)
    assert len(set(DATASETS)) == len(DATASETS)
    assert all(record.name == name for name, record in RECORDS.items())
