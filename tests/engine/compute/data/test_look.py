"""What is told of a data set before anything is trained, and by `secateur data check`."""

import json
import os
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from engine.cli.main import main
from engine.compute.data import load
from engine.compute.data.look import Look, look
from engine.compute.data.thumbnails import thumbnails
from engine.compute.data.words import line, notes, report, summary
from engine.datasets import locate
from engine.errors import SecateurError
from engine.params.preset import Data


def write(folder: Path, counts: dict[str, int], seed: int = 0, high: int = 256) -> None:
    random = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            values = random.integers(high, size=(12, 16, 3), dtype=np.uint8)
            Image.fromarray(values).save(folder / name / f"{number}.png")


def seen(root: Path, **parameters: Any) -> Look:
    params = Data.model_validate({"name": "imagefolder", "root": str(root), **parameters})
    return look(load(params, locate(params, root)))


def test_one_line_says_what_the_data_are(tmp_path: Path) -> None:
    params = Data(name="digits")
    found = look(load(params, locate(params, tmp_path)))
    assert line(found) == (
        "10 classes (0, 1, 2, 3, 4, …); 1,294 training, 144 validation, 359 test images of 8×8, grey; "
        "values 0 to 255 (17 levels); mean 0.305, deviation 0.376"
    )
    assert summary(found)["notes"] == [] and "nothing unusual" in report(found)


def test_imbalance_missing_classes_and_copies_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "train", {"cat": 40, "dog": 8, "emu": 8})
    write(tmp_path / "test", {"cat": 6, "dog": 6}, seed=1)
    shutil.copy(tmp_path / "train" / "cat" / "0.png", tmp_path / "test" / "cat" / "copy.png")
    shutil.copy(tmp_path / "train" / "dog" / "0.png", tmp_path / "test" / "cat" / "wrong.png")
    (tmp_path / "val").mkdir()
    found = seen(tmp_path)
    said = "\n".join(notes(found))
    assert found.copies is not None and sum(found.copies.between.values()) == 2
    assert "cat has 5.14 times the training images of dog" in said
    assert "no test image is of emu" in said
    assert " also among the training images, value for value" in said
    assert "1 image of another class than a copy elsewhere" in said
    assert "cat/copy.png" in report(found) or "cat/wrong.png" in report(found)


def test_test_images_that_are_drawn_from_the_training_images_are_told(tmp_path: Path) -> None:
    for folder in ("alone/train", "both/train", "both/test"):
        write(tmp_path / folder, {"cat": 10, "dog": 10}, seed=len(folder))
    told = (
        "no validation and no test images are brought: 2 and 4 of the 20 training images are drawn for that"
    )
    assert told in notes(seen(tmp_path / "alone" / "train"))
    assert told in report(seen(tmp_path / "alone"))
    assert not any("are brought" in note for note in notes(seen(tmp_path / "both")))


def test_few_levels_and_own_ranges_are_told(tmp_path: Path) -> None:
    write(tmp_path / "flat", {"a": 10, "b": 10}, high=2)
    assert "all pixels have one of 2 values" in "\n".join(notes(seen(tmp_path / "flat")))
    for name in ("a", "b"):
        (tmp_path / "deep" / name).mkdir(parents=True)
        for number in range(5):
            values = 1000 + np.arange(144, dtype=np.uint16).reshape(12, 12) + number
            Image.fromarray(values).save(tmp_path / "deep" / name / f"{number}.png")
    assert "levels), black 100" in line(seen(tmp_path / "deep"))


def test_names_that_look_alike_and_are_stored_otherwise_are_told_apart(tmp_path: Path) -> None:
    """macOS writes an accent behind its letter, others write one character."""
    for split, form in (("train", "NFC"), ("test", "NFD")):
        write(tmp_path / split, {unicodedata.normalize(form, "bär"): 4, "cat": 4})
    with pytest.raises(SecateurError, match="classes that the training images lack") as caught:
        seen(tmp_path)
    assert "looks the same, but is stored in other characters" in caught.value.detail


def test_a_class_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"cat": 4, "dog": 4, os.fsdecode(b"\xe4hre"): 4})
    with pytest.raises(SecateurError, match="is no text"):
        seen(tmp_path)


def test_transparency_is_told_where_it_is_left_out(tmp_path: Path) -> None:
    """What lies under it is often black, and the shape in the transparency alone."""
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("RGBA", (8, 8), (0, 0, 0, 255 - number)).save(tmp_path / name / f"{number}.png")
    told = "is transparent in places"
    assert any(told in note and "channels: 4" in note for note in notes(seen(tmp_path)))
    assert not any(told in note for note in notes(seen(tmp_path, channels=4)))


def test_transparency_of_the_test_images_alone_is_told(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write(tmp_path / split, {"cat": 4, "dog": 4})
    first = next((tmp_path / "test" / "cat").iterdir())
    Image.new("RGBA", Image.open(first).size, (9, 9, 9, 100)).save(first)
    assert any(f"{first.name} is transparent in places" in note for note in notes(seen(tmp_path)))


def test_odd_names_files_and_scales_are_told(tmp_path: Path) -> None:
    write(tmp_path / "named", {"cat": 4, "Cat": 4, "dog ": 4, "dog": 4})
    first = tmp_path / "named" / "Cat" / "0.png"
    pages = [Image.new("RGB", (16, 12), "red"), Image.new("RGB", (16, 12))]
    pages[0].save(first.with_suffix(".gif"), save_all=True, append_images=pages[1:])
    first.unlink()
    said = "\n".join(notes(seen(tmp_path / "named")))
    assert "classes 'Cat', 'cat' differ in capitals" in said and "'dog', 'dog '" in said
    write(tmp_path / "stored", {"caf\u00e9": 4, "cafe\u0301": 4})
    assert any("how accents are stored" in note for note in notes(seen(tmp_path / "stored")))
    assert "0.gif holds 2 pictures: of such files the first is taken" in said
    for split, high, seed in (("train", 256, 0), ("test", 20, 1)):
        write(tmp_path / "dark" / split, {"a": 8, "b": 8}, high=high, seed=seed)
    assert "values of test images have a deviation of 5." in "\n".join(notes(seen(tmp_path / "dark")))


def test_splits_at_scales_of_no_use_to_each_other_are_refused(tmp_path: Path) -> None:
    for split, high, seed in (("train", 256, 0), ("test", 2, 1)):
        write(tmp_path / split, {"a": 8, "b": 8}, high=high, seed=seed)
    with pytest.raises(SecateurError, match="test images are stored at another scale"):
        seen(tmp_path)


def test_an_image_that_no_memory_holds_when_resized_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"a": 8, "b": 8})
    Image.new("RGB", (900_000, 1)).save(tmp_path / "a" / "long.png")
    with pytest.raises(SecateurError, match=r"long\.png"):
        seen(tmp_path, size=224, resize=256)


def test_large_sets_are_looked_at_in_part_unless_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"a": 10, "b": 10})
    params = Data(name="imagefolder", root=str(tmp_path))
    data = load(params, locate(params, tmp_path), budget=0)
    monkeypatch.setattr("engine.compute.data.look.ENOUGH_PIXELS", 100)
    assert look(data).copies is None and "secateur data check" in "\n".join(notes(look(data)))
    assert look(data, whole=True).copies is not None


def test_thumbnails_are_the_images_made_small(tmp_path: Path) -> None:
    write(tmp_path, {"a": 10, "b": 10})
    params = Data(name="imagefolder", root=str(tmp_path))
    data = load(params, locate(params, tmp_path))
    found = thumbnails(data, 4)
    assert [one["label"] for one in found] == ["a", "a", "b", "b"]
    first = found[0]
    assert (first["width"], first["height"]) == (16, 12)
    index = data.train.labels.argsort(stable=True)[:1]
    image = data.train.images.gather(index)[0]
    assert bytes.fromhex(first["rgb"]) == image.permute(1, 2, 0).numpy().tobytes()


PRESET = "model: {{name: resnet20}}\ndata: {{name: imagefolder, root: {root}}}\nsteps: [train]\n"


def test_data_check_reports_and_names_every_damaged_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "set", {"a": 30, "b": 30})
    preset = tmp_path / "p.yaml"
    preset.write_text(PRESET.format(root=tmp_path / "set"))
    assert main(["data", "check", str(preset), "--json", "--images", "2"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["data"]
    assert found["classes"] == ["a", "b"] and len(found["thumbnails"]) == 2
    for number in range(20):
        (tmp_path / "set" / "a" / f"{number}.png").write_bytes(b"no")
    assert main(["data", "check", str(preset)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("set/a/") >= 20 and printed.count("\n") == 22 and "skip_damaged" in printed
    assert main(["data", "check", str(preset), "--set", "data.skip_damaged=true"]) == 0
    assert "20 training images can't be read and are left out" in capsys.readouterr().out
