"""Bits depend on values, not on where they lie: all that is computed with begins at an aligned address.

Which instructions a library chooses at which address differs from processor to processor, so the facts tested are two:
whatever comes in lies aligned afterwards, and what is computed with it is equal to the last bit.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import ops
from torchvision.models import maxvit

from engine.compute.models import checkpoint
from engine.compute.models.int8 import initializers
from engine.compute.numerics.aligned import (
    ALIGNMENT,
    align_,
    aligned,
    bits,
    from_array,
    read_tensors,
    to_array,
)
from engine.compute.onnx.export import export
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.pretrained.create import create
from engine.compute.training.loop import fit
from engine.compute.worker.selfcheck import moved
from engine.params import Train
from engine.params.catalog import _TORCHVISION
from engine.params.preset import Model
from tests.engine.compute.compute_help import (
    Interrupted,
    context_for,
    digits,
    small_model,
    stop_in_third_epoch,
)

OFFSETS = range(16)
"""Floats within a cache line."""


def at(values: Tensor, offset: int) -> Tensor:
    """The same values `offset` floats behind the beginning of a cache line."""
    size = values.element_size()
    room = torch.empty(values.numel() + 2 * ALIGNMENT, dtype=values.dtype)
    start = -room.data_ptr() % ALIGNMENT // size + offset
    placed = room.as_strided(values.shape, values.stride(), start).copy_(values)
    assert placed.data_ptr() % ALIGNMENT == offset * size % ALIGNMENT
    return placed


def lies_aligned(*tensors: Tensor) -> bool:
    return all(t.data_ptr() % ALIGNMENT == 0 for t in tensors if t.is_floating_point())


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    yield
    torch.set_num_threads(before)


class Calls(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, images: Tensor) -> Tensor:
        return self._function(images)


class Attends(nn.Module):
    """Attention of each image's pixels to each other, as in ViT."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = images.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0]


def _flat(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *layers)


def _last(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(ops.Permute([0, 2, 3, 1]), *layers)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear 784-10": lambda: _flat(nn.Linear(784, 10)),
    "linear 784-1000": lambda: _flat(nn.Linear(784, 1000)),
    "linear 784-37-10": lambda: _flat(nn.Linear(784, 37), nn.Tanh(), nn.Linear(37, 10)),
    "linear of pixels": lambda: _last(nn.Linear(16, 48, bias=False)),
    "convolution 3x3": lambda: nn.Conv2d(16, 24, 3, padding=1),
    "convolution 1x1": lambda: nn.Conv2d(16, 24, 1),
    "convolution of odd channels": lambda: nn.Sequential(nn.Conv2d(16, 13, 3), nn.Conv2d(13, 7, 3)),
    "strided": lambda: nn.Conv2d(16, 24, 7, stride=2, padding=3, bias=False),
    "patches": lambda: nn.Conv2d(16, 32, 7, stride=7),
    "dilated": lambda: nn.Conv2d(16, 8, 3, dilation=2),
    "one by seven": lambda: nn.Conv2d(16, 8, (1, 7), padding=(0, 3)),
    "grouped": lambda: nn.Conv2d(16, 32, 3, padding=1, groups=4),
    "depthwise": lambda: nn.Conv2d(16, 16, 3, padding=1, groups=16),
    "depthwise 7x7": lambda: nn.Conv2d(16, 16, 7, padding=3, groups=16),
    "batch norm": lambda: nn.BatchNorm2d(16),
    "layer norm": lambda: _last(nn.LayerNorm(16)),
    "layer norm of odd size": lambda: _flat(nn.Linear(784, 37), nn.LayerNorm(37)),
    "group norm": lambda: nn.GroupNorm(4, 16),
    "local response": lambda: nn.LocalResponseNorm(5),
    "attention": Attends,
    "max pooling": lambda: nn.MaxPool2d(3, 2, 1),
    "average pooling": lambda: nn.AvgPool2d(3, 2, 1),
    "average of everything": lambda: nn.AdaptiveAvgPool2d(1),
    "adaptive pooling": lambda: nn.AdaptiveAvgPool2d(6),
    "ReLU": lambda: nn.Sequential(nn.ReLU(), nn.ReLU6()),
    "GELU": lambda: nn.Sequential(nn.GELU(), nn.GELU("tanh")),
    "SiLU": nn.SiLU,
    "hardswish": lambda: nn.Sequential(nn.Hardswish(), nn.Hardsigmoid()),
    "sigmoid": lambda: nn.Sequential(nn.Sigmoid(), nn.Tanh()),
    "softmax": lambda: _flat(nn.Softmax(1)),
    "softmax of channels": lambda: Calls(lambda x: F.log_softmax(x, 1)),
    "mean": lambda: Calls(lambda x: x.mean((2, 3))),
    "sums": lambda: Calls(lambda x: x.sum(1) + x.std(1) + x.norm(dim=1)),
    "upsampling": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Upsample(size=9, mode="bilinear")),
    "transposed": lambda: nn.ConvTranspose2d(16, 8, 2, stride=2),
    "squeeze and excitation": lambda: ops.SqueezeExcitation(16, 4),
    "shuffled halves": lambda: Calls(lambda x: torch.cat([p * 0.3 for p in x.chunk(2, 1)][::-1], 1)),
    "rolled": lambda: Calls(lambda x: x.roll((1, 2), (2, 3)).softmax(-1)),
    "windows": lambda: Calls(lambda x: maxvit.WindowPartition()(x, 7).softmax(-1)),
}
"""Layers for images (N, 16, 7, 7)."""
WITHOUT_ARITHMETIC = {
    *("Dropout", "Flatten", "Identity", "Permute", "StochasticDepth", "Sequential"),
    *("WindowPartition", "WindowDepartition", "SwapAxes"),
}
SAME_AS = {"LayerNorm2d": "LayerNorm", "NonDynamicallyQuantizableLinear": "Linear"}


def test_every_kind_of_layer_in_the_catalogue_is_among_those_tested() -> None:
    tested = {type(module).__name__ for make in LAYERS.values() for module in make().modules()}
    families = {re.match(r"[a-z]+(_v\d)?", name)[0]: name for name in reversed(_TORCHVISION.split())}  # type: ignore[index]
    used = set()
    with torch.device("meta"):
        for name in set(families.values()):
            if name.startswith("regnet"):  # computes while it is built; its layers are ResNeXt's and SE's
                continue
            model = _built(name)
            used |= {type(m).__name__ for m in model.modules() if not list(m.children())}
    assert len(used) > 10
    assert {SAME_AS.get(name, name) for name in used} - WITHOUT_ARITHMETIC <= tested


def _built(name: str) -> nn.Module:
    import torchvision

    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    model: nn.Module = torchvision.models.get_model(name, weights=None, **extra)
    return model


def results(layer: nn.Module, images: Tensor) -> list[Tensor]:
    """Its output in eval and in train mode, and the gradients."""
    with torch.inference_mode():
        given = layer.eval()(images)
    images = images.detach().requires_grad_()
    output = layer.train()(images)
    output.backward(torch.linspace(-1, 1, output.numel()).view(output.shape))
    return [given, output.detach(), *(t.grad for t in (images, *layer.parameters()) if t.grad is not None)]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_the_same_bits_wherever_weights_and_images_lay(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = LAYERS[name]().state_dict()
    save_file(state, tmp_path / "plain")
    content = (tmp_path / "plain").read_bytes()
    ways = [(torch.contiguous_format, 1), (torch.channels_last, 2)]
    for batch, (layout, count) in product((1, 5), ways):
        images = torch.randn(batch, 16, 7, 7).to(memory_format=layout)
        expected: list[Tensor] = []
        for offset in OFFSETS:
            (tmp_path / "moved").write_bytes(moved(content, 4 * offset))
            layer = LAYERS[name]()
            layer.load_state_dict(read_tensors(tmp_path / "moved"), assign=True)
            layer.requires_grad_(True)
            here = aligned(at(images, offset))
            assert lies_aligned(here, *layer.parameters(), *layer.buffers())
            with threads(count):
                found = results(layer, here)
            expected = expected or found
            assert same(found, expected), f"batch {batch}, {count} threads, offset {offset}"


@pytest.mark.parametrize(
    "name", ["resnet20", "torchvision/shufflenet_v2_x0_5", "torchvision/mobilenet_v3_small"]
)
def test_a_checkpoint_loads_bit_equal_wherever_its_file_places_tensors(name: str, tmp_path: Path) -> None:
    model, _ = create(Model(name=name), channels=1, classes=10, size=(32, 32), seed=0)
    checkpoint.save(model.eval(), tmp_path)
    content = (tmp_path / checkpoint.TENSORS).read_bytes()
    batches = [torch.rand(count, 1, 32, 32) for count in (1, 3)]
    with torch.inference_mode():
        expected = [model(images) for images in batches]
        for offset in OFFSETS:
            (tmp_path / checkpoint.TENSORS).write_bytes(moved(content, 4 * offset))
            again = checkpoint.load(tmp_path)
            assert lies_aligned(*again.parameters(), *again.buffers())
            for images, given in zip(batches, expected, strict=True):
                assert torch.equal(again(images), given), f"batch {len(images)}, offset {offset}"


def test_a_resumed_training_goes_on_with_aligned_tensors(tmp_path: Path) -> None:
    context = context_for(partial=tmp_path)
    stop_in_third_epoch(context)
    with pytest.raises(Interrupted):
        fit(small_model(), Train(epochs=3), context, keep_every_s=0.0)
    kept = next(tmp_path.rglob("state.safetensors"))
    assert lies_aligned(*read_tensors(kept).values())
    undisturbed = fit(small_model(), Train(epochs=3), context_for()).state_dict()
    again = fit(small_model(), Train(epochs=3), context_for(partial=tmp_path)).state_dict()
    assert same([*again.values()], [*undisturbed.values()])


FLAT = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, classes)
        self.register_buffer("shift", torch.ones(100)[3:67], persistent=False)
        every = [p for p in self.parameters()]
        flat = torch.cat([torch.zeros(1), *(p.detach().flatten() for p in every)])
        at = 1
        for p in every:
            p.data = flat[at : at + p.numel()].view(p.shape)
            at += p.numel()

    def forward(self, x):
        return self.head(self.second(self.first(x.flatten(1) + self.shift)))

def net(classes):
    return Net(classes)
"""


def test_a_users_network_whose_weights_are_views_of_one_tensor_is_taken_in_aligned(tmp_path: Path) -> None:
    (tmp_path / "flat.py").write_text(FLAT)
    name = f"{tmp_path / 'flat.py'}:net"
    model, _ = create(Model(name=name), channels=1, classes=10, size=(8, 8), seed=0)
    assert lies_aligned(*model.parameters(), *model.buffers())
    assert model.first.weight is model.second.weight, "what was shared still is"


def test_layers_that_have_no_weights_yet_are_left_to_the_first_image() -> None:
    assert align_(nn.LazyLinear(3))(torch.rand(2, 5)).shape == (2, 3)


def test_what_lies_aligned_or_is_whole_numbers_is_not_copied() -> None:
    plain, counts = torch.rand(100), torch.arange(100, dtype=torch.uint8)[1:]
    assert aligned(plain) is plain
    assert aligned(counts) is counts
    assert np.shares_memory(to_array(plain), plain.numpy())


@pytest.mark.parametrize("type_", [np.float32, np.float64, np.float16])
def test_arrays_come_in_aligned_and_go_out_aligned(type_: type[np.generic]) -> None:
    room = np.arange(64).astype(type_)
    for offset in OFFSETS:
        view = room[offset : offset + 20]
        tensor = from_array(view)
        assert lies_aligned(tensor)
        assert tensor.tolist() == view.tolist()
        array = to_array(view)
        assert array.ctypes.data % ALIGNMENT == 0
        assert array.tolist() == view.tolist()
    assert from_array(np.frombuffer(b"abc", np.uint8)).tolist() == [97, 98, 99], "read-only memory is copied"


def test_onnx_runtime_gets_images_and_gives_outputs_aligned(tmp_path: Path) -> None:
    model = small_model().eval()
    file = export(model, (1, 8, 8), tmp_path / "model.onnx").read_bytes()
    assert lies_aligned(*initializers(file).values())
    images = next(digits().batches(digits().test, 3))[0]
    for session in (OnnxModel(file, 1), OnnxModel(file, 2)):
        expected = session(images)
        for offset in OFFSETS:
            found = session(at(images, offset))
            assert lies_aligned(found)
            assert torch.equal(found, expected)


def test_batches_lie_aligned() -> None:
    for images, _ in digits().batches(digits().train, 7):
        assert lies_aligned(images)


def test_bytes_of_a_single_element_are_told_wherever_it_was_cut_out() -> None:
    table = torch.arange(6.0).view(2, 3)
    assert bits(table[1:, :1]).tolist() == bits(torch.tensor(3.0)).tolist()
    assert bits(table[:, 1]).tolist() == bits(torch.tensor([1.0, 4.0])).tolist()
    assert bits(table[:0]).shape == (0,)
