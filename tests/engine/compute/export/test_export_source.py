"""Generated `load.py`: it loads in a process without this project and torchvision, and gives the same bits."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.data import Dataset
from engine.compute.export import lengths, program
from engine.compute.export.by_operators import by_operators
from engine.compute.export.formats import Written, write_model
from engine.compute.export.source import deviation, generate
from engine.compute.export.verify import batches, run_alone
from engine.compute.layers.masks import set_mask
from engine.compute.models import checkpoint, edits
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.errors import SecateurError
from tests.engine.compute.export.export_help import FICKLE, colour_digits

OWN = '''
import torch
from torch import nn
from flattening import flat
from torchvision.models import SwinTransformer, VisionTransformer

def vit(classes):
    return VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=classes)

def swin(classes):
    return SwinTransformer([2, 2], 8, [2, 2], [2, 2], [4, 4], num_classes=classes)

class Hostile(nn.Module):
    """Names that would break source which only pastes them in."""
    def __init__(self, channels, classes):
        super().__init__()
        self.add_module('a"); open("pwned", "w"); ("', nn.Conv2d(channels, 8, 3))
        self.add_module("class", nn.BatchNorm2d(8))
        self.add_module("__secret", nn.Linear(8, classes))
        self.register_parameter("it's\\n", nn.Parameter(torch.randn(1, 8, 1, 1)))
        self.register_buffer("table", torch.arange(8.0).view(8, 1, 1) / 7, persistent=False)

    def forward(self, x):
        first, second, last = (self._modules[name] for name in list(self._modules))
        x = second(first(x)) * getattr(self, "it's\\n") + self.table
        return last(x.mean((2, 3)))

def hostile(channels, classes):
    return Hostile(channels, classes)

class Counting(nn.Module):
    """len() of a tensor, by itself and in a function of another file."""
    def __init__(self, channels, classes):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 8, 3, 4), nn.Linear(8, classes)
        self.token = nn.Parameter(torch.ones(1, 8))

    def forward(self, x):
        x = self.conv(x).reshape(len(x), 8, -1).mean(2)
        return self.fc(flat(x) + self.token.expand(len(x), -1)) / len([1, 2])

def counting(channels, classes):
    return Counting(channels, classes)

def plain(channels, classes):
    """A list of layers is all of the network."""
    inner = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(inner, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))
'''


@pytest.fixture(scope="module")
def data() -> Dataset:
    return colour_digits(32)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("own") / "nets.py"
    file.write_text(OWN + FICKLE)
    file.with_name("flattening.py").write_text("def flat(x):\n    return x.reshape(len(x), -1)\n")
    return file


def network(name: str) -> nn.Module:
    """The network with weights and statistics that are not all alike."""
    torch.manual_seed(0)
    model = build(Architecture(name, 3, 10, (32, 32)))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_(0, 0.1)
    return model.eval()


def written(model: nn.Module, data: Dataset, folder: Path) -> Written:
    return write_model(folder, "safetensors", model, data, lambda _: None)


def images_of(data: Dataset) -> Tensor:
    shape = (5, data.channels, *data.size)
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def outputs_alone(folder: Path, data: Dataset) -> Tensor:
    """Run the folder in a process that can import neither this project nor torchvision."""
    return run_alone(folder, ("torch", "safetensors"), images_of(data))


def expected(model: nn.Module, data: Dataset) -> Tensor:
    images = data.normalize(images_of(data), channels_last=False)
    with torch.inference_mode():
        return torch.cat([model(part) for part in images.split(batches(len(images)))])


@pytest.mark.parametrize(
    ("name", "trainable"),
    [
        ("resnet8", True),
        ("torchvision/resnet18", True),
        ("torchvision/mobilenet_v3_small", True),
        ("vit", True),
        ("swin", False),
        ("hostile", True),
        ("plain", True),
        ("counting", True),
    ],
)
def test_it_gives_the_same_bits_without_this_project_or_torchvision(
    name: str, trainable: bool, data: Dataset, own: Path, tmp_path: Path
) -> None:
    model = network(name if name.startswith(("resnet", "torchvision")) else f"{own}:{name}")
    folder = tmp_path / "model"
    folder.mkdir()
    assert written(model, data, folder).trainable is trainable
    assert deviation(outputs_alone(folder, data), expected(model, data)) == 0.0
    assert not list(tmp_path.rglob("pwned"))
    assert "torchvision" not in (folder / "load.py").read_text()


def test_the_number_of_images_is_asked_in_any_way(own: Path, tmp_path: Path) -> None:
    model, images = network(f"{own}:counting"), torch.rand(4, 3, 32, 32)
    assert "expand" in by_operators(model, images[:3])
    program.write(model, (3, 32, 32), tmp_path / "model.pt2")
    again = torch.export.load(tmp_path / "model.pt2").module()
    assert deviation(again(images), model(images)) < 1e-5
    assert len is lengths._python_len and type(len([1])) is int


def test_masks_are_folded_and_the_folder_is_a_checkpoint_too(data: Dataset, tmp_path: Path) -> None:
    model = network("resnet8")
    for module in (model.get_submodule("conv1"), model.get_submodule("layer2.0.conv2")):
        set_mask(module, torch.rand(module.weight.shape) > 0.5)  # type: ignore[arg-type]
    folder = tmp_path / "model"
    folder.mkdir()
    written(model, data, folder)
    assert deviation(outputs_alone(folder, data), expected(model, data)) == 0.0
    again = checkpoint.load(folder)
    assert not any("parametrizations" in name for name in again.state_dict())
    assert torch.equal(expected(again, data), expected(model, data))


def test_a_pruned_network_has_its_sizes_in_the_source(data: Dataset, tmp_path: Path) -> None:
    import torch_pruning as tp

    model = network("resnet8")
    graph = tp.DependencyGraph().build_dependency(model, torch.zeros(1, 3, 32, 32))
    with edits.resized(model):
        first = model.get_submodule("conv1")
        graph.get_pruning_group(first, tp.prune_conv_out_channels, [0, 3, 5]).prune()
    folder = tmp_path / "model"
    folder.mkdir()
    written(model, data, folder)
    assert "self.conv1 = nn.Conv2d(3, 13, 3, padding=1, bias=False)" in (folder / "load.py").read_text()
    assert deviation(outputs_alone(folder, data), expected(model, data)) == 0.0


def test_training_it_is_training_the_network(data: Dataset) -> None:
    model = network("torchvision/mobilenet_v3_small")
    space = {"torch": torch, "nn": nn}
    exec(generate(model, (3, 32, 32)).text, space)
    again = space["Model"]()  # type: ignore[operator]
    again.load_state_dict(model.state_dict())
    gradients = []
    for one in (model, again):
        torch.manual_seed(0)
        scores = one.train()(torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
        functional.cross_entropy(scores, torch.arange(4)).backward()
        gradients.append({name: p.grad for name, p in one.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(grad, gradients[1][name]) for name, grad in gradients[0].items())


def test_hostile_class_names_are_only_names(data: Dataset, tmp_path: Path) -> None:
    names = ('"""', "'''\nimport os", "{0}", "\\", "`</code>`", "\u2028 é")
    data = replace(data, class_names=names)
    model = build(Architecture("resnet8", 3, len(names), (32, 32), {"width": 4})).eval()
    written(model, data, tmp_path)
    space: dict[str, object] = {"__name__": "load"}
    exec(compile((tmp_path / "load.py").read_text(), "load.py", "exec"), space)
    assert space["CLASSES"] == names


def test_changed_weights_are_noticed(data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    written(build(Architecture("resnet8", 3, 10, (32, 32), {"width": 4})).eval(), data, folder)
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(SecateurError, match="was changed: its SHA-256 is not"):
        outputs_alone(folder, data)


def test_a_network_that_decides_by_its_input_is_refused_with_the_reason(own: Path) -> None:
    with pytest.raises(SecateurError) as caught:
        generate(network(f"{own}:fickle"), (3, 32, 32))
    assert "By its layers: TraceError" in caught.value.detail
    assert "By its operators:" in caught.value.detail
