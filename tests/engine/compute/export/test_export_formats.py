"""Every format's folder runs by its own `load.py`, with no more packages than it says, and gives the same."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.data import Dataset
from engine.compute.export.formats import Written, write_model
from engine.compute.export.source import deviation
from engine.compute.export.verify import Tolerance, batches, compare, judged, run_alone
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx import narrow
from engine.compute.steps.apply import apply
from engine.errors import SecateurError
from engine.params import QuantizeDynamic
from engine.results.exports import FLOAT, INT8, Format
from tests import lone
from tests.engine.compute.compute_help import TEMPLATES, context_for
from tests.engine.compute.export.export_help import FICKLE, colour_digits

IMAGES = 60


@pytest.fixture(scope="module")
def data() -> Dataset:
    return colour_digits(16)


def pixels_of(data: Dataset) -> Tensor:
    shape = (IMAGES, data.channels, *data.size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def expected(model: nn.Module, data: Dataset) -> Tensor:
    images = data.normalize(pixels_of(data), channels_last=False)
    with torch.inference_mode():
        return torch.cat([model(part) for part in images.split(batches(IMAGES))])


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture("resnet8", 3, 10, (16, 16), {"width": 4})).eval()


def written(form: Format, model: nn.Module, data: Dataset, folder: Path) -> Written:
    return write_model(folder, form, model, data, lambda _: None, TEMPLATES)


@pytest.mark.parametrize("form", INT8)
def test_a_dynamic_file_is_called_with_an_image_at_a_time(
    form: Format, data: Dataset, tmp_path: Path
) -> None:
    model = apply(QuantizeDynamic(), network(), context_for(data=data))
    needs = written(form, model, data, tmp_path).needs
    pixels = pixels_of(data) // torch.arange(1, IMAGES + 1, dtype=torch.uint8)[:, None, None, None]
    given = run_alone(tmp_path, needs, pixels)
    alone = torch.cat([run_alone(tmp_path, needs, pixels[at : at + 1]) for at in (0, IMAGES - 1)])
    assert torch.equal(given[[0, IMAGES - 1]], alone)


def test_a_check_begins_with_a_single_image_and_ends_with_what_is_left() -> None:
    assert batches(1) == [1]
    assert batches(2) == [1, 1]
    assert batches(151) == [1, 50, 50, 50]
    assert batches(160) == [1, 50, 50, 50, 9]


Exported = Callable[[Format], tuple[Path, Written]]


@pytest.fixture(scope="module")
def exported(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The folder of each format, written once; tests leave it as it is."""

    @cache
    def in_format(form: Format) -> tuple[Path, Written]:
        folder = tmp_path_factory.mktemp(form)
        return folder, written(form, network(), data, folder)

    return in_format


def files_of_model(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if file.name.startswith("model.") and file.suffix != ".json"]


@pytest.mark.parametrize("form", FLOAT)
def test_its_outputs_are_the_models(form: Format, data: Dataset, exported: Exported) -> None:
    folder, done = exported(form)
    off = deviation(run_alone(folder, done.needs, pixels_of(data)), expected(network(), data))
    assert off <= done.tolerance.deviation <= 1e-3
    assert (off == 0.0) == (form in ("safetensors", "pt2", "packed"))


@pytest.mark.parametrize("form", FLOAT)
def test_every_file_may_be_read_by_whoever_gets_it(form: Format, exported: Exported) -> None:
    folder, _ = exported(form)
    modes = {file.stat().st_mode for file in files_of_model(folder)}
    assert modes == {(folder / "load.py").stat().st_mode}


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "model.xml", "model.bin", "model.packed"])
def test_a_changed_file_is_noticed(name: str, exported: Exported, tmp_path: Path) -> None:
    forms: dict[str, Format] = {"model.onnx": "onnx", "model.pt2": "pt2", "model.packed": "packed"}
    folder, written_ = exported(forms.get(name, "openvino"))
    copy = shutil.copytree(folder, tmp_path / "copy")
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    if "torch" in written_.needs:
        done = lone.run("load.py", folder=copy, beside=True)
    else:
        done = subprocess.run(
            [sys.executable, "load.py"], cwd=copy, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert f"{name} was changed: its SHA-256 is not" in done.stderr


@pytest.mark.parametrize("form", ["pt2", "openvino"])
def test_nothing_in_it_tells_where_it_was_made(form: Format, exported: Exported) -> None:
    folder, _ = exported(form)
    places = [str(Path(place).resolve().parent).encode() for place in (__file__, torch.__file__, folder)]
    for file in folder.iterdir():
        parts = [file.read_bytes()]
        if file.suffix == ".pt2":
            with zipfile.ZipFile(file) as archive:
                parts = [archive.read(name) for name in archive.namelist()]
        assert not any(place in part for place in places for part in parts)


def test_a_package_that_the_loader_does_not_name_is_not_there(
    data: Dataset, exported: Exported, tmp_path: Path
) -> None:
    folder, done = exported("onnx")
    copy = shutil.copytree(folder, tmp_path / "copy")
    text = (copy / "load.py").read_text()
    (copy / "load.py").write_text(text.replace("import numpy", "import numpy\nimport torch"))
    with pytest.raises(SecateurError, match="No module named 'torch'"):
        run_alone(copy, done.needs, pixels_of(data))


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_network_that_no_export_can_follow_is_refused_with_a_way_on(
    form: Format, data: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "nets.py").write_text(FICKLE)
    model = build(Architecture(f"{tmp_path}/nets.py:fickle", 3, 10, (16, 16))).eval()
    with pytest.raises(SecateurError) as caught:
        written(form, model, data, tmp_path)
    assert caught.value.detail
    assert caught.value.remedy.startswith("Export it as safetensors or ")


def test_a_model_that_is_further_off_than_tolerated_is_refused() -> None:
    before = torch.tensor([[1.0, 0.0], [0.5, 0.4]])
    given = torch.tensor([[1.0, 0.0], [0.5, 0.6]])
    check = compare(given, before, torch.tensor([0, 0]), 0.25)
    assert (check.changed, check.agreement, check.accuracy, check.accuracy_of_trial) == (1, 0.5, 0.5, 1.0)
    assert check.deviation == pytest.approx(0.2)
    assert judged(check, Tolerance(0.25, 0.5)) is check
    with pytest.raises(SecateurError, match="does not compute what"):
        judged(check, Tolerance(0.1))
    with pytest.raises(SecateurError, match="1 of 2 test images; 25% are tolerated"):
        judged(check, Tolerance(0.25, 0.75))


def test_only_a_model_that_gives_the_same_bits_is_called_equal() -> None:
    before = torch.tensor([[1.0, 0.0], [0.5, 0.4]])
    labels = torch.tensor([0, 0])
    assert str(compare(before, before, labels, 0.25)) == "equal to the trial's model on 2 images, bit for bit"
    near, other = before + torch.tensor([0.0, 0.01]), before + torch.tensor([0.0, 0.2])
    for given, ends in (
        (near, "1.0e-02 of the largest, and none of them in the class"),
        (other, "and 1 of them in the class"),
    ):
        found = str(compare(given, before, labels, 0.25))
        assert "equal" not in found and found.endswith(ends)


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3), torch.full((2, 2), float("nan"))])
def test_outputs_of_another_shape_or_without_a_value_are_refused(wrong: Tensor) -> None:
    check = compare(wrong, torch.ones(2, 2), torch.tensor([0, 0]), 1e-3)
    with pytest.raises(SecateurError, match="does not compute what"):
        judged(check, Tolerance(1e-3))


@pytest.mark.parametrize("form", ["onnx", "openvino", "pt2"])
def test_a_file_written_for_vectors_of_some_length_is_told_to_be(form: Format, data: Dataset, tmp_path: Path):
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 2, 3, padding=1), nn.AdaptiveAvgPool2d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2, 10)).eval()
    lanes = written(form, model, data, tmp_path).lanes
    assert lanes == (0 if form == "pt2" else narrow.lanes())
