"""Every format's folder runs by its own `load.py`, with no more packages than it says, and gives the same."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.data import Dataset, load
from engine.compute.export.formats import Written, write_model
from engine.compute.export.source import deviation
from engine.compute.export.verify import Tolerance, batches, compare, judged, run_alone
from engine.compute.models.build import Architecture, build
from engine.datasets import locate
from engine.errors import SecateurError
from engine.exports import FLOAT, Format
from engine.params.preset import Data

IMAGES = 60
FICKLE = '''
from torch import nn

class Fickle(nn.Module):
    """Decides by the values of its input, which no export can follow."""
    def __init__(self, classes):
        super().__init__()
        self.layer = nn.Linear(1, classes)

    def forward(self, x):
        x = x.mean((1, 2, 3))[:, None]
        return self.layer(x if x.sum().item() > 0 else -x)

def fickle(classes):
    return Fickle(classes)
'''


@pytest.fixture(scope="module")
def data() -> Dataset:
    """Digits with preprocessing that differs between channels."""
    params = Data(name="digits")
    digits = load(params, locate(params, Path()))
    mean, std = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6])
    return replace(digits, channels=3, size=(16, 16), mean=mean, std=std)


def pixels_of(data: Dataset) -> Tensor:
    shape = (IMAGES, data.channels, *data.size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def expected(model: nn.Module, data: Dataset) -> Tensor:
    images = data.normalize(pixels_of(data), channels_last=False)
    with torch.inference_mode():
        return torch.cat([model(part) for part in images.split(batches(IMAGES))])


def network() -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture("resnet20", 3, 10, (16, 16), {"width": 4})).eval()


def written(form: Format, model: nn.Module, data: Dataset, folder: Path) -> Written:
    return write_model(folder, form, model, data, lambda _: None)


def test_a_check_begins_with_a_single_image_and_ends_with_what_is_left() -> None:
    assert batches(1) == [1]
    assert batches(2) == [1, 1]
    assert batches(151) == [1, 50, 50, 50]
    assert batches(160) == [1, 50, 50, 50, 9]


@pytest.mark.parametrize("form", FLOAT)
def test_its_outputs_are_the_models(form: Format, data: Dataset, tmp_path: Path) -> None:
    model = network()
    done = written(form, model, data, tmp_path)
    off = deviation(run_alone(tmp_path, done.needs, pixels_of(data)), expected(model, data))
    assert off <= done.tolerance.deviation <= 1e-3
    assert (off == 0.0) == (form in ("safetensors", "pt2"))


@pytest.mark.parametrize("form", FLOAT)
def test_every_file_may_be_read_by_whoever_gets_it(form: Format, data: Dataset, tmp_path: Path) -> None:
    written(form, network(), data, tmp_path)
    model_files = [
        file for file in tmp_path.iterdir() if file.name.startswith("model.") and file.suffix != ".json"
    ]
    assert model_files
    assert {file.stat().st_mode for file in model_files} == {(tmp_path / "load.py").stat().st_mode}


@pytest.mark.parametrize("form", ["onnx", "pt2", "openvino"])
def test_a_changed_file_is_noticed(form: Format, data: Dataset, tmp_path: Path) -> None:
    needs = written(form, network(), data, tmp_path).needs
    for file in [file for file in tmp_path.iterdir() if file.name.startswith("model.")]:
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(SecateurError, match=f"{file.name} was changed: its SHA-256 is not"):
            run_alone(tmp_path, needs, pixels_of(data))
        file.write_bytes(content)


@pytest.mark.parametrize("form", ["pt2", "openvino"])
def test_nothing_in_it_tells_where_it_was_made(form: Format, data: Dataset, tmp_path: Path) -> None:
    written(form, network(), data, tmp_path)
    places = [str(Path(place).resolve()).encode() for place in (__file__, torch.__file__, tmp_path)]
    places = [place.rpartition(b"/")[0] for place in places]
    for file in tmp_path.iterdir():
        parts = [file.read_bytes()]
        if file.suffix == ".pt2":
            with zipfile.ZipFile(file) as archive:
                parts = [archive.read(name) for name in archive.namelist()]
        assert not any(place in part for place in places for part in parts)


def test_a_package_that_the_loader_does_not_name_is_not_there(data: Dataset, tmp_path: Path) -> None:
    needs = written("onnx", network(), data, tmp_path).needs
    loader = tmp_path / "load.py"
    loader.write_text(loader.read_text().replace("import numpy", "import numpy\nimport torch"))
    with pytest.raises(SecateurError, match="No module named 'torch'"):
        run_alone(tmp_path, needs, pixels_of(data))


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


@pytest.mark.parametrize("wrong", [torch.zeros(2, 3), torch.full((2, 2), float("nan"))])
def test_outputs_of_another_shape_or_without_a_value_are_refused(wrong: Tensor) -> None:
    check = compare(wrong, torch.ones(2, 2), torch.tensor([0, 0]), 1e-3)
    with pytest.raises(SecateurError, match="does not compute what"):
        judged(check, Tolerance(1e-3))
