"""The static names are exactly what the libraries offer."""

from typing import Any

import pytest

from engine.datasets import RECORDS
from engine.params.catalog import DATASETS, DETECTION, MODELS, OWN_DATA

_FLOW = "optical flow"
_STEREO = "stereo matching"
_VIDEO = "video"

NOT_CLASSIFICATION: dict[str, str] = {
    "CarlaStereo": _STEREO,
    "CelebA": "forty yes/no attributes per face, no single class",
    "Cityscapes": "segmentation",
    "CocoCaptions": "captions",
    "CocoDetection": "detection",
    "CREStereo": _STEREO,
    "DatasetFolder": "the base of ImageFolder, for files of any kind",
    "ETH3DStereo": _STEREO,
    "FakeData": "random noise",
    "FallingThingsStereo": _STEREO,
    "Flickr30k": "captions",
    "Flickr8k": "captions",
    "FlyingChairs": _FLOW,
    "FlyingThings3D": _FLOW,
    "HD1K": _FLOW,
    "HMDB51": _VIDEO,
    "InStereo2k": _STEREO,
    "Kinetics": _VIDEO,
    "Kitti": "detection",
    "Kitti2012Stereo": _STEREO,
    "Kitti2015Stereo": _STEREO,
    "KittiFlow": _FLOW,
    "LFWPairs": "pairs of faces",
    "LSUN": "an LMDB database per scene, not downloadable; export it to folders and use imagefolder",
    "LSUNClass": "one class of LSUN",
    "Middlebury2014Stereo": _STEREO,
    "MovingMNIST": _VIDEO,
    "PhotoTour": "pairs of patches",
    "SBDataset": "segmentation",
    "SBU": "captions",
    "SceneFlowStereo": _STEREO,
    "Sintel": _FLOW,
    "SintelStereo": _STEREO,
    "UCF101": _VIDEO,
    "VisionDataset": "the base of all others",
    "VOCDetection": "detection",
    "VOCSegmentation": "segmentation",
    "WIDERFace": "detection",
}
"""What torchvision.datasets exports beside classification sets, and why it is not offered."""


@pytest.fixture
def torchvision() -> Any:
    """Not for every process that only collects tests: it takes seconds."""
    return pytest.importorskip("torchvision")


def test_every_classification_model_of_torchvision_has_a_name(torchvision: Any) -> None:
    offered = set(torchvision.models.list_models(module=torchvision.models))
    named = {name.removeprefix("torchvision/") for name in MODELS if name.startswith("torchvision/")}
    assert named == offered


def test_every_torchvision_data_set_is_offered_or_left_out_for_a_reason(torchvision: Any) -> None:
    exported = {name for name in torchvision.datasets.__all__ if name[0].isupper()}
    offered = {record.torchvision for record in RECORDS.values() if record.torchvision}
    assert offered | set(NOT_CLASSIFICATION) == exported
    assert not offered & set(NOT_CLASSIFICATION)
    assert all(NOT_CLASSIFICATION.values())


def test_names_and_records_agree() -> None:
    assert set(DATASETS) == set(RECORDS)
    assert len(set(DATASETS)) == len(DATASETS)
    assert all(record.name == name for name, record in RECORDS.items())
    assert {name for name, record in RECORDS.items() if record.task == "detection"} == set(DETECTION)
    assert {name for name, record in RECORDS.items() if record.source.own} == set(OWN_DATA)
