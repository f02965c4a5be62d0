"""Files that change while a study runs."""

import os
from pathlib import Path

import pytest
from PIL import Image

from engine.compute.data import load
from engine.datasets import fingerprint, locate
from engine.errors import SecateurError
from engine.params.preset import Data
from tests.engine.compute.data.test_folders import write


def test_a_job_takes_no_other_images_than_its_study_began_with(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    params = Data.model_validate({"name": "imagefolder", "root": str(root)})
    place = locate(params, tmp_path)
    known = fingerprint(params, place, tmp_path / "cache")
    image = root / "cat" / "0.png"
    os.utime(image, (1, 1))
    assert load(params, place, fingerprint=known, cache=tmp_path / "cache").fingerprint == known
    Image.new("RGB", (12, 12), "red").save(image)
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(SecateurError, match="not those that the study began with"):
            load(params, place, fingerprint=known, cache=cache)
