"""Images in a user's own set that lie in no class folder."""

import shutil
from pathlib import Path

from tests.engine.compute.data.test_folders import read, write


def test_images_beside_the_folders_of_classes_are_passed_over_and_told(tmp_path: Path) -> None:
    root = write(tmp_path / "own", "train", "test")
    assert read(root).notices == ()
    stray = root / "train" / "stray.png"
    shutil.copy(root / "train" / "cat" / "0.png", stray)
    (root / "README.txt").touch()
    (told,) = read(root).notices
    assert told == f"{stray} lies beside the folders of classes: it is of no class, and passed over"
    shutil.copy(stray, root / "another.png")
    (told,) = read(root).notices
    assert told.startswith(f"2 images lie beside the folders of classes, such as {root / 'another.png'}")
